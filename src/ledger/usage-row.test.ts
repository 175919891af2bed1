import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { UsageEvent } from '../contracts/usage.ts';
import { AT_MS, PRICES, usageEvent } from './ledger-fixture.ts';
import { usageRowOf } from './usage-row.ts';

const rowOf = (more: Partial<UsageEvent>) => usageRowOf(usageEvent(more), PRICES, AT_MS + 1).row;

test("the ledger's own number wins, and both are kept", () => {
  const { cost_micro_usd, reported_micro_usd, price_version } = rowOf({ cost_micro_usd: 999 });
  assert.deepEqual([cost_micro_usd, reported_micro_usd, price_version], [4, 999, 'v1']);
});

test('what the ledger has no price for keeps the cost that it was told, without a version of its own', () => {
  const { cost_micro_usd, unpriced, price_version } = rowOf({ model: 'unknown', cost_micro_usd: 999 });
  assert.deepEqual([cost_micro_usd, unpriced, price_version], [999, 0, null]);
});

test('what nobody has a price for costs nothing and is marked', () => {
  const { cost_micro_usd, unpriced } = rowOf({ model: 'unknown', cost_micro_usd: 0, unpriced: true });
  assert.deepEqual([cost_micro_usd, unpriced], [0, 1]);
});

test('a row tells the parts of its cost', () => {
  const { cost_parts } = JSON.parse(rowOf({}).detail) as { cost_parts: readonly { kind: string; micro_usd: number }[] };
  assert.deepEqual(
    cost_parts.map(({ kind, micro_usd }) => [kind, micro_usd]),
    [
      ['input', 2],
      ['output', 2],
    ],
  );
});

test('a digest is of what an event says, not of how it was spelt', () => {
  const event = usageEvent();
  const turned = Object.fromEntries(Object.entries(event).toReversed()) as UsageEvent;
  const digests = [event, turned, { ...event, status: 'error' as const }].map(
    (e) => usageRowOf(e, PRICES, 0).row.digest,
  );
  assert.equal(digests[0], digests[1]);
  assert.notEqual(digests[0], digests[2]);
});

test('a request without a run is its own run', () => {
  assert.deepEqual([rowOf({}).run_id, rowOf({ run_id: 'run-7' }).run_id], ['req-1', 'run-7']);
});

for (const wrong of [{ input_tokens: 1e15 }, { cost_micro_usd: 1e300 }, { timestamp: 1e16 }, { attempt: 1e9 }]) {
  test(`an event with an impossible ${Object.keys(wrong)[0]} is refused, so that sums stay whole`, () => {
    assert.throws(() => rowOf(wrong), { code: 'validation_failed' });
  });
}
