// Which provider a session stays with: bounded, least recently used out first; losing it is harmless (policy 5.7).
import type { Clock } from '../core/clock.ts';
import { Recent } from '../core/recent.ts';

const BINDINGS_MAX = 100_000;

interface Binding {
  readonly provider: string;
  readonly untilMs: number;
}

export class StickyBindings {
  readonly #clock: Clock;
  readonly #bindings = new Recent<Binding>(BINDINGS_MAX);

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
    this.#bindings.set(key, { provider, untilMs: this.#clock.nowMs() + ttlMs });
  }
}
