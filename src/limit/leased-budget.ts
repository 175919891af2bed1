// One window of one budget as this process leases it: a compare-and-set when its lease is short, none otherwise.
// B1. One extension is under way at a time; who waits meanwhile is served by the next one together.
// B2. A lease is larger than what is asked for, so that the next requests need no round; near the limit it is not.
// B3. What is not needed any more goes back by `tend`, which its owner calls now and then.
import { type BudgetAccount, type BudgetEntry, budgetEntry, budgetKey } from '../contracts/budget.ts';
import { BeamlineError } from '../core/errors.ts';
import type { Clock } from '../core/clock.ts';
import { availableIn, leaseOf, newEntry, withLease } from './budget-entry.ts';
import { BudgetLease } from './budget-lease.ts';

/** The part of a bucket that budgets need. */
export interface BudgetBucket {
  get(key: string): Promise<{ readonly value: string; readonly revision: number } | undefined>;
  update(key: string, value: string, revision: number): Promise<number>;
}

const TRIES_MAX = 20;
/** A lease asks for this many times what is needed now, if a sixteenth of what is available allows it. */
const AHEAD = 10;
const SHARE_MAX = 1 / 16;
/** A lease outlives its newest reservation by this, so that clocks may differ (contracts 1.1). */
const SKEW_MS = 2_000;

export interface LeasedBudgetOptions {
  readonly bucket: BudgetBucket;
  readonly account: BudgetAccount;
  readonly holder: string;
  readonly clock: Clock;
}

interface Waiting {
  readonly amount: number;
  readonly holdUntilMs: number;
  readonly resolve: (isGranted: boolean) => void;
  readonly reject: (fault: unknown) => void;
}

export class LeasedBudget {
  readonly #options: LeasedBudgetOptions;
  readonly #lease = new BudgetLease();
  /** As it was last read; its limit is that of the budget's definition. */
  #entry: BudgetEntry;
  readonly #key: string;
  #waiting: Waiting[] = [];
  #isExtending = false;

  constructor(options: LeasedBudgetOptions) {
    this.#options = options;
    this.#entry = newEntry(options.account, 0);
    this.#key = budgetKey(options.account);
  }

  /** Share of the limit that is settled or held by anybody, as far as this process knows. */
  get usedShare(): number {
    const { limit } = this.#entry;
    return limit === 0 ? 1 : 1 - availableIn(this.#entry) / limit;
  }

  /** Nothing is held here and nobody waits: it may be forgotten. */
  get isIdle(): boolean {
    return this.#lease.isEmpty && this.#waiting.length === 0 && !this.#isExtending;
  }

  /** At once from the lease; false if that is too little. */
  tryReserve(amount: number, holdUntilMs: number): boolean {
    return this.#waiting.length === 0 && this.#lease.reserve(amount, this.#nowMs(), holdUntilMs);
  }

  /** Extends the lease if that is needed; false if the budget does not have the amount. Throws what the bucket throws. */
  reserve(amount: number, holdUntilMs: number, limit: number): Promise<boolean> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ amount, holdUntilMs, resolve, reject });
      if (!this.#isExtending) void this.#extend(limit);
    });
  }

  settle(reserved: number, actual: number): void {
    this.#lease.settle(reserved, actual, this.#nowMs());
  }

  /** Gives back what is folded or idle. Throws what the bucket throws; the next call makes up for it. */
  async tend(limit: number): Promise<void> {
    if (this.#lease.isEmpty || this.#isExtending) return;
    this.#isExtending = true;
    try {
      await this.#write(limit, () => {
        this.#lease.release(this.#entry.watermark_ms, this.#nowMs());
        return this.#lease.amount;
      });
    } finally {
      this.#isExtending = false;
    }
    if (this.#waiting.length > 0) void this.#extend(limit);
  }

  async #extend(limit: number): Promise<void> {
    this.#isExtending = true;
    while (this.#waiting.length > 0) {
      const waiting = this.#waiting;
      this.#waiting = [];
      try {
        const wanted = waiting.reduce((sum, { amount }) => sum + amount, 0);
        const holdUntilMs = Math.max(...waiting.map((one) => one.holdUntilMs)) + SKEW_MS;
        this.#lease.holdUntilMs = Math.max(this.#lease.holdUntilMs, holdUntilMs);
        // oxlint-disable-next-line no-await-in-loop -- one extension after the other
        await this.#write(limit, (available) => this.#lease.amount + grantOf(wanted - this.#lease.free, available));
        for (const { amount, holdUntilMs: untilMs, resolve } of waiting) {
          resolve(this.#lease.reserve(amount, this.#nowMs(), untilMs));
        }
      } catch (fault) {
        for (const { reject } of waiting) reject(fault);
      }
    }
    this.#isExtending = false;
  }

  /** Sets the lease in the bucket to what `amountOf` says of what is available beside it, and then here. */
  async #write(limit: number, amountOf: (available: number) => number): Promise<void> {
    const { bucket, holder } = this.#options;
    for (let tried = 0; tried < TRIES_MAX; tried++) {
      // oxlint-disable-next-line no-await-in-loop -- each try sees what the one before met
      const { entry, revision } = await this.#read(limit);
      const held = leaseOf(entry, holder);
      const amount = Math.min(amountOf(availableIn(entry)), held + availableIn(entry));
      if (amount === held) return this.#keep(entry, amount);
      const next = withLease(entry, holder, { amount, holdUntilMs: this.#lease.holdUntilMs }, limit);
      try {
        // oxlint-disable-next-line no-await-in-loop -- as above
        await bucket.update(this.#key, JSON.stringify(next), revision);
        return this.#keep(next, amount);
      } catch (fault) {
        if (BeamlineError.from(fault).code !== 'precondition_failed') throw fault;
      }
    }
    throw new BeamlineError('unavailable', 'the budget is written by too many at once');
  }

  #keep(entry: BudgetEntry, amount: number): void {
    this.#entry = entry;
    if (amount > this.#lease.amount) this.#lease.extend(amount - this.#lease.amount);
  }

  async #read(limit: number): Promise<{ entry: BudgetEntry; revision: number }> {
    const found = await this.#options.bucket.get(this.#key);
    const value: unknown = found === undefined ? newEntry(this.#options.account, limit) : JSON.parse(found.value);
    if (!budgetEntry.check(value)) throw new BeamlineError('internal', 'the entry of a budget cannot be read');
    this.#entry = { ...value, limit };
    return { entry: this.#entry, revision: found?.revision ?? 0 };
  }

  #nowMs(): number {
    return this.#options.clock.epochMs();
  }
}

/** How much more to lease: what is missing, and ahead of need what leaves others enough. */
function grantOf(missing: number, available: number): number {
  if (missing <= 0) return 0;
  if (missing > available) return available;
  return Math.min(available, Math.max(missing, Math.min(missing * AHEAD, Math.floor(available * SHARE_MAX))));
}
