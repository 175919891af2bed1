// The places that attempts of jobs take among those of a policy that run at a time (policy 9.1): from before an attempt is sent
// until it has ended. A job that finds none waits here; it is not refused, because it was accepted.
// P1. A job that waits, for a place, a moment or its next attempt, takes none.
// P2. What runs already keeps its place over a restart: whoever looks at such a job counts it if it was sent earlier under the
//     same name, or if there is no other router that could have sent it.
import { LiveMap } from '../../core/live-map.ts';
import type { Timer } from '../../core/timers.ts';
import type { AttemptOutcome } from '../../contracts/outcome.ts';
import type { Policy } from '../../policy/policy.ts';
import type { Admitted, RateLimits } from '../rate-limits.ts';
import { nameOf } from '../rate-limits.ts';
import { JobFlights, type JobFlightsDeps } from './job-flights.ts';
import { keptIn } from './job-history.ts';
import { JobLines } from './job-lines.ts';
import type { Go, Planner } from './job-plan.ts';
import { attemptOut } from './job-state.ts';
import type { FoundJob } from './job-store.ts';

interface Held {
  readonly assignmentId: string;
  readonly attempt: number;
  readonly line: string;
  readonly place: Admitted;
  readonly timer: Timer;
}

export interface JobPlacesDeps extends JobFlightsDeps {
  readonly routerId: string;
  readonly planner: Pick<Planner, 'limitOf' | 'outMs'>;
  readonly rateLimits: RateLimits;
}

export class JobPlaces implements Disposable {
  readonly #deps: JobPlacesDeps;
  /** By assignment: one attempt of a job is out at a time. */
  readonly #held = new LiveMap<Held>();
  readonly #lines: JobLines;
  readonly #flights: JobFlights;
  /** Of the epoch: what was sent here since was counted then. */
  readonly #startedMs: number;

  constructor(deps: JobPlacesDeps) {
    this.#deps = deps;
    this.#lines = new JobLines(deps);
    this.#flights = new JobFlights(deps);
    this.#startedMs = deps.timers.clock.epochMs();
  }

  /** Takes a place for the next attempt, if one is needed; false: the job waits for one. */
  enter(found: FoundJob): boolean {
    const { planner, rateLimits, timers } = this.#deps;
    const { assignment_id: id } = found.request;
    const limit = planner.limitOf(found);
    this.#end(id);
    if (limit === undefined) {
      this.#lines.leave(id);
      return true;
    }
    const { policy, facts } = limit;
    const place = rateLimits.place(policy, facts, timers.clock.nowMs());
    const line = lineOf(limit);
    if (place === undefined) {
      this.#lines.wait(found, line);
      return false;
    }
    this.#lines.leave(id);
    this.#hold(found, { attempt: (found.state?.attempt ?? 0) + 1, line, place }, planner.outMs(found.request, policy));
    // There may be room for more.
    this.#lines.wake(line);
    return true;
  }

  /** Takes a place at the provider of the attempt that is to be sent; false: the job waits for one. */
  begin(found: FoundJob, plan: Pick<Go, 'attempt'>): boolean {
    return this.#flights.begin(found, plan);
  }

  /** Nobody can serve the job now. */
  wait(found: FoundJob, policy: Policy): void {
    this.#flights.wait(found, policy);
  }

  /** Counts an attempt that is out and that this router does not remember. */
  adopt(found: FoundJob): void {
    const { planner, rateLimits, routerId, timers } = this.#deps;
    const { state, request } = found;
    const out = state === undefined ? undefined : attemptOut(state);
    if (state === undefined || out === undefined) return;
    const isSentHere = keptIn(state)?.router_id === routerId;
    if (isSentHere ? out.published_at_ms >= this.#startedMs : !rateLimits.isAlone) return;
    this.#flights.adopt(found);
    const limit = this.#held.has(request.assignment_id) ? undefined : planner.limitOf(found);
    if (limit === undefined) return;
    const place = rateLimits.occupied(limit.policy, limit.facts, timers.clock.nowMs());
    const leftMs = Math.max(0, out.due_at_ms - timers.clock.epochMs());
    this.#hold(found, { attempt: out.attempt, line: lineOf(limit), place }, leftMs);
  }

  heard({ assignment_id: id, attempt, state }: AttemptOutcome): void {
    if (state !== 'committed') this.ended(id, attempt);
  }

  /** Undefined: the one that is out. */
  ended(assignmentId: string, attempt: number | undefined): void {
    if (attempt === undefined) return this.leave(assignmentId);
    this.#flights.ended(assignmentId, attempt);
    if (this.#held.get(assignmentId)?.attempt === attempt) this.#leave(assignmentId);
  }

  /** The attempt has ended, or was not sent. */
  leave(assignmentId: string): void {
    this.#flights.leave(assignmentId);
    this.#leave(assignmentId);
  }

  /** It is over, or somebody else has it. */
  waitNoMore(assignmentId: string): void {
    this.#flights.waitNoMore(assignmentId);
    this.#lines.leave(assignmentId);
  }

  /** What is not among the open jobs any more has ended with another router. */
  keepOnly(open: ReadonlySet<string>): void {
    this.#flights.keepOnly(open);
    for (const { assignmentId: id } of this.#held.values()) if (!open.has(id)) this.#leave(id);
    this.#lines.keepOnly(open);
  }

  [Symbol.dispose](): void {
    this.#flights[Symbol.dispose]();
    this.#lines[Symbol.dispose]();
    for (const { timer } of this.#held.values()) timer.cancel();
    this.#held.clear();
  }

  #leave(assignmentId: string): void {
    const line = this.#end(assignmentId);
    if (line !== undefined) this.#lines.wake(line);
  }

  #hold({ request }: FoundJob, held: Omit<Held, 'assignmentId' | 'timer'>, forMs: number): void {
    const { assignment_id: id } = request;
    this.#held.set(id, { ...held, assignmentId: id, timer: this.#deps.timers.after(forMs, () => this.#leave(id)) });
  }

  #end(assignmentId: string): string | undefined {
    const held = this.#held.get(assignmentId);
    if (held === undefined) return undefined;
    this.#held.delete(assignmentId);
    held.timer.cancel();
    held.place.end(undefined);
    return held.line;
  }
}

const lineOf = ({ policy, facts }: NonNullable<ReturnType<Planner['limitOf']>>): string =>
  policy.rateLimit === undefined
    ? policy.policyId
    : `${facts.tenantId} ${nameOf(policy.rateLimit, policy.policyId, facts)}`;
