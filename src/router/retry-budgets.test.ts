import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Metrics } from '../telemetry/metrics.ts';
import fc from 'fast-check';
import { RetryBudget, RetryBudgets } from './retry-budgets.ts';

const SETTINGS = { ratio: 0.2, minRetries: 3, windowSeconds: 10 };

test('a few retries are always allowed, and more in proportion to first attempts', () => {
  const budget = new RetryBudget();
  budget.configure(SETTINGS, 0);
  const spent = (nowMs: number): number => {
    let count = 0;
    for (; budget.allows(nowMs); count++) budget.spend(nowMs);
    return count;
  };
  assert.equal(spent(0), 3);
  for (let i = 0; i < 30; i++) budget.first(1_000);
  assert.equal(spent(1_000), 3, 'six of thirty, three were sent before');
  assert.equal(spent(9_999), 0);
  assert.equal(spent(10_000), 3, 'the first three have left the window');
});

test('without a ratio and a minimum nothing is retried', () => {
  const budget = new RetryBudget();
  budget.configure({ ratio: 0, minRetries: 0, windowSeconds: 1 }, 0);
  for (let i = 0; i < 100; i++) budget.first(0);
  assert.equal(budget.allows(0), false);
});

test('in no window are there more retries than the budget has', () => {
  const step = fc.record({ afterMs: fc.nat(2_000), isFirst: fc.boolean() });
  const settings = fc.record({
    ratio: fc.constantFrom(0, 0.2, 0.5, 1),
    minRetries: fc.nat(4),
    windowSeconds: fc.integer({ min: 1, max: 10 }),
  });
  fc.assert(
    fc.property(settings, fc.array(step, { size: '+1' }), (chosen, steps) => {
      const budget = new RetryBudget();
      budget.configure(chosen, 0);
      const sent: { second: number; isFirst: boolean }[] = [];
      let nowMs = 0;
      for (const { afterMs, isFirst } of steps) {
        nowMs += afterMs;
        const second = Math.floor(nowMs / 1_000);
        const inWindow = sent.filter((one) => one.second > second - chosen.windowSeconds);
        const firsts = inWindow.filter((one) => one.isFirst).length;
        const retries = inWindow.length - firsts;
        if (isFirst) budget.first(nowMs);
        else {
          const isAllowed = retries + 1 <= Math.max(chosen.minRetries, chosen.ratio * firsts);
          assert.equal(budget.allows(nowMs), isAllowed);
          if (!isAllowed) continue;
          budget.spend(nowMs);
        }
        sent.push({ second, isFirst });
      }
    }),
  );
});

test('each policy of each tenant has its own budget; without room the one that rests longest begins anew', () => {
  const budgets = new RetryBudgets(new Metrics(), 2);
  const of = (tenantId: string, policyId: string, nowMs: number) =>
    budgets.of({ tenantId, policyId, settings: SETTINGS }, nowMs);
  for (let i = 0; i < 3; i++) of('acme', 'default', 1).spend(1);
  assert.equal(of('acme', 'default', 2).allows(2), false);
  assert.equal(of('umbra', 'default', 1).allows(1), true);
  for (let i = 0; i < 3; i++) of('acme', 'other', 3).spend(3);
  assert.deepEqual([of('acme', 'default', 4).allows(4), of('acme', 'other', 4).allows(4)], [false, false]);
});
