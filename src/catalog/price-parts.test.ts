import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { costOf } from './price-book.ts';
import { costParts } from './price-parts.ts';

test('a cost is told in its parts, with the price of one', () => {
  const prices = { input: 800_000, cached_input: 80_000, output: 4_000_000, request: 7, cpu_ms: 2, gib_out: 90_000 };
  const usage = { inputTokens: 1000, outputTokens: 10, cachedInputTokens: 400, cpuMs: 5, bytesOut: 2 ** 29 };
  assert.deepEqual(
    costParts(prices, usage).map((part) => Object.values(part)),
    [
      ['input', 600, 800, 480],
      ['cached_input', 400, 80, 32],
      ['output', 10, 4000, 40],
      ['request', 1, 7000, 7],
      ['compute', 5, 2000, 10],
      ['egress', 2 ** 29, 90_000_000, 45_000],
    ],
  );
});

test('what rounding leaves over goes to the largest part', () => {
  const parts = costParts(
    { input: 300_000, cached_input: 400_000, output: 0 },
    { inputTokens: 2, outputTokens: 0, cachedInputTokens: 1 },
  );
  assert.deepEqual(
    parts.map(({ micro_usd }) => micro_usd),
    [1, 0],
  );
});

test('four halves are two, and no part is negative', () => {
  const half = 500_000;
  const usage = { inputTokens: 3, outputTokens: 1, cachedInputTokens: 1, cacheWriteTokens: 1 };
  const parts = costParts({ input: half, output: half }, usage);
  assert.deepEqual(
    parts.map(({ micro_usd }) => micro_usd),
    [2, 0, 0, 0],
  );
});

test('parts of any cost are never negative and sum to it, whatever its size', () => {
  const tokens = fc.integer({ min: 0, max: 10_000_000 });
  const price = fc.oneof(fc.integer({ min: 0, max: 1_000_000_000 }), fc.integer({ min: 0, max: 9 }));
  const usages = fc.record({
    inputTokens: tokens,
    outputTokens: tokens,
    cachedInputTokens: tokens,
    cacheWriteTokens: tokens,
    bytesOut: tokens,
    cpuMs: tokens,
  });
  const lines = fc.record({
    input: price,
    cached_input: price,
    cache_write: price,
    output: price,
    request: price,
    gib_out: price,
  });
  fc.assert(
    fc.property(lines, usages, (prices, usage) => {
      const parts = costParts(prices, usage);
      assert.ok(parts.every(({ micro_usd }) => micro_usd >= 0));
      const sum = parts.reduce((all, { micro_usd }) => all + micro_usd, 0);
      assert.equal(sum, costOf(prices, usage).costMicroUsd);
    }),
  );
});
