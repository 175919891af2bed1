// Places to run, and a bounded first-in first-out line before them.
// S1. At most `limit` holders at once; at most `queueMax` waiters, each for at most `waitMs`.
import type { Timer, Timers } from '../core/timers.ts';

/** Who waits for a place. `run` is called once when there is one, or `refuse` when the wait was too long. */
export interface SlotWaiter {
  run(): void;
  refuse(): void;
}

interface Waiting {
  readonly waiter: SlotWaiter;
  readonly timer: Timer;
}

export class Slots {
  readonly limit: number;
  readonly #queueMax: number;
  readonly #timers: Timers;
  readonly #waiting = new Set<Waiting>();
  #active = 0;

  constructor(limit: number, queueMax: number, timers: Timers) {
    this.limit = limit;
    this.#queueMax = queueMax;
    this.#timers = timers;
  }

  get active(): number {
    return this.#active;
  }

  get queued(): number {
    return this.#waiting.size;
  }

  get isFull(): boolean {
    return this.#active >= this.limit && this.#waiting.size >= this.#queueMax;
  }

  /** Takes a place at once, or a place in the line; false when the line is full too. Give the place back with `release`. */
  enter(waiter: SlotWaiter, waitMs: number): boolean {
    if (this.#active < this.limit) {
      this.#active++;
      waiter.run();
      return true;
    }
    if (this.#waiting.size >= this.#queueMax) return false;
    const waiting: Waiting = {
      waiter,
      timer: this.#timers.after(waitMs, () => {
        this.#waiting.delete(waiting);
        waiter.refuse();
      }),
    };
    this.#waiting.add(waiting);
    return true;
  }

  /** Leaves the line; false if the waiter was not in it. */
  leave(waiter: SlotWaiter): boolean {
    for (const waiting of this.#waiting) {
      if (waiting.waiter !== waiter) continue;
      waiting.timer.cancel();
      return this.#waiting.delete(waiting);
    }
    return false;
  }

  /** Refuses everybody in the line. */
  clear(): void {
    for (const waiting of this.#waiting) {
      waiting.timer.cancel();
      this.#waiting.delete(waiting);
      waiting.waiter.refuse();
    }
  }

  release(): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#active--;
      return;
    }
    next.timer.cancel();
    this.#waiting.delete(next);
    next.waiter.run();
  }
}
