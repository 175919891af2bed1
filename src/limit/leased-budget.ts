// One window of one budget as this process leases it: a compare-and-set when its lease is short, none otherwise.
// B1. One extension is under way at a time; who waits meanwhile is served by the next one together.
// B2. A lease is larger than what is asked for, so that the next requests need no round; near the limit it is not.
// B3. What is not needed any more goes back by `tend`, which its owner calls every two seconds.
// B4. A lease is held in the bucket at least as long as every reservation in it, and while this process lives.
import { type BudgetAccount, type BudgetEntry, budgetEntry, budgetKey } from '../contracts/budget.ts';
import { readRecord } from '../contracts/codec.ts';
import { BeamlineError } from '../core/errors.ts';
import type { Clock } from '../core/clock.ts';
import { availableIn, entryText, holdOf, leaseOf, newEntry, overdrawnIn, roomFor, withLease } from './budget-entry.ts';
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
/** It is held longer by this, so that the reservations of the next seconds need no round. */
const HOLD_AHEAD_MS = 10_000;
/** A hold that ends so soon is made longer by `tend`. */
const HOLD_LEAST_MS = 6_000;
/** What a process that goes has spent is folded by then. */
const LAST_MS = 15_000;

export interface LeasedBudgetOptions {
  readonly bucket: BudgetBucket;
  readonly account: BudgetAccount;
  readonly holder: string;
  readonly clock: Clock;
}

/** What is known of a window; amounts in the budget's unit. */
export interface BudgetView {
  readonly limit: number;
  readonly settled: number;
  /** Held by others, and here for what is open or not folded yet. */
  readonly reserved: number;
  /** Monotonic; -Infinity if nothing was read yet. */
  readonly readAtMs: number;
}

/** A view that nobody asked for this long is let go. */
const VIEW_KEPT_MS = 10_000;

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
  /** As it stands in the bucket. */
  #holdUntilMs = 0;
  #readAtMs = Number.NEGATIVE_INFINITY;

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

  /** Nothing is held here, nobody waits, and what was read is old: it may be forgotten. */
  get isIdle(): boolean {
    const isUsed = !this.#isEmpty || this.#waiting.length > 0 || this.#isExtending;
    return !isUsed && this.#options.clock.nowMs() - this.#readAtMs >= VIEW_KEPT_MS;
  }

  view(limit: number): BudgetView {
    const { settled, leases } = this.#entry;
    const { holder } = this.#options;
    let reserved = this.#lease.amount - this.#lease.free;
    for (const [name, { amount }] of Object.entries(leases)) if (name !== holder) reserved += amount;
    return { limit, settled, reserved, readAtMs: this.#readAtMs };
  }

  /** Reads without leasing. Throws what the bucket throws. */
  async look(limit: number): Promise<void> {
    await this.#read(limit);
  }

  /** At once from the lease; false if that is too little or held too short. */
  tryReserve(amount: number, holdUntilMs: number): boolean {
    if (this.#waiting.length > 0 || holdUntilMs + SKEW_MS > this.#holdUntilMs) return false;
    return this.#lease.reserve(amount, this.#options.clock.nowMs(), holdUntilMs);
  }

  /** Extends the lease if that is needed; false if the budget does not have the amount. Throws what the bucket throws. */
  reserve(amount: number, holdUntilMs: number, limit: number): Promise<boolean> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ amount, holdUntilMs, resolve, reject });
      if (!this.#isExtending) void this.#extend(limit);
    });
  }

  /** The limit is lower: nothing more is given from what is free here. The bucket hears of it by `tend`. */
  forgo(): void {
    this.#release(Number.POSITIVE_INFINITY);
  }

  settle(reserved: number, actual: number): void {
    this.#lease.settle(reserved, actual, this.#options.clock.nowMs());
  }

  /**
   * Gives back what is folded, idle or beyond the limit, and at the last all that is free. Throws what the bucket throws;
   * the next call makes up for it.
   */
  async tend(limit: number, isLast = false): Promise<void> {
    if (this.#isEmpty || this.#isExtending) return;
    this.#isExtending = true;
    try {
      const amountOf = (): number => {
        const wanted = isLast ? Number.POSITIVE_INFINITY : overdrawnIn(this.#entry);
        this.#release(wanted);
        return this.#lease.amount;
      };
      await this.#write(limit, amountOf, isLast && this.#lease.isSettled);
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
        const holdUntilMs = Math.max(...waiting.map((one) => one.holdUntilMs));
        this.#lease.holdUntilMs = Math.max(this.#lease.holdUntilMs, holdUntilMs);
        // oxlint-disable-next-line no-await-in-loop -- one extension after the other
        await this.#write(limit, (available) => this.#lease.amount + grantOf(wanted - this.#lease.free, available));
        for (const { amount, holdUntilMs: untilMs, resolve } of waiting) {
          resolve(this.#lease.reserve(amount, this.#options.clock.nowMs(), untilMs));
        }
      } catch (fault) {
        for (const { reject } of waiting) reject(fault);
      }
    }
    this.#isExtending = false;
  }

  /**
   * Sets the lease in the bucket to what `amountOf` says of what is available beside it, and then here. `isLast` holds it
   * only until the ledger has what was spent.
   */
  async #write(limit: number, amountOf: (available: number) => number, isLast = false): Promise<void> {
    const { bucket, holder } = this.#options;
    for (let tried = 0; tried < TRIES_MAX; tried++) {
      // oxlint-disable-next-line no-await-in-loop -- each try sees what the one before met
      const { entry, revision } = await this.#read(limit);
      const held = leaseOf(entry, holder);
      const room = roomFor(entry, holder);
      // What is held and open beyond the room of a lower limit stays.
      const amount = Math.min(amountOf(Math.max(0, room - this.#lease.amount)), Math.max(held, room));
      if (amount === held && (isLast ? amount === 0 : this.#isHeldLong(entry, amount)))
        return this.#keep(entry, amount);
      const holdUntilMs = isLast ? this.#nowMs() + LAST_MS : this.#neededUntilMs() + HOLD_AHEAD_MS;
      const next = withLease(entry, holder, { amount, holdUntilMs }, limit);
      try {
        // oxlint-disable-next-line no-await-in-loop -- as above
        await bucket.update(this.#key, entryText(next), revision);
        return this.#keep(next, amount);
      } catch (fault) {
        if (BeamlineError.from(fault).code !== 'precondition_failed') throw fault;
      }
    }
    throw new BeamlineError('unavailable', 'the budget is written by too many at once');
  }

  /** Neither here nor, as far as is known, in the bucket. */
  get #isEmpty(): boolean {
    return this.#lease.isEmpty && leaseOf(this.#entry, this.#options.holder) === 0;
  }

  #neededUntilMs = (): number => Math.max(this.#lease.holdUntilMs, this.#nowMs()) + SKEW_MS;

  #isHeldLong(entry: BudgetEntry, amount: number): boolean {
    const untilMs = holdOf(entry, this.#options.holder);
    return amount === 0 || (untilMs >= this.#lease.holdUntilMs + SKEW_MS && untilMs >= this.#nowMs() + HOLD_LEAST_MS);
  }

  #keep(entry: BudgetEntry, amount: number): void {
    this.#entry = entry;
    this.#holdUntilMs = holdOf(entry, this.#options.holder);
    if (amount > this.#lease.amount) this.#lease.extend(amount - this.#lease.amount);
    else if (amount < this.#lease.amount) this.#lease.lose(amount);
  }

  async #read(limit: number): Promise<{ entry: BudgetEntry; revision: number }> {
    const found = await this.#options.bucket.get(this.#key);
    const fresh = newEntry(this.#options.account, limit);
    const value = found === undefined ? fresh : readRecord(budgetEntry, found.value);
    if (value === undefined) throw new BeamlineError('internal', 'the entry of a budget cannot be read');
    this.#entry = isAbout(value, fresh) ? { ...value, limit } : fresh;
    this.#readAtMs = this.#options.clock.nowMs();
    return { entry: this.#entry, revision: found?.revision ?? 0 };
  }

  /** By how long ago things were: a wall clock that was set meanwhile holds nothing back. */
  #release(wanted: number): void {
    const { clock } = this.#options;
    const nowMs = clock.nowMs();
    this.#lease.release(nowMs + this.#entry.watermark_ms - clock.epochMs(), nowMs, wanted);
  }

  #nowMs(): number {
    return this.#options.clock.epochMs();
  }
}

/** Whether an entry counts the same; else it was left by a budget that had this id before, and is written anew. */
const isAbout = (entry: BudgetEntry, { scope, unit, until_ms, policy_id }: BudgetEntry): boolean =>
  entry.scope === scope && entry.unit === unit && entry.until_ms === until_ms && entry.policy_id === policy_id;

/** How much more to lease: what is missing, and ahead of need what leaves others enough. */
function grantOf(missing: number, available: number): number {
  if (missing <= 0) return 0;
  if (missing > available) return available;
  return Math.min(available, Math.max(missing, Math.min(missing * AHEAD, Math.floor(available * SHARE_MAX))));
}
