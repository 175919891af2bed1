// Attempts that were sent and that no worker has claimed, or that a worker has that fell silent: asks the stream whether it
// still holds them, and sends again what it does not. A single server that is killed may lose what it had confirmed, and
// count as settled what it had only delivered.
// N1. The same attempt under the same id, so that no call is made for it twice: whoever had it meanwhile knows it by its
//     mark or by the record, and a stream that was not killed knows the id.
// N2. What is gone was taken or is lost. A result is stored before its attempt is acknowledged, so a minute long it is taken
//     for lost only if no result waits that was stored before somebody saw that it was gone.
import type { Bus } from '../../bus/bus.ts';
import type { JobAttempt } from '../../contracts/job.ts';
import { resultStream, routerResults } from '../../contracts/streams.ts';
import { RecentNumbers } from '../../core/recent-numbers.ts';
import type { Timers } from '../../core/timers.ts';
import type { Telemetry } from '../../telemetry/telemetry.ts';
import type { Approvals } from './approvals.ts';
import { jobAssignmentOf } from './job-assignment.ts';
import type { JobMetrics } from './job-metrics.ts';
import type { Planner } from './job-plan.ts';
import { attemptOut, sentAgain } from './job-state.ts';
import { type FoundJob, type JobStore, refOf } from './job-store.ts';
import type { OrderStreams } from './order-streams.ts';

/** An attempt that nobody claims is asked for at this age, then each time it is twice as old, and at least so often. */
export const CLAIM_MS = 30_000;
const ASK_MS = 120_000;
/** From when it was seen to be gone: its end may be on its way, and clocks may differ. */
const GONE_MS = 10_000;
/** No result is waited for longer: a server that was killed may tell of one for ever. */
const RESULT_MS = 60_000;
const GONE_MAX = 10_000;

export interface UnclaimedDeps {
  readonly bus: Bus;
  readonly timers: Timers;
  readonly telemetry: Telemetry;
  readonly routerId: string;
  readonly store: JobStore;
  readonly streams: OrderStreams;
  readonly approvals: Approvals;
  readonly planner: Planner;
  readonly metrics: JobMetrics;
  readonly isSilent: (workerId: string) => boolean;
}

export class Unclaimed {
  readonly #deps: UnclaimedDeps;
  /** Since when what is gone is known to be; one that is forgotten is waited for anew. */
  readonly #goneMs = new RecentNumbers(GONE_MAX);

  constructor(deps: UnclaimedDeps) {
    this.#deps = deps;
  }

  /** When to look at the job again, by the clock of the epoch; `Infinity` for one that has none out. Throws `unavailable`. */
  async look(found: FoundJob): Promise<number> {
    const out = found.state === undefined ? undefined : attemptOut(found.state);
    const seq = out?.stored_seq;
    if (out === undefined || seq === undefined) return Infinity;
    const nowMs = this.#nowMs();
    const { published_at_ms, started_at_ms: fromMs = published_at_ms } = out;
    if (nowMs < fromMs + CLAIM_MS) return fromMs + CLAIM_MS;
    const ref = refOf(found.request);
    if (this.#isClaimed(out) || (await this.#deps.streams.holds(ref, out, seq)))
      return nowMs + Math.min(nowMs - fromMs, ASK_MS);
    const gone = `${ref.assignmentId}:${seq}`;
    const sinceMs = this.#goneMs.get(gone) ?? nowMs;
    this.#goneMs.replace(gone, sinceMs);
    if (nowMs < sinceMs + GONE_MS) return sinceMs + GONE_MS;
    if (nowMs < sinceMs + RESULT_MS && (await this.#mayHaveEnded(sinceMs))) return nowMs + GONE_MS;
    await this.#send(found, out.attempt);
    return nowMs + CLAIM_MS;
  }

  /** By a worker that is there, as far as anybody knows. */
  #isClaimed({ status, worker_id: workerId }: JobAttempt): boolean {
    return status === 'running' && (workerId === undefined || !this.#deps.isSilent(workerId));
  }

  /** Whether a result waits that was stored before. */
  async #mayHaveEnded(beforeMs: number): Promise<boolean> {
    const { oldestAtMs = Infinity } = await this.#deps.bus.progress(resultStream, routerResults);
    return oldestAtMs <= beforeMs;
  }

  async #send(found: FoundJob, attempt: number): Promise<void> {
    const { store, streams, approvals, planner, metrics, telemetry, routerId } = this.#deps;
    const plan = planner.last(found, this.#nowMs());
    if (plan === undefined) return;
    const ref = refOf(found.request);
    const verdict = (await approvals.read(ref))?.asked.verdict;
    const priorCostMicroUsd = found.state?.cost_micro_usd ?? 0;
    const order = jobAssignmentOf(found.request, { ...plan, routerId, priorCostMicroUsd, verdict });
    const { duplicate, seq } = await streams.append(order, plan.attempt.target.pool);
    if (duplicate) return;
    metrics.sentAgain.add();
    const { tenantId: tenant_id, assignmentId: assignment_id } = ref;
    telemetry.log.warn('job_sent_again', { tenant_id, assignment_id, attempt });
    await store.change(ref, ({ state }) => state && sentAgain(state, { attempt, storedSeq: seq }, this.#nowMs()));
  }

  #nowMs = (): number => this.#deps.timers.clock.epochMs();
}
