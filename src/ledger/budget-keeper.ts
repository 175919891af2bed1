// Settles budgets: copies what is folded into their entries, and drops the leases of processes that fell silent (worker 14.3).
// K1. `settled` is always copied from `spend`, never added to: whoever does it, however often, writes the same.
// K2. The watermark follows the fold of all that was reported. While anything older waits, it stands still, and leases go
//     on counting, also those whose time is over: what they spent is not folded yet.
// K3. How long a lease stands is measured from when it was first seen: a clock that is set meanwhile drops none that is held.
// K4. An entry whose window is over and from which nobody leases is removed.
// K5. Moments are written whole: an entry with a fraction in it is one that nobody can read, so all it holds would be lost.
import type { KeyValue } from '../bus/bus.ts';
import { type BudgetEntry, budgetEntry, budgetEntryKeys } from '../contracts/budget.ts';
import { readRecord } from '../contracts/codec.ts';
import { BeamlineError } from '../core/errors.ts';
import type { Timer, Timers } from '../core/timers.ts';
import { entryText, withSettled } from '../limit/budget-entry.ts';
import type { SqlStore } from '../store/sql.ts';
import type { Log } from '../telemetry/log.ts';
import { scopeWithin } from './spend.ts';

const SETTLE_MS = 1_000;
/** A holder that lives writes its lease anew at least as often, whatever its clock says. */
const HELD_LEAST_MS = 10_000;
/** An entry outlives its window by this, for usage that comes late. */
const KEPT_MS = 86_400_000;

const SETTLED = `SELECT SUM(amount) AS settled FROM spend
  WHERE tenant_id = ? AND scope = ? AND unit = ? AND window_start >= ? AND window_start < ?`;
/** `total` has no end: this is the last moment that a date knows. */
const NEVER_MS = 8_640_000_000_000_000;

export interface BudgetKeeperDeps {
  readonly bucket: KeyValue;
  readonly store: SqlStore;
  readonly timers: Timers;
  readonly log: Log;
  /** What was reported before this epoch moment is folded; undefined while nobody can say. */
  readonly foldedUntilMs: () => number | undefined;
}

interface Hold {
  /** As its holder wrote it. */
  readonly untilMs: number;
  /** Monotonic. */
  readonly dropAtMs: number;
}

interface Settling {
  readonly key: string;
  readonly revision: number;
  readonly entry: BudgetEntry;
  readonly holds: ReadonlyMap<string, Hold>;
}

/** A key holds no line break. */
const holdKey = (key: string, holder: string): string => `${key}\n${holder}`;

export class BudgetKeeper implements AsyncDisposable {
  readonly #deps: BudgetKeeperDeps;
  #timer: Timer | undefined;
  #settling: Promise<void> = Promise.resolve();
  #isClosed = false;
  #leases = 0;
  /** Of every lease, by key and holder. */
  #holds: ReadonlyMap<string, Hold> = new Map();

  constructor(deps: BudgetKeeperDeps) {
    this.#deps = deps;
    this.#arm();
  }

  /** Leases that processes held when budgets were last settled. */
  get leases(): number {
    return this.#leases;
  }

  /** Once now; the next is due a second after its end. Throws `unavailable` as bucket and store do. */
  async settle(): Promise<void> {
    const { bucket, foldedUntilMs } = this.#deps;
    const foldedMs = foldedUntilMs();
    if (foldedMs === undefined) return;
    const watermarkMs = Math.floor(foldedMs);
    const holds = new Map<string, Hold>();
    for (const { key, value, revision } of await bucket.entries(budgetEntryKeys)) {
      const entry = this.#read(key, value);
      if (entry === undefined) continue;
      for (const [holder, lease] of Object.entries(entry.leases)) {
        holds.set(holdKey(key, holder), this.#holdOf(holdKey(key, holder), lease.hold_until_ms));
      }
      // oxlint-disable-next-line no-await-in-loop -- one after the other: it is work for the background
      await this.#settleOne({ key, revision, entry, holds }, watermarkMs);
    }
    this.#holds = holds;
    this.#leases = holds.size;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    this.#timer?.cancel();
    await this.#settling;
  }

  /** As long as it was to stand when it was first seen. */
  #holdOf(id: string, untilMs: number): Hold {
    const known = this.#holds.get(id);
    if (known?.untilMs === untilMs) return known;
    const { clock } = this.#deps.timers;
    return { untilMs, dropAtMs: clock.nowMs() + Math.max(HELD_LEAST_MS, untilMs - clock.epochMs()) };
  }

  async #settleOne(of: Settling, watermarkMs: number): Promise<void> {
    const { bucket, timers } = this.#deps;
    const { key, revision, entry, holds } = of;
    const nowMs = timers.clock.epochMs();
    const settled = await this.#settledOf(entry);
    const foldedMs = timers.clock.nowMs() - Math.max(0, nowMs - watermarkMs);
    const isHeld = (holder: string): boolean => (holds.get(holdKey(key, holder))?.dropAtMs ?? 0) > foldedMs;
    const next = withSettled(entry, { settled, watermarkMs, isHeld });
    const isLeased = Object.keys(next.leases).length > 0;
    try {
      if (!isLeased && entry.until_ms !== undefined && entry.until_ms + KEPT_MS < nowMs) await bucket.erase(key);
      else if (isLeased || settled !== entry.settled || Object.keys(entry.leases).length > 0) {
        await bucket.update(key, entryText(next), revision);
      }
    } catch (fault) {
      // A holder was quicker: the next round settles it.
      if (BeamlineError.from(fault).code !== 'precondition_failed') throw fault;
    }
  }

  async #settledOf(entry: BudgetEntry): Promise<number> {
    const { tenant_id, unit, from_ms, until_ms } = entry;
    const params = [tenant_id, spentBy(entry), unit, from_ms, until_ms ?? NEVER_MS];
    const [row] = await this.#deps.store.all<{ settled: number | null }>(SETTLED, params);
    return Math.max(0, Number(row?.settled ?? 0));
  }

  #read(key: string, text: string): BudgetEntry | undefined {
    const entry = readRecord(budgetEntry, text);
    if (entry === undefined) this.#deps.log.error('budget_unreadable', { source: key });
    return entry;
  }

  #arm(): void {
    if (this.#isClosed) return;
    this.#timer = this.#deps.timers.after(SETTLE_MS, () => {
      this.#settling = this.settle()
        .catch((fault: unknown) => {
          if (BeamlineError.from(fault).code !== 'unavailable') this.#deps.log.error('budgets_not_settled', { fault });
        })
        .then(() => this.#arm());
    });
  }
}

function spentBy({ scope, subject, policy_id }: BudgetEntry): string {
  const value = scope === 'tenant' ? 'tenant' : `${scope}:${subject}`;
  return policy_id === undefined || scope === 'policy' ? value : scopeWithin(policy_id, value);
}
