// What an attempt costs: exact integers, rounded once (worker 14.2).

/** Micro-USD per million tokens, and per attempt; integers. Wire names, as they stand in the configuration. */
export interface Prices {
  readonly input: number;
  /** Absent means `input`. */
  readonly cached_input?: number;
  /** Absent means `input`. */
  readonly cache_write?: number;
  /** Reasoning included. */
  readonly output: number;
  readonly request?: number;
}

export interface PriceLine {
  readonly provider: string;
  readonly model: string;
  readonly prices: Prices;
}

/** Token counts; cached and cache-write tokens are parts of the input. */
export interface Metered {
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly cachedInputTokens: number;
  readonly cacheWriteTokens?: number;
}

export interface Cost {
  readonly costMicroUsd: number;
  /** No line has a price: the cost is 0 and says nothing. */
  readonly isUnpriced: boolean;
}

export interface PriceBook {
  readonly costOf: (providerId: string, model: string, usage: Metered) => Cost;
}

interface PricedProvider {
  readonly id: string;
  readonly models: Readonly<Record<string, { readonly upstream?: string; readonly price?: Prices }>>;
}

const PER_TOKENS = 1_000_000;
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

/** A later line replaces an earlier one of the same provider and model. */
export function openPriceBook(lines: readonly PriceLine[]): PriceBook {
  const book = new Map<string, Map<string, Prices>>();
  for (const { provider, model, prices } of lines) {
    const models = book.get(provider) ?? new Map<string, Prices>();
    book.set(provider, models.set(model, prices));
  }
  return { costOf: (providerId, model, usage) => costOf(book.get(providerId)?.get(model), usage) };
}

/** The cost in whole micro-USD, rounded half up once. */
export function costOf(prices: Prices | undefined, usage: Metered): Cost {
  if (prices === undefined) return UNPRICED;
  const { input, cached_input: cachedInput = input, cache_write: cacheWrite = input, output, request = 0 } = prices;
  const cached = Math.min(usage.cachedInputTokens, usage.inputTokens);
  const written = Math.min(usage.cacheWriteTokens ?? 0, usage.inputTokens - cached);
  const uncached = usage.inputTokens - cached - written;
  const tokens = sumOfProducts(
    [uncached, input],
    [cached, cachedInput],
    [written, cacheWrite],
    [usage.outputTokens, output],
  );
  return { costMicroUsd: tokens + request, isUnpriced: false };
}

/** The sum of count times price, divided by a million. Products are never negative, so a safe sum had no unsafe part. */
function sumOfProducts(...terms: readonly (readonly [count: number, price: number])[]): number {
  const half = PER_TOKENS / 2;
  let sum = half;
  for (const [count, price] of terms) sum += count * price;
  if (Number.isSafeInteger(sum)) return (sum - (sum % PER_TOKENS)) / PER_TOKENS;
  const exact = terms.reduce((all, [count, price]) => all + BigInt(count) * BigInt(price), BigInt(half));
  return Number(exact / BigInt(PER_TOKENS));
}
