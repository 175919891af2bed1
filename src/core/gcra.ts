// A rate as the generic cell rate algorithm keeps it (ITU-T I.371): one number, no window, exact waits.

export interface Rate {
  readonly perSecond: number;
  /** How much may come at once after a rest; at least what one request costs, or it never passes. */
  readonly burst: number;
}

export class Gcra {
  /** When everything that was taken will have been earned, in milliseconds of the caller's clock. */
  #earnedAtMs = -Infinity;

  /** Takes the cost and gives 0, or takes nothing and gives the milliseconds after which it would pass. */
  take(cost: number, { perSecond, burst }: Rate, nowMs: number): number {
    const costMs = (cost * 1_000) / perSecond;
    const earnedAtMs = Math.max(this.#earnedAtMs, nowMs) + costMs;
    const waitMs = earnedAtMs - (burst * 1_000) / perSecond - nowMs;
    // A cost above the burst would never pass: it passes when everything is earned.
    if (waitMs > 0 && !(cost > burst && this.#earnedAtMs <= nowMs)) return waitMs;
    this.#earnedAtMs = earnedAtMs;
    return 0;
  }

  /** Takes more, or gives back a negative amount, of what was estimated when it was taken. */
  correct(difference: number, { perSecond }: Rate): void {
    this.#earnedAtMs += (difference * 1_000) / perSecond;
  }

  /** Everything is earned: a new one would say the same. */
  isIdle(nowMs: number): boolean {
    return this.#earnedAtMs <= nowMs;
  }
}
