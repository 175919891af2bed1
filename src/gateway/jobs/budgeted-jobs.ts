// Jobs reserve what they may cost before the router is asked, and settle what they did when they have ended (gateway 7.3).
// J1. Where no budget is about a caller nothing is added.
// J2. One job holds one reservation, however often it is asked for: repeats share it, and a repeat of what somebody else
//     accepted gives its own back.
// J3. A reservation ends with the job, with its expiry, or with the last refusal. It dies with its process: the lease of
//     a gateway that is gone stands until the last of its jobs would have expired, and nobody takes it over.
import { jobKey, assignmentIdOf, isTerminal, type JobState } from '../../contracts/job.ts';
import { countedTags } from '../../contracts/job-order.ts';
import { BeamlineError } from '../../core/errors.ts';
import { type Amounts, type Budgets, NO_AMOUNTS, type Reservation } from '../../limit/budgets.ts';
import type { FollowDeps } from './follow-job.ts';
import { followJob } from './follow-job.ts';
import type { JobRecord } from './job-records.ts';
import type { JobDecide, SubmitJob } from './submit-job.ts';

/** Jobs of this process that hold something. */
const HELD_MAX = 100_000;
/** The router ends a job that has expired; if nobody hears of it by then, its reservation ends without. */
const EXPIRED_MS = 60_000;
/** A question of which nothing is known was answered by then, or never will be. */
const UNCLEAR_MS = 60_000;

export interface JobBudgets {
  readonly budgets: Pick<Budgets, 'covers' | 'reserve'>;
  /** The most that a job can take. */
  readonly estimate: (request: JobDecide) => Amounts;
}

export interface BudgetedJobs extends Disposable {
  readonly submit: SubmitJob;
  /** Jobs that hold something. */
  readonly held: number;
}

interface Held {
  readonly reserved: Reservation | Promise<Reservation>;
  readonly amounts: Amounts;
  /** Questions under way. */
  asking: number;
  /** Ends the following of the job, once it is or may be accepted. */
  unfollow: (() => void) | undefined;
}

export function budgetedJobs(deps: JobBudgets & FollowDeps, submit: SubmitJob): BudgetedJobs {
  const all = new Map<string, Held>();

  const ask = async (request: JobDecide, options: Parameters<SubmitJob>[1], held: Held) => {
    const end = (actual: Amounts): void => endOf(all, request, held, actual);
    held.asking++;
    let isUnclear = false;
    try {
      await held.reserved;
      const accepted = await submit(request, options);
      if (!accepted.isDuplicate) follow(deps, held, accepted.record, end);
      return accepted;
    } catch (thrown) {
      isUnclear = BeamlineError.from(thrown).details['job_id'] !== undefined;
      throw thrown;
    } finally {
      held.asking--;
      if (isUnclear) followUnclear(deps, held, request, end);
      if (held.asking === 0 && held.unfollow === undefined) end(NO_AMOUNTS);
    }
  };

  return {
    get held() {
      return all.size;
    },
    submit(request, options) {
      const { tenant_id: tenantId } = request;
      if (!deps.budgets.covers(tenantId)) return submit(request, options);
      const known = all.get(nameOf(request));
      if (known !== undefined) return ask(request, options, known);
      if (all.size >= HELD_MAX) {
        const error = new BeamlineError('service_overloaded', 'Too many jobs hold budgets here.', {
          retryAfterMs: 5_000,
        });
        return Promise.reject(error);
      }
      const held = reserve(deps, request);
      all.set(nameOf(request), held);
      return ask(request, options, held);
    },
    [Symbol.dispose]() {
      for (const { unfollow } of all.values()) unfollow?.();
      all.clear();
    },
  };
}

/** Ids hold no line break. */
const nameOf = ({ tenant_id, job }: JobDecide): string => `${tenant_id}\n${job.id}`;

function reserve({ budgets, estimate }: JobBudgets, request: JobDecide): Held {
  const { tenant_id: tenantId, principal, policy_id: policyId = 'default', job } = request;
  const amounts = estimate(request);
  const who = { keyId: principal?.key_id ?? '-', userId: principal?.user_id };
  const spender = { tenantId, ...who, policyId, tags: countedTags(job) };
  const reserved = budgets.reserve(spender, amounts, job.expires_at_ms + EXPIRED_MS);
  return { reserved, amounts, asking: 0, unfollow: undefined };
}

function endOf(all: Map<string, Held>, request: JobDecide, held: Held, actual: Amounts): void {
  held.unfollow?.();
  const name = nameOf(request);
  if (all.get(name) === held) all.delete(name);
  // One that was refused holds nothing.
  Promise.resolve(held.reserved).then(
    (reservation) => reservation.settle(actual),
    () => undefined,
  );
}

function follow(
  deps: FollowDeps,
  held: Held,
  record: Pick<JobRecord, 'request' | 'state'>,
  end: (actual: Amounts) => void,
): void {
  if (held.unfollow !== undefined) return;
  const { timers } = deps;
  const { state } = record;
  if (state !== undefined && isTerminal(state.status)) return end(actualOf(state, held.amounts));
  const following = followJob(deps, record, (next) => {
    if (isTerminal(next.status)) end(actualOf(next, held.amounts));
  });
  const leftMs = Math.max(0, record.request.expires_at_ms - timers.clock.epochMs());
  const timer = timers.after(leftMs + EXPIRED_MS, () => end(held.amounts));
  held.unfollow = () => {
    timer.cancel();
    following[Symbol.dispose]();
  };
}

/** Holds until it is known whether the job is there. */
function followUnclear(deps: FollowDeps, held: Held, request: JobDecide, end: (actual: Amounts) => void): void {
  if (held.unfollow !== undefined) return;
  const { tenant_id, job } = request;
  const assignment_id = assignmentIdOf(tenant_id, job.id);
  const isThere = async (): Promise<boolean> =>
    (await deps.jobs.get(jobKey(tenant_id, assignment_id, 'req'))) !== undefined;
  const look = (): void => {
    void isThere().then(
      (isFound) => {
        if (held.unfollow === undefined) return;
        held.unfollow = undefined;
        const times = { created_at_ms: 0, expires_at_ms: job.expires_at_ms };
        const ids = { job_id: job.id, tenant_id, assignment_id };
        if (isFound) follow(deps, held, { request: { ...ids, request, ...times }, state: undefined }, end);
        else end(NO_AMOUNTS);
      },
      () => {
        if (held.unfollow !== undefined) timer = deps.timers.after(UNCLEAR_MS, look);
      },
    );
  };
  let timer = deps.timers.after(UNCLEAR_MS, look);
  held.unfollow = () => timer.cancel();
}

/** What is not known counts as it was estimated; the ledger has the rest. */
function actualOf({ status, attempt, cost_micro_usd, result }: JobState, estimated: Amounts): Amounts {
  if (attempt === 0) return NO_AMOUNTS;
  if (status !== 'succeeded') return estimated;
  const { usage } = result ?? {};
  return {
    micro_usd: cost_micro_usd,
    tokens: usage === undefined ? estimated.tokens : usage.input_tokens + usage.output_tokens,
    requests: estimated.requests,
  };
}
