// Cancels that came before their assignment: remembered for a while, at most so many.
// A cancel of an attempt is one of every earlier attempt too, since a router starts none before the last one is over.
import { CANCEL_MEMORY_COUNT, CANCEL_MEMORY_MS } from '../contracts/limits.ts';
import type { Clock } from '../core/clock.ts';
import { Recent } from '../core/recent.ts';

interface Early {
  readonly untilMs: number;
  /** The last attempt that nobody wants. */
  readonly attempt: number;
}

export class CancelMemory {
  readonly #clock: Clock;
  readonly #early = new Recent<Early>(CANCEL_MEMORY_COUNT);

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Without an attempt: all of them, also those that are still to be made. */
  remember(assignmentId: string, attempt = Number.POSITIVE_INFINITY): void {
    const last = Math.max(attempt, this.#lastOf(assignmentId));
    this.#early.set(assignmentId, { untilMs: this.#clock.nowMs() + CANCEL_MEMORY_MS, attempt: last });
  }

  has(assignmentId: string, attempt: number): boolean {
    return attempt <= this.#lastOf(assignmentId);
  }

  #lastOf(assignmentId: string): number {
    const early = this.#early.get(assignmentId);
    return early === undefined || early.untilMs <= this.#clock.nowMs() ? 0 : early.attempt;
  }
}
