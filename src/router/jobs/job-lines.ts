// Jobs that wait until something is free, in the order of their coming. They stand in their records; this is only who is
// looked at first. Who waits in vain for a second is looked at again, the first of each line only: requests free things
// without a word.
import type { Timer, Timers } from '../../core/timers.ts';
import { type FoundJob, type JobRef, refOf } from './job-store.ts';
import type { Keeper } from './keeper.ts';

/** Jobs that wait in memory; the others are found by a sweep. */
const WAITING_MAX = 10_000;
const AGAIN_MS = 1_000;

export interface JobLinesDeps {
  readonly timers: Timers;
  readonly keeper: Pick<Keeper, 'look' | 'wakeAt'>;
}

export class JobLines implements Disposable {
  readonly #deps: JobLinesDeps;
  /** By who is counted together. */
  readonly #lines = new Map<string, Map<string, JobRef>>();
  readonly #waiting = new Map<string, string>();
  #timer: Timer | undefined;

  constructor(deps: JobLinesDeps) {
    this.#deps = deps;
  }

  wait({ request }: FoundJob, line: string): void {
    const ref = refOf(request);
    const before = this.#waiting.get(ref.assignmentId);
    if (before !== undefined && before !== line) this.leave(ref.assignmentId);
    const isWaiting = before === line;
    if (!isWaiting && this.#waiting.size >= WAITING_MAX) return;
    this.#deps.keeper.wakeAt(ref, request.expires_at_ms);
    if (isWaiting) return;
    this.#waiting.set(ref.assignmentId, line);
    this.#lines.set(line, (this.#lines.get(line) ?? new Map<string, JobRef>()).set(ref.assignmentId, ref));
    this.#timer ??= this.#deps.timers.after(AGAIN_MS, () => this.#again());
  }

  /** It goes, it is over, or somebody else has it. */
  leave(assignmentId: string): void {
    const line = this.#waiting.get(assignmentId);
    if (line === undefined) return;
    this.#waiting.delete(assignmentId);
    const refs = this.#lines.get(line);
    refs?.delete(assignmentId);
    if (refs?.size === 0) this.#lines.delete(line);
  }

  /** There may be room. */
  wake(line: string): void {
    const [first] = this.#lines.get(line)?.values() ?? [];
    if (first !== undefined) this.#deps.keeper.look(first);
  }

  keepOnly(open: ReadonlySet<string>): void {
    for (const id of this.#waiting.keys()) if (!open.has(id)) this.leave(id);
  }

  [Symbol.dispose](): void {
    this.#timer?.cancel();
    this.#lines.clear();
    this.#waiting.clear();
  }

  #again(): void {
    for (const line of this.#lines.keys()) this.wake(line);
    this.#timer = this.#lines.size === 0 ? undefined : this.#deps.timers.after(AGAIN_MS, () => this.#again());
  }
}
