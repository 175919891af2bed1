// How late the event loop is: a timer that comes back each twentieth of a second or so, and the worst of its delays.
import type { Timer, Timers } from './timers.ts';

/** As often as the wheel turns anyway. */
const EVERY_MS = 20;
const WINDOW_MS = 5_000;
/** Samples of that time, where nothing is late. */
const KEPT = WINDOW_MS / EVERY_MS;
const PERCENTILE = 0.99;

export class LoopLag implements Disposable {
  readonly #timers: Timers;
  /** The newest delays; what was not measured yet counts as none. */
  readonly #delays = new Float64Array(KEPT);
  /** When they were measured: a loop that is late measures seldom. */
  readonly #moments = new Float64Array(KEPT).fill(-Infinity);
  #at = 0;
  #dueMs: number;
  #timer: Timer;

  constructor(timers: Timers) {
    this.#timers = timers;
    this.#dueMs = timers.clock.nowMs() + EVERY_MS;
    this.#timer = timers.at(this.#dueMs, this.#measure);
  }

  /** In milliseconds, over the last five seconds. */
  get p99Ms(): number {
    const sinceMs = this.#timers.clock.nowMs() - WINDOW_MS;
    const recent = this.#delays.map((delay, at) => ((this.#moments[at] ?? 0) > sinceMs ? delay : 0));
    return recent.sort()[Math.ceil(KEPT * PERCENTILE) - 1] ?? 0;
  }

  [Symbol.dispose](): void {
    this.#timer.cancel();
  }

  readonly #measure = (): void => {
    const nowMs = this.#timers.clock.nowMs();
    // The wheel may be a tick late without anybody having held it up.
    this.#delays[this.#at] = Math.max(0, nowMs - this.#dueMs - EVERY_MS);
    this.#moments[this.#at] = nowMs;
    this.#at = (this.#at + 1) % KEPT;
    this.#dueMs = nowMs + EVERY_MS;
    this.#timer = this.#timers.at(this.#dueMs, this.#measure);
  };
}
