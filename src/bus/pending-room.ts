// How many more deliveries this process takes: each holds a place until it is settled or its ack wait is over, after
// which the server gives it to somebody else.
import type { Timer, Timers } from '../core/timers.ts';
import { atTurnEnd } from '../core/turn.ts';

/** A delivery's place. */
export interface Hold {
  /** Starts the ack wait anew. */
  extend(): void;
  release(): void;
}

export class PendingRoom {
  #left: number;
  #isEnded = false;
  #wake: (() => void) | undefined;

  constructor(max: number) {
    this.#left = max;
  }

  get left(): number {
    return this.#left;
  }

  take(timers: Timers, ackWaitMs: number): Hold {
    this.#left--;
    let timer: Timer | undefined;
    let isOver = false;
    const release = (): void => {
      timer?.cancel();
      if (isOver) return;
      isOver = true;
      this.#left++;
      this.#wake?.();
    };
    const extend = (): void => {
      timer?.cancel();
      if (!isOver) timer = timers.after(ackWaitMs, release);
    };
    extend();
    return { extend, release };
  }

  /** Resolves when there is room, with all that this turn of the loop makes, or after the end; for one who waits. */
  open(): Promise<void> {
    if (this.#left > 0 || this.#isEnded) return Promise.resolve();
    return new Promise((resolve) => {
      this.#wake = () => {
        this.#wake = undefined;
        atTurnEnd(resolve);
      };
    });
  }

  end(): void {
    this.#isEnded = true;
    this.#wake?.();
  }
}
