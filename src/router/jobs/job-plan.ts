// Which provider the next attempt of a job goes to, and what follows one that failed: the record, the policy of now and
// the live state in, a plan out. It sends and stores nothing.
// P1. A first attempt is decided when it is sent, because the health of providers changes while a job waits.
import type { PostOrder } from '../../contracts/assignment.ts';
import type { DecideRequest } from '../../contracts/decide.ts';
import type { JobAttempt, JobFailure, JobRequest } from '../../contracts/job.ts';
import { DEADLINE_MAX_MS, DEADLINE_MIN_MS } from '../../contracts/limits.ts';
import { BeamlineError, errorRow, type ErrorCode } from '../../core/errors.ts';
import type { Timers } from '../../core/timers.ts';
import { decide, type Verdict } from '../../policy/decide.ts';
import { type Expectations, expectationsOf, expectedCost } from '../../policy/expectations.ts';
import type { Facts } from '../../policy/facts.ts';
import { begun, type History, moved, repeated, retried } from '../../policy/history.ts';
import type { Policy, Target } from '../../policy/policy.ts';
import { REASONS } from '../../policy/reasons.ts';
import { targetsOf } from '../../policy/recorded-snapshot.ts';
import type { Failure } from '../../policy/status-words.ts';
import { stickyKey } from '../../policy/sticky.ts';
import { marksOf, type Try } from '../assignment-of.ts';
import type { DecisionLog, Followed } from '../decision-log.ts';
import type { Extensions } from '../extensions.ts';
import { factsOf } from '../facts-of.ts';
import type { LiveState } from '../live-state.ts';
import type { Policies } from '../policies.ts';
import type { PolicyBudgets } from '../policy-budgets.ts';
import type { RequestBudgets } from '../request-budgets.ts';
import { postOrdersFor } from '../post-orders.ts';
import type { StickyBindings } from '../sticky-bindings.ts';
import { type Follow, failureTold, followOf } from './job-follow.ts';
import { bareTarget, failureIn, historyOf, keptIn, keptOf, type Kept, targetOf } from './job-history.ts';
import { endedOf, type HeardEnd } from './heard-end.ts';
import type { FoundJob } from './job-store.ts';
import { blockChoice, type Chosen, isRouted } from './job-target.ts';

/** How long a job waits that nobody can serve now. */
const NOBODY_WAIT_MS = 5_000;

/** A worker should have begun by then, beside the time of the attempt itself. */
export const UNCLAIMED_MS = 600_000;

type MaybeBudgets = RequestBudgets | undefined;

export type Decided = Extract<Verdict, { kind: 'chosen' }>;

export type Plan =
  | {
      readonly kind: 'go';
      readonly policy: Policy;
      readonly attempt: Try;
      readonly kept: Kept;
      /** Undefined where a decision made the attempt, and for blocks. */
      readonly follows: Follows | undefined;
    }
  | { readonly kind: 'wait'; readonly waitMs: number; readonly policy: Policy }
  | { readonly kind: 'refused'; readonly error: JobFailure };

/** Why an attempt is made that no decision made. */
type Follows = Pick<Followed, 'after' | 'why'>;

export type Go = Extract<Plan, { kind: 'go' }>;

export interface PlannerDeps {
  readonly timers: Timers;
  readonly policies: Policies;
  readonly live: LiveState;
  readonly extensions: Extensions;
  readonly bindings: StickyBindings;
  readonly decisions?: DecisionLog | undefined;
  readonly budgets: PolicyBudgets;
}

/** The next attempt before anybody knows whether it can be made. */
interface Drawn {
  readonly chosen: Chosen;
  readonly history: History;
}

export class Planner {
  readonly #deps: PlannerDeps;

  constructor(deps: PlannerDeps) {
    this.#deps = deps;
  }

  /** `decided` is the choice of a first attempt that was made a moment ago. */
  plan({ request: record, state }: FoundJob, decided?: Decided, budgets?: RequestBudgets): Plan {
    const { request } = record;
    const found = this.#policyOf(request);
    if (found instanceof BeamlineError) return refused(found);
    const kept = state === undefined ? undefined : (keptIn(state) ?? bareKept(state.attempts.at(-1)));
    const facts = this.#factsOf(record);
    const drawn =
      kept === undefined
        ? this.#first(request, found, decided ?? this.#decide.bind(this, facts, found, budgets))
        : this.#further(kept, facts, found, budgets);
    if ('kind' in drawn) return drawn;
    const { chosen, history } = drawn;
    const attemptMs = attemptMsOf(record, found, this.#deps.timers.clock.epochMs());
    const { attempt } = history;
    const post = this.#post(found, facts, chosen.target.name, attempt);
    if (post instanceof BeamlineError) return refused(post);
    const marks = kept === undefined ? marksOf(chosen) : kept.marks;
    return {
      kind: 'go',
      policy: found,
      attempt: { ...chosen, tags: marks?.tags, arms: marks?.arms, attempt, timeLeftMs: attemptMs, post },
      kept: keptOf(history, {
        reason: chosen.reason,
        priority: chosen.priority,
        worker_tries: kept?.worker_tries ?? 0,
        deadline_ms: attemptMs,
        marks,
      }),
      follows: kept === undefined || !isRouted(facts.taskType) ? undefined : followsIn(kept),
    };
  }

  /** What budgets say of the next attempt; undefined where none is about it. */
  budgetsOf({ request: record }: FoundJob): RequestBudgets | undefined {
    const policy = isRouted(record.request.task.type) ? this.#policyOf(record.request) : undefined;
    if (policy === undefined || policy instanceof BeamlineError) return undefined;
    return this.#deps.budgets.of(policy, this.#factsOf(record), this.outMs(record, policy));
  }

  /** The policy of a job whose attempts take places in it, and by which facts; undefined for most. */
  limitOf({ request: record }: FoundJob): { readonly policy: Policy; readonly facts: Facts } | undefined {
    const policy = isRouted(record.request.task.type) ? this.#policyOf(record.request) : undefined;
    if (policy === undefined || policy instanceof BeamlineError) return undefined;
    return policy.rateLimit?.maxConcurrent === undefined ? undefined : { policy, facts: this.#factsOf(record) };
  }

  /** Everybody to whom the next attempt may go. */
  candidatesOf({ request: { request } }: FoundJob): readonly Target[] {
    const policy = this.#policyOf(request);
    return policy instanceof BeamlineError ? [] : targetsOf(policy);
  }

  /** Micro-USD; undefined for a model without a price. */
  costOf(
    record: JobRequest,
    { attempt, policy }: Pick<Extract<Plan, { kind: 'go' }>, 'attempt' | 'policy'>,
    outputTokens?: number,
  ): number | undefined {
    const known = this.#factsOf(record);
    const facts = outputTokens === undefined ? known : { ...known, maxOutputTokens: outputTokens };
    return expectedCost(attempt.target, facts, this.#deps.live.now(facts.tenantId, policy));
  }

  /** How long an attempt that is sent now may be out. */
  outMs(record: JobRequest, policy: Policy): number {
    const nowMs = this.#deps.timers.clock.epochMs();
    const mostMs = attemptMsOf(record, policy, nowMs) + UNCLAIMED_MS;
    return Math.max(0, Math.min(record.expires_at_ms - nowMs, mostMs));
  }

  /** What follows the failure of the attempt that is out. */
  follow(
    { request: record, state }: FoundJob,
    failed: { readonly failure: Failure; readonly message: string; readonly isUnclaimed?: boolean },
  ): Follow {
    const { live, timers } = this.#deps;
    const { request } = record;
    const kept = state === undefined ? undefined : (keptIn(state) ?? bareKept(state.attempts.at(-1)));
    const policy = this.#policyOf(request);
    if (policy instanceof BeamlineError || kept === undefined) {
      return { kind: 'over', error: failureTold(failed.failure, failed.message) };
    }
    return followOf({
      ...failed,
      request: record,
      policy,
      facts: this.#factsOf(record),
      live: live.now(record.tenant_id, policy),
      kept,
      timeLeftMs: record.expires_at_ms - timers.clock.epochMs(),
      mayRetry: live.budget(record.tenant_id, policy)?.allows(timers.clock.nowMs()) ?? false,
      isUnclaimed: failed.isUnclaimed ?? false,
    });
  }

  /** The last attempt of a job, from its record alone, as of a moment; undefined without one, or without its policy. */
  last(
    { request: record, state }: FoundJob,
    nowMs = record.created_at_ms,
  ): { readonly policy: Policy; readonly attempt: Try } | undefined {
    const last = state?.attempts.at(-1);
    const policy = this.#policyOf(record.request);
    if (last === undefined || policy instanceof BeamlineError) return undefined;
    const { attempt, provider_id, pool, model, reason } = last;
    const target = { ...bareTarget(provider_id), pool, model };
    const facts = this.#factsOf(record);
    const post = this.#post(policy, facts, provider_id, attempt);
    // Without what it must pass it may never be sent again.
    if (post instanceof BeamlineError) return undefined;
    const { marks, priority = REASONS.retry.priority } = (state && keptIn(state)) ?? {};
    const timeLeftMs = attemptMsOf(record, policy, nowMs);
    const same = { attempt, target, model, reason, priority, tags: marks?.tags, arms: marks?.arms, timeLeftMs, post };
    return { policy, attempt: { ...same, ...this.#expectationsOf(target, facts, policy) } };
  }

  /**
   * An attempt was sent: the retry budget of its policy hears of it, the session that it is of goes with it, and it is
   * written down unless its decision was.
   */
  sent(record: JobRequest, { policy, follows, attempt: { attempt, target, model, reason } }: Go): void {
    const { timers, live, bindings, decisions } = this.#deps;
    const nowMs = timers.clock.nowMs();
    const budget = live.budget(record.tenant_id, policy);
    if (attempt === 1) budget?.first(nowMs);
    else budget?.spend(nowMs);
    const isInSession = policy.sticky !== undefined && isRouted(record.request.task.type);
    if (isInSession) bindings.follow(policy, this.#factsOf(record), target.name);
    if (follows === undefined || decisions === undefined) return;
    const next = { attempt, provider_id: target.name, model, reason, ...follows };
    decisions.followed(policy, this.#factsOf(record), next);
  }

  /** An attempt has ended, and its state is stored. */
  ended(record: JobRequest, end: JobAttempt, heard?: HeardEnd): void {
    const { decisions } = this.#deps;
    if (decisions === undefined || !isRouted(record.request.task.type)) return;
    decisions.ended(this.#factsOf(record), endedOf(end, heard));
  }

  /** What the worker is to ask about the output. */
  #post(policy: Policy, facts: Facts, provider: string, attempt: number): PostOrder[] | undefined | BeamlineError {
    if (policy.post === undefined || !isRouted(facts.taskType)) return undefined;
    const { live, extensions } = this.#deps;
    const to = { attempt, provider };
    return postOrdersFor(policy, facts, to, live.now(facts.tenantId, policy), extensions.registry);
  }

  #first(request: DecideRequest, policy: Policy, decided: Decided | (() => Verdict)): Drawn | Plan {
    if (!isRouted(request.task.type)) return { chosen: blockChoice, history: begun(blockChoice.target) };
    const verdict = typeof decided === 'function' ? decided() : decided;
    if (verdict.kind === 'chosen') return { chosen: verdict, history: begun(verdict.target) };
    if (errorRow(verdict.code).retry) return { kind: 'wait', waitMs: NOBODY_WAIT_MS, policy };
    return refused(new BeamlineError(verdict.code, verdict.message));
  }

  #further(kept: Kept, facts: Facts, policy: Policy, budgets: MaybeBudgets): Drawn | Plan {
    const history = historyOf(kept, policy);
    const { next = { kind: 'same' } } = kept;
    const to = (target: Target) => ({
      target,
      model: target.model ?? facts.model,
      ...this.#expectationsOf(target, facts, policy),
    });
    const same = to(history.current);
    switch (next.kind) {
      case 'same':
        return { chosen: { ...same, reason: kept.reason, priority: kept.priority }, history: repeated(history) };
      case 'again': {
        const { priority } = REASONS.retry;
        return { chosen: { ...same, reason: 'retry', priority }, history: retried(history, next.item) };
      }
      case 'to': {
        const target = targetOf(policy, next.target);
        const { reason } = next;
        const { priority } = REASONS[reason];
        return { chosen: { ...to(target), reason, priority }, history: moved(history, target, reason) };
      }
      case 'redraw':
        return this.#redraw(kept, { history, facts, policy, budgets });
    }
  }

  /** Of an attempt that no decision made. */
  #expectationsOf(target: Target, facts: Facts, policy: Policy): Expectations {
    return isRouted(facts.taskType) ? expectationsOf(target, facts, this.#deps.live.now(facts.tenantId, policy)) : {};
  }

  #redraw(
    kept: Kept,
    { history, facts, policy, budgets }: { history: History; facts: Facts; policy: Policy; budgets: MaybeBudgets },
  ): Drawn | Plan {
    const { live, decisions } = this.#deps;
    const failure = failureIn(kept.failure ?? { code: 'UNKNOWN_ERROR', retryable: false });
    const snapshot = live.after(facts.tenantId, policy, history, failure, budgets);
    const verdict = decide(policy, facts, snapshot, false);
    decisions?.decided(policy, facts, snapshot, verdict);
    if (verdict.kind === 'none') {
      return { kind: 'refused', error: failureTold(failure, 'no other provider can serve the job') };
    }
    const reason = verdict.reason === 'failover' ? 'failover' : 'fallback';
    return { chosen: verdict, history: moved(history, verdict.target, reason) };
  }

  #decide(facts: Facts, policy: Policy, budgets: MaybeBudgets): Verdict {
    const { live, bindings, decisions } = this.#deps;
    const key = policy.sticky === undefined ? undefined : stickyKey(policy, facts);
    const snapshot = live.first(facts.tenantId, policy, key === undefined ? undefined : bindings.get(key), budgets);
    const verdict = decide(policy, facts, snapshot, false);
    decisions?.decided(policy, facts, snapshot, verdict);
    return verdict;
  }

  #policyOf(request: DecideRequest): Policy | BeamlineError {
    try {
      return this.#deps.policies.find(request.tenant_id, request.policy_id ?? 'default');
    } catch (thrown) {
      return BeamlineError.from(thrown);
    }
  }

  /** The time of the request is that of its acceptance: what a policy says of it stays true of its retries. */
  #factsOf = ({ request, created_at_ms }: JobRequest): Facts => factsOf(request, created_at_ms);
}

/** Milliseconds that an attempt may take from when a worker has it; a block is not bound by the times of a policy. */
export function attemptMsOf({ request, expires_at_ms }: JobRequest, policy: Policy, nowMs: number): number {
  const policyMs = isRouted(request.task.type)
    ? Math.min(policy.timeoutMs, policy.timeouts.attemptMs ?? DEADLINE_MAX_MS)
    : DEADLINE_MAX_MS;
  const mostMs = Math.min(expires_at_ms - nowMs, request.deadline_ms ?? DEADLINE_MAX_MS, policyMs, DEADLINE_MAX_MS);
  return Math.floor(Math.max(DEADLINE_MIN_MS, mostMs));
}

/** Undefined for another draw, which is a decision. */
const followsIn = ({ next, failure }: Kept): Follows | undefined =>
  next?.kind === 'redraw'
    ? undefined
    : { after: failure?.code ?? 'UNKNOWN_ERROR', why: next?.kind === 'to' ? next.why : undefined };

/** Of an attempt whose plan was lost with its router: its result came before its state was written. */
function bareKept(attempt: JobAttempt | undefined): Kept | undefined {
  if (attempt === undefined) return undefined;
  const { provider_id, pool, model, reason } = attempt;
  const target = { ...bareTarget(provider_id), pool, model };
  return keptOf(
    { ...begun(target), attempt: attempt.attempt, counted: attempt.attempt },
    { reason, priority: REASONS.retry.priority, worker_tries: 0, deadline_ms: DEADLINE_MAX_MS },
  );
}

const refused = ({ code, message }: { readonly code: ErrorCode; readonly message: string }): Plan => ({
  kind: 'refused',
  error: { code, message, retryable: errorRow(code).retry },
});
