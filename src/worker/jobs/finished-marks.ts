// Takes the marks of attempts away that are over: without that a busy fleet would fill their bucket within the hour.
// F1. A mark goes only once the record of its job says that the attempt is over: from then on the record keeps what is
//     delivered again from running. Until that can be read it stays, at last until it expires.
import type { Timer, Timers } from '../../core/timers.ts';
import type { Log } from '../../telemetry/log.ts';
import type { AttemptKey, AttemptMarkers } from './attempt-markers.ts';
import { isDoneWith, type Standing } from './job-record.ts';

/** Marks that wait; what is over that is left to expire. */
const WAITING_MAX = 50_000;
/** Before each look. A router usually has written the end after some milliseconds; what is younger is trusted (job-run.ts). */
const LOOKS_MS = [5_000, 15_000, 60_000, 240_000, 960_000] as const;
const TICK_MS = 1_000;
const PARALLEL = 16;

export interface FinishedMarksDeps {
  readonly timers: Timers;
  readonly log: Log;
  readonly markers: AttemptMarkers;
  readonly standing: (key: AttemptKey) => Promise<Standing>;
}

/** What an attempt may have left in the bucket. */
export interface Left {
  readonly hasMarker: boolean;
  readonly wasGivenBack: boolean;
}

interface Waiting {
  readonly key: AttemptKey;
  readonly left: Left;
  readonly looks: number;
  readonly dueMs: number;
}

export class FinishedMarks implements Disposable {
  readonly #deps: FinishedMarksDeps;
  /** One line for each number of looks, so that each is in the order of its moments. */
  readonly #lines: Waiting[][] = LOOKS_MS.map(() => []);
  readonly #due: Waiting[] = [];
  #size = 0;
  #running = 0;
  #timer: Timer | undefined;
  #isClosed = false;

  constructor(deps: FinishedMarksDeps) {
    this.#deps = deps;
  }

  /** The attempt ended here, and its result is on its stream. */
  add(key: AttemptKey, left: Left): void {
    if (left.hasMarker || left.wasGivenBack) this.#await(key, left, 0);
  }

  [Symbol.dispose](): void {
    this.#isClosed = true;
    this.#due.length = 0;
    this.#timer?.cancel();
  }

  #await(key: AttemptKey, left: Left, looks: number): void {
    const [line, waitMs] = [this.#lines[looks], LOOKS_MS[looks]];
    if (line === undefined || waitMs === undefined || this.#size >= WAITING_MAX || this.#isClosed) return;
    line.push({ key, left, looks, dueMs: this.#deps.timers.clock.nowMs() + waitMs });
    this.#size++;
    this.#timer ??= this.#deps.timers.after(TICK_MS, () => this.#tick());
  }

  #tick(): void {
    const nowMs = this.#deps.timers.clock.nowMs();
    for (const line of this.#lines) {
      const early = line.findIndex(({ dueMs }) => dueMs > nowMs);
      this.#due.push(...line.splice(0, early < 0 ? line.length : early));
    }
    this.#timer = this.#size > 0 ? this.#deps.timers.after(TICK_MS, () => this.#tick()) : undefined;
    while (this.#running < PARALLEL && this.#due.length > 0) {
      this.#running++;
      void this.#work().finally(() => this.#running--);
    }
  }

  async #work(): Promise<void> {
    for (let one = this.#due.pop(); one !== undefined && !this.#isClosed; one = this.#due.pop()) {
      this.#size--;
      // eslint-disable-next-line no-await-in-loop -- each takes the next one
      if (!(await this.#isGone(one))) this.#await(one.key, one.left, one.looks + 1);
    }
  }

  async #isGone({ key, left }: Waiting): Promise<boolean> {
    const { standing, markers, log } = this.#deps;
    try {
      if (!isDoneWith(await standing(key))) return false;
      if (left.hasMarker) await markers.erase(key);
      if (left.wasGivenBack) await markers.eraseGiven(key);
      return true;
    } catch (fault) {
      log.debug('job_marker_not_erased', { tenant_id: key.tenantId, assignment_id: key.assignmentId, fault });
      return false;
    }
  }
}
