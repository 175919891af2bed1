// What one process holds of one window of a budget: reservations open, amounts spent that the ledger has not folded yet,
// and what is free of its lease. Synchronous bookkeeping; who extends and returns the lease is `leased-budget.ts`.
// L1. Reserved, spent and free add up to the lease, so the sum over all processes never exceeds what was available.
// L2. Moments are monotonic, except for `holdUntilMs`.
// L3. A spent amount stays until the ledger's fold has passed it by some seconds; until then it counts here.

/** The fold must have passed a spent amount by this before it is let go (worker 14.3). */
export const FOLD_SLACK_MS = 5_000;
/** What is free and was not needed for this long goes back to the budget (worker 14.3). */
export const IDLE_MS = 10_000;

interface Spent {
  readonly amount: number;
  readonly atMs: number;
}

export class BudgetLease {
  #amount = 0;
  #reserved = 0;
  #spentSum = 0;
  readonly #spent: Spent[] = [];
  #neededAtMs = 0;
  /** Epoch moment until which the lease must live if this process falls silent. */
  holdUntilMs = 0;

  get amount(): number {
    return this.#amount;
  }

  get free(): number {
    return this.#amount - this.#reserved - this.#spentSum;
  }

  /** No reservation is open. */
  get isSettled(): boolean {
    return this.#reserved === 0;
  }

  /** Nothing is reserved, spent or free. */
  get isEmpty(): boolean {
    return this.#amount === 0;
  }

  /** The bucket granted more. */
  extend(amount: number): void {
    this.#amount += amount;
  }

  /** Takes from what is free; false if that is too little. `holdUntilMs` is when the reservation ends at the latest. */
  reserve(amount: number, nowMs: number, holdUntilMs: number): boolean {
    if (amount > this.free) return false;
    this.#reserved += amount;
    this.#neededAtMs = nowMs;
    this.holdUntilMs = Math.max(this.holdUntilMs, holdUntilMs);
    return true;
  }

  /**
   * Ends a reservation. What was spent of it stays until it is folded; spending more than was reserved takes from what
   * is free, and beyond that counts when it is folded.
   */
  settle(reserved: number, actual: number, atMs: number): void {
    this.#reserved -= reserved;
    const kept = Math.min(actual, this.free);
    if (kept <= 0) return;
    this.#spent.push({ amount: kept, atMs });
    this.#spentSum += kept;
  }

  /**
   * What may go back to the budget now: what was folded, and of what is free all that lies idle, else `wanted`. The
   * lease is smaller by it afterwards.
   */
  release(watermarkMs: number, nowMs: number, wanted = 0): number {
    let folded = 0;
    while (this.#spent[0] !== undefined && this.#spent[0].atMs + FOLD_SLACK_MS <= watermarkMs) {
      folded += this.#spent.shift()?.amount ?? 0;
    }
    this.#spentSum -= folded;
    const free = Math.max(0, this.free - folded);
    const idle = nowMs - this.#neededAtMs >= IDLE_MS ? free : Math.min(free, wanted);
    this.#amount -= folded + idle;
    return folded + idle;
  }

  /** The bucket has less: the holder was taken for dead. What is open goes on; nothing more is given from what is lost. */
  lose(amount: number): void {
    this.#amount = Math.max(amount, this.#reserved + this.#spentSum);
  }
}
