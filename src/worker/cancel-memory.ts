// Cancels that came before their assignment: remembered for a while, at most so many.
import { CANCEL_MEMORY_COUNT, CANCEL_MEMORY_MS } from '../contracts/limits.ts';
import type { Clock } from '../core/clock.ts';

export class CancelMemory {
  readonly #clock: Clock;
  readonly #untilMs = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  remember(key: string): void {
    this.#untilMs.delete(key);
    this.#untilMs.set(key, this.#clock.nowMs() + CANCEL_MEMORY_MS);
    if (this.#untilMs.size <= CANCEL_MEMORY_COUNT) return;
    for (const oldest of this.#untilMs.keys()) {
      this.#untilMs.delete(oldest);
      return;
    }
  }

  /** Whether the key was cancelled; asked once per assignment. */
  take(key: string): boolean {
    const untilMs = this.#untilMs.get(key);
    return untilMs !== undefined && this.#untilMs.delete(key) && untilMs > this.#clock.nowMs();
  }
}
