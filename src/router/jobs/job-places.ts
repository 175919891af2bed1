// The places that attempts of jobs take among those of a policy that run at a time (policy 9.1): from before an attempt is sent
// until it has ended. A job that finds none waits here; it is not refused, because it was accepted.
// P1. A job that waits, for a place, a moment or its next attempt, takes none.
// P2. What runs already keeps its place over a restart: whoever looks at such a job counts it if it was sent earlier under the
//     same name, or if there is no other router that could have sent it.
// P3. Who waits in vain for a second is looked at again, the first of each line only: requests free places without a word.
import { LiveMap } from '../../core/live-map.ts';
import type { Timer, Timers } from '../../core/timers.ts';
import type { AttemptOutcome } from '../../contracts/outcome.ts';
import type { Admitted, RateLimits } from '../rate-limits.ts';
import { nameOf } from '../rate-limits.ts';
import { keptIn } from './job-history.ts';
import type { Planner } from './job-plan.ts';
import { attemptOut } from './job-state.ts';
import { type FoundJob, type JobRef, refOf } from './job-store.ts';
import type { Keeper } from './keeper.ts';

/** Jobs that wait in memory; the others are found by a sweep. */
const WAITING_MAX = 10_000;
const AGAIN_MS = 1_000;

interface Held {
  readonly assignmentId: string;
  readonly attempt: number;
  readonly line: string;
  readonly place: Admitted;
  readonly timer: Timer;
}

export interface JobPlacesDeps {
  readonly timers: Timers;
  readonly routerId: string;
  readonly planner: Pick<Planner, 'limitOf' | 'outMs'>;
  readonly keeper: Pick<Keeper, 'look' | 'wakeAt'>;
  readonly rateLimits: RateLimits;
}

export class JobPlaces implements Disposable {
  readonly #deps: JobPlacesDeps;
  /** By assignment: one attempt of a job is out at a time. */
  readonly #held = new LiveMap<string, Held>();
  /** In the order of their coming, by who is counted together. */
  readonly #lines = new Map<string, Map<string, JobRef>>();
  readonly #waiting = new Map<string, string>();
  /** Of the epoch: what was sent here since was counted then. */
  readonly #startedMs: number;
  #timer: Timer | undefined;

  constructor(deps: JobPlacesDeps) {
    this.#deps = deps;
    this.#startedMs = deps.timers.clock.epochMs();
  }

  /** Takes a place for the next attempt, if one is needed; false: the job waits for one. */
  enter(found: FoundJob): boolean {
    const { planner, rateLimits, timers } = this.#deps;
    const { assignment_id: id } = found.request;
    const limit = planner.limitOf(found);
    this.#end(id);
    if (limit === undefined) {
      this.waitNoMore(id);
      return true;
    }
    const { policy, facts } = limit;
    const place = rateLimits.place(policy, facts, timers.clock.nowMs());
    const line = lineOf(limit);
    if (place === undefined) {
      this.#wait(found, line);
      return false;
    }
    this.waitNoMore(id);
    this.#hold(found, { attempt: (found.state?.attempt ?? 0) + 1, line, place }, planner.outMs(found.request, policy));
    // There may be room for more.
    this.#wake(line);
    return true;
  }

  /** Counts an attempt that is out and that this router does not remember. */
  adopt(found: FoundJob): void {
    const { planner, rateLimits, routerId, timers } = this.#deps;
    const { state, request } = found;
    const out = state === undefined ? undefined : attemptOut(state);
    if (state === undefined || out === undefined || this.#held.has(request.assignment_id)) return;
    const isSentHere = keptIn(state)?.router_id === routerId;
    if (isSentHere ? out.published_at_ms >= this.#startedMs : !rateLimits.isAlone) return;
    const limit = planner.limitOf(found);
    if (limit === undefined) return;
    const place = rateLimits.occupied(limit.policy, limit.facts, timers.clock.nowMs());
    const leftMs = Math.max(0, out.due_at_ms - timers.clock.epochMs());
    this.#hold(found, { attempt: out.attempt, line: lineOf(limit), place }, leftMs);
  }

  heard({ assignment_id: id, attempt, state }: AttemptOutcome): void {
    if (state !== 'committed' && this.#held.get(id)?.attempt === attempt) this.leave(id);
  }

  /** The attempt has ended, or was not sent. */
  leave(assignmentId: string): void {
    const line = this.#end(assignmentId);
    if (line !== undefined) this.#wake(line);
  }

  /** It is over, or somebody else has it. */
  waitNoMore(assignmentId: string): void {
    const line = this.#waiting.get(assignmentId);
    if (line === undefined) return;
    this.#waiting.delete(assignmentId);
    const refs = this.#lines.get(line);
    refs?.delete(assignmentId);
    if (refs?.size === 0) this.#lines.delete(line);
  }

  /** What is not among the open jobs any more has ended with another router. */
  keepOnly(open: ReadonlySet<string>): void {
    for (const { assignmentId: id } of this.#held.values()) if (!open.has(id)) this.leave(id);
    for (const id of this.#waiting.keys()) if (!open.has(id)) this.waitNoMore(id);
  }

  [Symbol.dispose](): void {
    this.#timer?.cancel();
    for (const { timer } of this.#held.values()) timer.cancel();
    this.#lines.clear();
    this.#waiting.clear();
    this.#held.clear();
  }

  #hold({ request }: FoundJob, held: Omit<Held, 'assignmentId' | 'timer'>, forMs: number): void {
    const { assignment_id: id } = request;
    this.#held.set(id, { ...held, assignmentId: id, timer: this.#deps.timers.after(forMs, () => this.leave(id)) });
  }

  #end(assignmentId: string): string | undefined {
    const held = this.#held.get(assignmentId);
    if (held === undefined) return undefined;
    this.#held.delete(assignmentId);
    held.timer.cancel();
    held.place.end(undefined);
    return held.line;
  }

  #wait({ request }: FoundJob, line: string): void {
    const ref = refOf(request);
    const isWaiting = this.#waiting.has(ref.assignmentId);
    if (!isWaiting && this.#waiting.size >= WAITING_MAX) return;
    this.#deps.keeper.wakeAt(ref, request.expires_at_ms);
    if (isWaiting) return;
    this.#waiting.set(ref.assignmentId, line);
    this.#lines.set(line, (this.#lines.get(line) ?? new Map<string, JobRef>()).set(ref.assignmentId, ref));
    this.#timer ??= this.#deps.timers.after(AGAIN_MS, () => this.#again());
  }

  #wake(line: string): void {
    const [first] = this.#lines.get(line)?.values() ?? [];
    if (first !== undefined) this.#deps.keeper.look(first);
  }

  #again(): void {
    for (const line of this.#lines.keys()) this.#wake(line);
    this.#timer = this.#lines.size === 0 ? undefined : this.#deps.timers.after(AGAIN_MS, () => this.#again());
  }
}

const lineOf = ({ policy, facts }: NonNullable<ReturnType<Planner['limitOf']>>): string =>
  policy.rateLimit === undefined
    ? policy.policyId
    : `${facts.tenantId} ${nameOf(policy.rateLimit, policy.policyId, facts)}`;
