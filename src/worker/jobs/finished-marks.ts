// Takes the marks of attempts away that are over: without that a busy fleet would fill their bucket within the hour.
// F1. A mark goes only once the record of its job says that the attempt is over: from then on the record keeps what is
//     delivered again from running. Until that is known it stays, at last until it expires.
// F2. Routers acknowledge a result after they wrote what it means, so one look at their place in the stream of results
//     tells it of all that were confirmed before; a record is read only where that tells nothing.
// F3. A number of the stream is good for the connection that it came over: a server that was killed may have lost the
//     result, and given its number to another one.
import type { Bus } from '../../bus/bus.ts';
import { resultStream, routerResults } from '../../contracts/streams.ts';
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
  readonly bus: Bus;
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

interface ResultNumber {
  readonly seq: number;
  /** The number of connections before it. */
  readonly link: number;
}

interface Waiting {
  readonly key: AttemptKey;
  readonly left: Left;
  /** Of its result, where that was confirmed. */
  readonly result: ResultNumber | undefined;
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
  #links = 0;
  readonly #linked: Disposable;
  /** Results up to this one have been taken by routers. */
  #taken: ResultNumber = { seq: 0, link: 0 };

  constructor(deps: FinishedMarksDeps) {
    this.#deps = deps;
    this.#linked = deps.bus.onState(() => this.#links++);
  }

  /** The attempt ended here, and its result is on its stream, under this number if that is known. */
  add(key: AttemptKey, left: Left, seq?: number): void {
    if (!left.hasMarker && !left.wasGivenBack) return;
    this.#await({ key, left, result: seq === undefined ? undefined : { seq, link: this.#links }, looks: 0 });
  }

  [Symbol.dispose](): void {
    this.#isClosed = true;
    this.#linked[Symbol.dispose]();
    this.#due.length = 0;
    this.#timer?.cancel();
  }

  #await(of: Omit<Waiting, 'dueMs'>): void {
    const [line, waitMs] = [this.#lines[of.looks], LOOKS_MS[of.looks]];
    if (line === undefined || waitMs === undefined || this.#size >= WAITING_MAX || this.#isClosed) return;
    line.push({ ...of, dueMs: this.#deps.timers.clock.nowMs() + waitMs });
    this.#size++;
    this.#timer ??= this.#deps.timers.after(TICK_MS, () => void this.#tick());
  }

  async #tick(): Promise<void> {
    const nowMs = this.#deps.timers.clock.nowMs();
    for (const line of this.#lines) {
      const early = line.findIndex(({ dueMs }) => dueMs > nowMs);
      this.#due.push(...line.splice(0, early < 0 ? line.length : early));
    }
    if (this.#due.some(({ result }) => result !== undefined)) await this.#askTaken();
    this.#timer =
      this.#size > 0 && !this.#isClosed ? this.#deps.timers.after(TICK_MS, () => void this.#tick()) : undefined;
    while (this.#running < PARALLEL && this.#due.length > 0) {
      this.#running++;
      void this.#work().finally(() => this.#running--);
    }
  }

  async #work(): Promise<void> {
    for (let one = this.#due.pop(); one !== undefined && !this.#isClosed; one = this.#due.pop()) {
      this.#size--;
      // eslint-disable-next-line no-await-in-loop -- each takes the next one
      if (!(await this.#isGone(one))) this.#await({ ...one, looks: one.looks + 1 });
    }
  }

  async #askTaken(): Promise<void> {
    const { bus, log } = this.#deps;
    const link = this.#links;
    try {
      this.#taken = { seq: (await bus.progress(resultStream, routerResults)).settledSeq, link };
    } catch (fault) {
      log.debug('job_results_not_known', { fault });
    }
  }

  #isTaken(result: ResultNumber | undefined): boolean {
    const { seq, link } = this.#taken;
    return result !== undefined && result.link === link && link === this.#links && result.seq <= seq;
  }

  async #isGone({ key, left, result }: Waiting): Promise<boolean> {
    const { standing, markers, log } = this.#deps;
    try {
      if (!this.#isTaken(result) && !isDoneWith(await standing(key))) return false;
      if (left.hasMarker) await markers.erase(key);
      if (left.wasGivenBack) await markers.eraseGiven(key);
      return true;
    } catch (fault) {
      log.debug('job_marker_not_erased', { tenant_id: key.tenantId, assignment_id: key.assignmentId, fault });
      return false;
    }
  }
}
