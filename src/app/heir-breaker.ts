// Keeps requests from a policy store that does not answer (policy 12.2): after 5 failures in a row nothing is sent
// for 10 s, then one request goes ahead; while those fail, the wait doubles up to 60 s.
// B1. What was sent before the breaker opened changes nothing but by a success: only the probe speaks for the store.
import type { Clock } from '../core/clock.ts';

const FAILURES_MAX = 5;
const OPEN_MS = 10_000;
const OPEN_MAX_MS = 60_000;

type State =
  | { readonly kind: 'closed'; readonly failures: number }
  | { readonly kind: 'open'; readonly untilMs: number; readonly spanMs: number }
  | { readonly kind: 'half_open'; readonly spanMs: number };

/** Leave to send one request; `heard` must be told how it went, once. */
export interface Pass {
  heard(isGood: boolean): void;
}

export class HeirBreaker {
  readonly #clock: Clock;
  #state: State = { kind: 'closed', failures: 0 };

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A pass, or the milliseconds after which to ask again; 0 while the probe is out. */
  enter(): Pass | number {
    const state = this.#state;
    if (state.kind === 'half_open') return 0;
    if (state.kind === 'closed') return { heard: (isGood) => this.#heard(isGood) };
    const leftMs = state.untilMs - this.#clock.nowMs();
    if (leftMs > 0) return leftMs;
    this.#state = { kind: 'half_open', spanMs: state.spanMs };
    return { heard: (isGood) => this.#probed(isGood, state.spanMs) };
  }

  #heard(isGood: boolean): void {
    if (isGood) this.#state = { kind: 'closed', failures: 0 };
    else if (this.#state.kind === 'closed') {
      const failures = this.#state.failures + 1;
      this.#state = failures < FAILURES_MAX ? { kind: 'closed', failures } : this.#opened(OPEN_MS);
    }
  }

  #probed(isGood: boolean, spanMs: number): void {
    if (isGood) this.#state = { kind: 'closed', failures: 0 };
    else if (this.#state.kind === 'half_open') this.#state = this.#opened(Math.min(2 * spanMs, OPEN_MAX_MS));
  }

  #opened(spanMs: number): State {
    return { kind: 'open', spanMs, untilMs: this.#clock.nowMs() + spanMs };
  }
}
