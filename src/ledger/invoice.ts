// An invoice as sums by day, provider and model. Lines are summed while they are read, so a file may be larger than memory.
import { lineFault, numberedLines } from '../core/numbered-lines.ts';
import { INVOICE_RECORD_MAX, type InvoiceFormat, invoiceLines, PICO_PER_MICRO } from './invoice-lines.ts';
import type { Period } from './reconcile.ts';

export interface Invoice {
  /** Of the whole file. */
  readonly lines: number;
  /** Of days that the period does not touch, or of providers that are not asked for. */
  readonly linesOutside: number;
  /** By the beginning of the day, then by provider and model: picodollars. */
  readonly days: ReadonlyMap<number, ReadonlyMap<string, bigint>>;
}

export interface InvoiceScope {
  readonly period: Period;
  readonly covers: (provider: string) => boolean;
}

export const DAY_MS = 86_400_000;
/** A year of some 270 models. */
const GROUPS_MAX = 100_000;
/** All sums below are exact numbers of micro-USD. */
const TOTAL_MAX = BigInt(Number.MAX_SAFE_INTEGER) * PICO_PER_MICRO;

/** A provider has no space in its name. */
export const groupOf = (provider: string, model: string): string => `${provider} ${model}`;
export const namesOf = (group: string): readonly [provider: string, model: string] => {
  const at = group.indexOf(' ');
  return [group.slice(0, at), group.slice(at + 1)];
};

/** `format` undefined: by the first line. Throws `validation_failed` with the line and a reason. */
export function readInvoice(
  pieces: Iterable<Buffer>,
  format: InvoiceFormat | undefined,
  { period, covers }: InvoiceScope,
): Invoice {
  const days = new Map<number, Map<string, bigint>>();
  let [lines, linesOutside, groups, total] = [0, 0, 0, 0n];
  for (const { line, dayMs, provider, model, cost } of invoiceLines(
    numberedLines(pieces, INVOICE_RECORD_MAX),
    format,
  )) {
    lines++;
    if (dayMs + DAY_MS <= period.since || dayMs >= period.until || !covers(provider)) {
      linesOutside++;
      continue;
    }
    total += cost < 0n ? -cost : cost;
    if (total > TOTAL_MAX) throw lineFault(line, 'invoice_line_invalid', 'the costs are more than can be summed');
    let day = days.get(dayMs);
    if (day === undefined) days.set(dayMs, (day = new Map()));
    const group = groupOf(provider, model);
    const sum = day.get(group);
    if (sum === undefined && ++groups > GROUPS_MAX) {
      const message = `more than ${GROUPS_MAX} sums by day, provider and model: narrow the period or the providers`;
      throw lineFault(line, 'invoice_too_many_groups', message);
    }
    day.set(group, (sum ?? 0n) + cost);
  }
  return { lines, linesOutside, days };
}
