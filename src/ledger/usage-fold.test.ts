import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { UsageEvent } from '../contracts/usage.ts';
import { UsageFold } from './usage-fold.ts';

const eventOf = (assignment: number, attempt: number): UsageEvent => ({
  version: '1',
  usage_id: `acme:a-${assignment}:${attempt}`,
  tenant_id: 'acme',
  provider_id: assignment % 2 === 0 ? 'alder' : 'birch',
  event_type: 'ai.chat',
  status: 'success',
  latency_ms: 1,
  cost: 0.000003,
  timestamp: 1,
  assignment_id: `a-${assignment}`,
  attempt,
  model: 'small',
  input_tokens: 2,
  output_tokens: 1,
  cost_micro_usd: 3,
});

test('an event counts once, in any order and however often it comes', () => {
  const events = fc.array(fc.tuple(fc.nat({ max: 20 }), fc.integer({ min: 1, max: 3 })), { maxLength: 200 });
  fc.assert(
    fc.property(events, (coming) => {
      const fold = new UsageFold();
      for (const [assignment, attempt] of coming) fold.fold(eventOf(assignment, attempt));
      for (const provider of ['alder', 'birch']) {
        const own = new Set(
          coming.filter(([a]) => (a % 2 === 0) === (provider === 'alder')).map(([a, n]) => `${a}:${n}`),
        );
        const { events: count = 0, costMicroUsd = 0, inputTokens = 0 } = fold.total('acme', provider) ?? {};
        assert.deepEqual([count, costMicroUsd, inputTokens], [own.size, 3 * own.size, 2 * own.size]);
      }
    }),
  );
});

test('an event of an old sender is known by its assignment and attempt', () => {
  const fold = new UsageFold();
  const { usage_id: _, ...old } = eventOf(2, 1);
  assert.deepEqual([fold.fold(old), fold.fold(old), fold.fold(eventOf(2, 1))], [true, false, false]);
});

test('the account of another tenant is its own', () => {
  const fold = new UsageFold();
  fold.fold(eventOf(2, 1));
  fold.fold({ ...eventOf(2, 1), tenant_id: 'other', usage_id: 'other:a-2:1' });
  assert.equal(fold.total('acme', 'alder')?.events, 1);
  assert.equal(fold.total('other', 'alder')?.events, 1);
});
