// Cancels that came before their assignment: remembered for a while, at most so many.
import { CANCEL_MEMORY_COUNT, CANCEL_MEMORY_MS } from '../contracts/limits.ts';
import type { Clock } from '../core/clock.ts';
import { Recent } from '../core/recent.ts';

interface Early {
  readonly untilMs: number;
  /** Undefined: all attempts. */
  readonly attempt: number | undefined;
}

export class CancelMemory {
  readonly #clock: Clock;
  readonly #early = new Recent<Early>(CANCEL_MEMORY_COUNT);

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  remember(assignmentId: string, attempt: number | undefined): void {
    this.#early.set(assignmentId, { untilMs: this.#clock.nowMs() + CANCEL_MEMORY_MS, attempt });
  }

  has(assignmentId: string, attempt: number): boolean {
    const early = this.#early.get(assignmentId);
    if (early === undefined || early.untilMs <= this.#clock.nowMs()) return false;
    return early.attempt === undefined || early.attempt === attempt;
  }
}
