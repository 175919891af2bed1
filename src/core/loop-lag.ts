// How late the event loop is: a timer that comes back each twentieth of a second or so, and the worst of its delays.
import type { Timer, Timers } from './timers.ts';

/** As often as the wheel turns anyway. */
const EVERY_MS = 20;
/** Five seconds of samples. */
const KEPT = 250;
const PERCENTILE = 0.99;

export class LoopLag implements Disposable {
  readonly #timers: Timers;
  /** The newest delays; what was not measured yet counts as none. */
  readonly #delays = new Float64Array(KEPT);
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
    return this.#delays.toSorted()[Math.ceil(KEPT * PERCENTILE) - 1] ?? 0;
  }

  [Symbol.dispose](): void {
    this.#timer.cancel();
  }

  readonly #measure = (): void => {
    const nowMs = this.#timers.clock.nowMs();
    // The wheel may be a tick late without anybody having held it up.
    this.#delays[this.#at] = Math.max(0, nowMs - this.#dueMs - EVERY_MS);
    this.#at = (this.#at + 1) % KEPT;
    this.#dueMs = nowMs + EVERY_MS;
    this.#timer = this.#timers.at(this.#dueMs, this.#measure);
  };
}
