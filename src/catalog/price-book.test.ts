import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { costOf, type Metered, openPriceBook, priceLines, type Prices } from './price-book.ts';

const usage = (inputTokens: number, outputTokens: number, cachedInputTokens = 0, cacheWriteTokens = 0): Metered => ({
  inputTokens,
  outputTokens,
  cachedInputTokens,
  cacheWriteTokens,
});

const prices: Prices = { input: 800_000, cached_input: 80_000, cache_write: 1_000_000, output: 4_000_000, request: 7 };
const cases: readonly (readonly [what: string, Prices, Metered, costMicroUsd: number])[] = [
  ['a million tokens each way', { input: 3, output: 5 }, usage(1_000_000, 1_000_000), 8],
  ['nothing but the request', prices, usage(0, 0), 7],
  ['all parts', prices, usage(1000, 10, 400, 100), 400 + 32 + 100 + 40 + 7],
  ['cached tokens without a price of their own', { input: 800_000, output: 0 }, usage(1000, 0, 400), 800],
  ['half a micro-USD, rounded up', { input: 1, output: 0 }, usage(500_000, 0), 1],
  ['less than half, rounded down', { input: 1, output: 0 }, usage(499_999, 0), 0],
  ['two parts below half, rounded once', { input: 1, output: 1 }, usage(300_000, 300_000), 1],
  ['more cached tokens than input', { input: 1_000_000, cached_input: 0, output: 0 }, usage(10, 0, 99), 0],
  ['a sum beyond exact numbers', { input: 1_000_000_000_000, output: 0 }, usage(123_457, 0), 123_457_000_000],
];

for (const [what, line, used, costMicroUsd] of cases) {
  test(`the cost of ${what} is exact`, () => assert.deepEqual(costOf(line, used), { costMicroUsd, isUnpriced: false }));
}

test('without a price the cost is 0 and marked', () => {
  assert.deepEqual(costOf(undefined, usage(1000, 1000)), { costMicroUsd: 0, isUnpriced: true });
});

test('any cost is what whole-number arithmetic of any size says', () => {
  const tokens = fc.integer({ min: 0, max: 10_000_000 });
  const price = fc.integer({ min: 0, max: 1_000_000_000_000 });
  fc.assert(
    fc.property(tokens, tokens, tokens, price, price, price, (uncached, cached, out, input, cachedInput, output) => {
      const sum =
        BigInt(uncached) * BigInt(input) + BigInt(cached) * BigInt(cachedInput) + BigInt(out) * BigInt(output);
      const { costMicroUsd } = costOf(
        { input, cached_input: cachedInput, output },
        usage(uncached + cached, out, cached),
      );
      assert.equal(costMicroUsd, Number((sum + 500_000n) / 1_000_000n));
    }),
  );
});

test('a book knows a model by its own name and by the upstream one, and providers apart', () => {
  const price = { input: 1_000_000, output: 0 };
  const { costOf: cost } = openPriceBook(
    priceLines([
      { id: 'a', models: { small: { upstream: 'small-2026', price }, free: {} } },
      { id: 'b', models: { small: { price: { input: 2_000_000, output: 0 } } } },
    ]),
  );
  const known = (provider: string, model: string) => cost(provider, model, usage(1, 0)).costMicroUsd;
  assert.deepEqual([known('a', 'small'), known('a', 'small-2026'), known('b', 'small')], [1, 1, 2]);
  for (const [provider, model] of [
    ['a', 'free'],
    ['b', 'small-2026'],
    ['c', 'small'],
  ] as const) {
    assert.equal(cost(provider, model, usage(1, 0)).isUnpriced, true);
  }
});
