// Cancels that came before their assignment: remembered for a while, at most so many.
import { CANCEL_MEMORY_COUNT, CANCEL_MEMORY_MS } from '../contracts/limits.ts';
import type { Clock } from '../core/clock.ts';
import { Recent } from '../core/recent.ts';

export class CancelMemory {
  readonly #clock: Clock;
  readonly #untilMs = new Recent<number>(CANCEL_MEMORY_COUNT);

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  remember(key: string): void {
    this.#untilMs.set(key, this.#clock.nowMs() + CANCEL_MEMORY_MS);
  }

  /** Whether the key was cancelled; asked once per assignment. */
  take(key: string): boolean {
    const untilMs = this.#untilMs.get(key);
    return untilMs !== undefined && this.#untilMs.delete(key) && untilMs > this.#clock.nowMs();
  }
}
