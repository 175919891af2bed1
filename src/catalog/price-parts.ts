// A cost in its parts: what each kind of consumption contributed. They sum to the cost exactly (worker 14.2).
import { costOf, inputOf, type Metered, type Prices } from './price-book.ts';

export interface CostPart {
  readonly kind: 'input' | 'cached_input' | 'cache_write' | 'output' | 'request' | 'compute' | 'egress';
  /** Tokens, requests, milliseconds or bytes. */
  readonly quantity: number;
  /** Of one of them; egress: of one GiB. */
  readonly unit_price_nano_usd: number;
  readonly micro_usd: number;
}

const MILLION = 1_000_000;
const GIB = 2 ** 30;

/** Parts of nothing are left out; the difference that rounding makes goes to the largest one. */
export function costParts(prices: Prices, usage: Metered): readonly CostPart[] {
  const { uncached, cached, written } = inputOf(usage);
  const { input, cached_input = input, cache_write = input, output, request = 0, cpu_ms = 0, gib_out = 0 } = prices;
  const parts = [
    perMillion('input', uncached, input),
    perMillion('cached_input', cached, cached_input),
    perMillion('cache_write', written, cache_write),
    perMillion('output', usage.outputTokens, output),
    perOne('request', usage.requests ?? 1, request),
    perOne('compute', usage.cpuMs ?? 0, cpu_ms),
    {
      kind: 'egress',
      quantity: usage.bytesOut ?? 0,
      unit_price_nano_usd: gib_out * 1000,
      micro_usd: wholeOf(usage.bytesOut ?? 0, gib_out, GIB),
    },
  ].filter(({ quantity, unit_price_nano_usd: price }) => quantity > 0 && price > 0) as CostPart[];
  const difference = costOf(prices, usage).costMicroUsd - parts.reduce((sum, { micro_usd }) => sum + micro_usd, 0);
  const [largest] = parts.toSorted((a, b) => b.micro_usd - a.micro_usd);
  return parts.map((part) => (part === largest ? withMore(part, difference) : part));
}

const withMore = (part: CostPart, microUsd: number): CostPart => ({ ...part, micro_usd: part.micro_usd + microUsd });

const perMillion = (kind: CostPart['kind'], quantity: number, price: number): CostPart => ({
  kind,
  quantity,
  unit_price_nano_usd: price / 1000,
  micro_usd: wholeOf(quantity, price, MILLION),
});

const perOne = (kind: CostPart['kind'], quantity: number, price: number): CostPart => ({
  kind,
  quantity,
  unit_price_nano_usd: price * 1000,
  micro_usd: quantity * price,
});

/** `count` times `price` divided by `unit`, rounded down: what is left over is never negative, and no part becomes so. */
function wholeOf(count: number, price: number, unit: number): number {
  const product = count * price;
  if (Number.isSafeInteger(product)) return Math.floor(product / unit);
  return Number((BigInt(count) * BigInt(price)) / BigInt(unit));
}
