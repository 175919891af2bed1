// What an attempt costs: exact integers, rounded once, at the price that was in force then (worker 14.2).
import { createHash } from 'node:crypto';

/** Micro-USD; integers. Wire names, as they stand in the configuration. */
export interface Prices {
  /** Per million tokens, as the next three. */
  readonly input: number;
  /** Absent means `input`. */
  readonly cached_input?: number;
  /** Absent means `input`. */
  readonly cache_write?: number;
  /** Reasoning included. */
  readonly output: number;
  /** Per request; an attempt that counts none is one. */
  readonly request?: number;
  /** Per millisecond of computing. */
  readonly cpu_ms?: number;
  /** Per 2^30 bytes sent. */
  readonly gib_out?: number;
}

export interface PriceLine {
  readonly provider: string;
  readonly model: string;
  readonly prices: Prices;
  /** Milliseconds since the epoch; absent means always. */
  readonly effectiveFromMs?: number;
  /** Of the document that the line stands in. */
  readonly version?: string;
}

/** What was consumed; cached and cache-write tokens are parts of the input. */
export interface Metered {
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly cachedInputTokens: number;
  readonly cacheWriteTokens?: number;
  readonly requests?: number;
  readonly cpuMs?: number;
  readonly bytesOut?: number;
}

export interface Cost {
  readonly costMicroUsd: number;
  /** No line has a price: the cost is 0 and says nothing. */
  readonly isUnpriced: boolean;
}

export interface PriceBook {
  /** At the prices of `atMs`, milliseconds since the epoch; without it the newest. */
  readonly costOf: (providerId: string, model: string, usage: Metered, atMs?: number) => Cost;
  /** The line in force; undefined for what has no price. */
  readonly lineOf: (providerId: string, model: string, atMs?: number) => PriceLine | undefined;
}

interface PricedProvider {
  readonly id: string;
  readonly models: Readonly<Record<string, { readonly upstream?: string; readonly price?: Prices }>>;
}

const PER_TOKENS = 1_000_000;
const HALF = PER_TOKENS / 2;
const GIB = 2 ** 30;
const UNPRICED: Cost = { costMicroUsd: 0, isUnpriced: true };

/** The lines of configured models, under the name that callers use and under the provider's own. */
export function priceLines(providers: readonly PricedProvider[]): PriceLine[] {
  const lines: PriceLine[] = [];
  for (const { id: provider, models } of providers) {
    for (const [name, { upstream = name, price: prices }] of Object.entries(models)) {
      if (prices === undefined) continue;
      if (upstream !== name && !Object.hasOwn(models, upstream)) lines.push({ provider, model: upstream, prices });
      lines.push({ provider, model: name, prices });
    }
  }
  return lines;
}

/** A name for lines that have none, out of what they say: `config-` and 16 digits. */
export function configVersion(lines: readonly PriceLine[]): string {
  const text = JSON.stringify(
    lines.map(({ provider, model, prices }) => [provider, model, ...PRICE_KINDS.map((kind) => prices[kind])]),
  );
  return `config-${createHash('sha256').update(text).digest('hex').slice(0, 16)}`;
}

export const PRICE_KINDS = ['input', 'cached_input', 'cache_write', 'output', 'request', 'cpu_ms', 'gib_out'] as const;

/** A later line replaces an earlier one of the same provider, model and moment. */
export function openPriceBook(lines: readonly PriceLine[]): PriceBook {
  const book = new Map<string, Map<string, PriceLine[]>>();
  for (const line of lines) {
    const models = book.get(line.provider) ?? new Map<string, PriceLine[]>();
    const others = (models.get(line.model) ?? []).filter((other) => startOf(other) !== startOf(line));
    // The newest first.
    models.set(
      line.model,
      [...others, line].toSorted((a, b) => startOf(b) - startOf(a)),
    );
    book.set(line.provider, models);
  }
  const lineOf = (providerId: string, model: string, atMs = Number.POSITIVE_INFINITY): PriceLine | undefined => {
    for (const line of book.get(providerId)?.get(model) ?? []) if (startOf(line) <= atMs) return line;
    return undefined;
  };
  return {
    lineOf,
    costOf: (providerId, model, usage, atMs) => costOf(lineOf(providerId, model, atMs)?.prices, usage),
  };
}

const startOf = ({ effectiveFromMs = 0 }: PriceLine): number => effectiveFromMs;

/** The cost in whole micro-USD, rounded half up once. */
export function costOf(prices: Prices | undefined, usage: Metered): Cost {
  if (prices === undefined) return UNPRICED;
  const { uncached, cached, written } = inputOf(usage);
  const { input, cached_input: cachedInput = input, cache_write: cacheWrite = input, output } = prices;
  const whole = (usage.requests ?? 1) * (prices.request ?? 0) + (usage.cpuMs ?? 0) * (prices.cpu_ms ?? 0);
  const hasEgress = (usage.bytesOut ?? 0) > 0 && (prices.gib_out ?? 0) > 0;
  // Products are never negative, so a safe sum had no unsafe part.
  const sum = uncached * input + cached * cachedInput + written * cacheWrite + usage.outputTokens * output + HALF;
  const part =
    hasEgress || !Number.isSafeInteger(sum) ? exactPart(prices, usage) : (sum - (sum % PER_TOKENS)) / PER_TOKENS;
  return { costMicroUsd: part + whole, isUnpriced: false };
}

/** The three prices of input: counts that contradict each other never make more than the input. */
export function inputOf(usage: Metered): { uncached: number; cached: number; written: number } {
  const cached = Math.min(usage.cachedInputTokens, usage.inputTokens);
  const written = Math.min(usage.cacheWriteTokens ?? 0, usage.inputTokens - cached);
  return { uncached: usage.inputTokens - cached - written, cached, written };
}

/** Tokens and bytes over one denominator, so that they are rounded together; for what numbers cannot hold exactly. */
function exactPart(prices: Prices, usage: Metered): number {
  const { uncached, cached, written } = inputOf(usage);
  const { input, cached_input: cachedInput = input, cache_write: cacheWrite = input, output } = prices;
  const terms = [
    [uncached, input],
    [cached, cachedInput],
    [written, cacheWrite],
    [usage.outputTokens, output],
  ] as const;
  const tokens = terms.reduce((all, [count, price]) => all + BigInt(count) * BigInt(price), 0n);
  const egress = BigInt(usage.bytesOut ?? 0) * BigInt(prices.gib_out ?? 0) * BigInt(PER_TOKENS);
  const unit = BigInt(PER_TOKENS) * BigInt(GIB);
  return Number((tokens * BigInt(GIB) + egress + unit / 2n) / unit);
}
