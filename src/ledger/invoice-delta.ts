// Holds an invoice against what the ledger's rows cost: by day (UTC), provider and model (worker 14.4). One day is in memory at a time.
import type { LedgerParams, LedgerResults } from '../contracts/ledger-operations.ts';
import { DAY_MS, groupOf, type Invoice, type InvoiceScope, namesOf } from './invoice.ts';
import { PICO_PER_MICRO } from './invoice-lines.ts';

export interface InvoiceDelta {
  /** As 2026-11-01. */
  readonly day: string;
  readonly provider: string;
  /** Null: what was used without a model. */
  readonly model: string | null;
  /** Whole micro-USD; 0 on the side that has none. */
  readonly invoice_micro_usd: number;
  readonly ledger_micro_usd: number;
  /** What is billed beyond the ledger. */
  readonly delta_micro_usd: number;
}

export interface InvoiceComparison {
  readonly invoice: {
    readonly lines: number;
    readonly lines_outside: number;
    readonly invoice_micro_usd: number;
    readonly ledger_micro_usd: number;
    /** How many differ, and by how much together, whichever side is more. */
    readonly deltas: number;
    readonly deltas_micro_usd: number;
    /** Days of which the period has a part only. */
    readonly cut_days: readonly string[];
  };
  /** Those that differ most, at most `INVOICE_DELTAS_MAX`. */
  readonly invoice_delta: readonly InvoiceDelta[];
}

/** One page of what the ledger's rows cost. */
export type AskCosts = (params: LedgerParams['costs']) => Promise<LedgerResults['costs']>;

export const INVOICE_DELTAS_MAX = 100;
/** More than 0.5 % of the invoice. */
const PARTS_MIN = 200n;

export async function invoiceDelta(
  invoice: Invoice,
  { period, covers }: InvoiceScope,
  askCosts: AskCosts,
): Promise<InvoiceComparison> {
  const deltas = new Deltas();
  const cutDays: string[] = [];
  for (let dayMs = period.since - (period.since % DAY_MS); dayMs < period.until; dayMs += DAY_MS) {
    const part = { since: Math.max(dayMs, period.since), until: Math.min(dayMs + DAY_MS, period.until) };
    const day = new Date(dayMs).toISOString().slice(0, 10);
    if (part.until - part.since < DAY_MS) cutDays.push(day);
    const billed = new Map(invoice.days.get(dayMs));
    // eslint-disable-next-line no-await-in-loop -- day after day
    for await (const { provider, model, cost_micro_usd: cost } of costsOf(part, askCosts)) {
      if (!covers(provider)) continue;
      const group = groupOf(provider, model);
      deltas.add(day, group, billed.get(group) ?? 0n, BigInt(cost) * PICO_PER_MICRO);
      billed.delete(group);
    }
    for (const [group, cost] of billed) deltas.add(day, group, cost, 0n);
  }
  const { lines, linesOutside } = invoice;
  const told = { lines, lines_outside: linesOutside, ...deltas.totals, cut_days: cutDays };
  return { invoice: told, invoice_delta: deltas.largest };
}

async function* costsOf(
  period: InvoiceScope['period'],
  askCosts: AskCosts,
): AsyncGenerator<LedgerResults['costs']['costs'][number]> {
  for (let after: LedgerParams['costs']['after']; ;) {
    // eslint-disable-next-line no-await-in-loop -- page after page
    const { costs, next } = await askCosts({ ...period, ...(after === undefined ? {} : { after }) });
    yield* costs;
    if (next === undefined) return;
    after = next;
  }
}

class Deltas {
  #largest: InvoiceDelta[] = [];
  #count = 0;
  #sum = 0n;
  #billed = 0n;
  #counted = 0n;

  add(day: string, group: string, billed: bigint, counted: bigint): void {
    this.#billed += billed;
    this.#counted += counted;
    const difference = billed - counted;
    if (sizeOf(difference) * PARTS_MIN <= sizeOf(billed)) return;
    this.#count++;
    this.#sum += sizeOf(difference);
    const [provider, model] = namesOf(group);
    this.#largest.push({
      day,
      provider,
      model: model === '' ? null : model,
      invoice_micro_usd: microUsdOf(billed),
      ledger_micro_usd: microUsdOf(counted),
      delta_micro_usd: microUsdOf(difference),
    });
    if (this.#largest.length > 2 * INVOICE_DELTAS_MAX) this.#largest = [...this.largest];
  }

  /** Those of one size stay in the order of their days. */
  get largest(): readonly InvoiceDelta[] {
    const bySize = this.#largest.toSorted((a, b) => Math.abs(b.delta_micro_usd) - Math.abs(a.delta_micro_usd));
    return bySize.slice(0, INVOICE_DELTAS_MAX);
  }

  get totals() {
    return {
      invoice_micro_usd: microUsdOf(this.#billed),
      ledger_micro_usd: microUsdOf(this.#counted),
      deltas: this.#count,
      deltas_micro_usd: microUsdOf(this.#sum),
    };
  }
}

const sizeOf = (amount: bigint): bigint => (amount < 0n ? -amount : amount);

/** The nearest. */
const microUsdOf = (picodollars: bigint): number => {
  const size = Number((sizeOf(picodollars) + PICO_PER_MICRO / 2n) / PICO_PER_MICRO);
  return picodollars < 0n ? -size : size;
};
