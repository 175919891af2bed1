// How long one call may be silent: until its first content, then between events (worker 6).
// One entry of the wheel per call. Progress only notes the moment; the entry looks at it when it fires and waits on.
import type { Timer, Timers } from '../core/timers.ts';

/** Which limit passed. */
export type Silence = 'first_chunk' | 'idle';

export interface PatienceLimits {
  /** Milliseconds from the start to the first content. */
  readonly firstChunkMs: number;
  /** Milliseconds between two events after that. */
  readonly idleMs: number;
}

/** Hears at most once that a limit passed. */
export interface Impatient {
  tooSilent(silence: Silence): void;
}

export class Patience {
  readonly #timers: Timers;
  readonly #idleMs: number;
  readonly #owner: Impatient;
  #timer: Timer;
  #timerDueMs: number;
  #lastMs: number | undefined;

  constructor(timers: Timers, limits: PatienceLimits, owner: Impatient) {
    this.#timers = timers;
    this.#idleMs = limits.idleMs;
    this.#owner = owner;
    this.#timerDueMs = timers.clock.nowMs() + limits.firstChunkMs;
    this.#timer = this.#arm();
  }

  /** Content has come, or an event after the first content. */
  progress(): void {
    const nowMs = this.#timers.clock.nowMs();
    const isFirst = this.#lastMs === undefined;
    this.#lastMs = nowMs;
    if (!isFirst || nowMs + this.#idleMs >= this.#timerDueMs) return;
    this.#timer.cancel();
    this.#timerDueMs = nowMs + this.#idleMs;
    this.#timer = this.#arm();
  }

  stop(): void {
    this.#timer.cancel();
  }

  #arm(): Timer {
    return this.#timers.at(this.#timerDueMs, () => this.#look());
  }

  #look(): void {
    if (this.#lastMs === undefined) {
      this.#owner.tooSilent('first_chunk');
      return;
    }
    this.#timerDueMs = this.#lastMs + this.#idleMs;
    if (this.#timerDueMs <= this.#timers.clock.nowMs()) this.#owner.tooSilent('idle');
    else this.#timer = this.#arm();
  }
}
