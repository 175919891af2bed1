// Which provider a session stays with: bounded, least recently used first out; losing it is harmless (policy 5.7).
import type { Clock } from '../core/clock.ts';

const BINDINGS_MAX = 100_000;

interface Binding {
  readonly provider: string;
  readonly untilMs: number;
}

export class StickyBindings {
  readonly #clock: Clock;
  readonly #bindings = new Map<string, Binding>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get(key: string): string | undefined {
    const binding = this.#bindings.get(key);
    if (binding === undefined) return undefined;
    if (binding.untilMs > this.#clock.nowMs()) return binding.provider;
    this.#bindings.delete(key);
    return undefined;
  }

  /** Binds or renews. */
  set(key: string, provider: string, ttlMs: number): void {
    this.#bindings.delete(key);
    this.#bindings.set(key, { provider, untilMs: this.#clock.nowMs() + ttlMs });
    if (this.#bindings.size <= BINDINGS_MAX) return;
    for (const oldest of this.#bindings.keys()) {
      this.#bindings.delete(oldest);
      return;
    }
  }
}
