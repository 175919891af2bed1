import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { FairQueue, type Waiting } from './fair-queue.ts';

const drained = (queue: FairQueue<string>, count = Infinity): string[] => {
  const items: string[] = [];
  for (let n = 0; n < count; n++) {
    const item = queue.next();
    if (item === undefined) break;
    items.push(item);
  }
  return items;
};

test('a tenant with a long line takes turns with one that has a short one', () => {
  const queue = new FairQueue<string>();
  for (let n = 0; n < 100; n++) queue.add(`a${n}`, { tenantId: 'a', nowMs: 0 });
  for (let n = 0; n < 2; n++) queue.add(`b${n}`, { tenantId: 'b', nowMs: 1 });
  assert.deepEqual(drained(queue, 5), ['a0', 'b0', 'a1', 'b1', 'a2']);
});

test('turns are in proportion to the weights', () => {
  const queue = new FairQueue<string>();
  for (let n = 0; n < 60; n++) {
    queue.add('a', { tenantId: 'a', weight: 3, nowMs: n });
    queue.add('b', { tenantId: 'b', weight: 1, nowMs: n });
  }
  assert.deepEqual(drained(queue, 8), ['a', 'a', 'a', 'b', 'a', 'a', 'a', 'b']);
});

test('a second of waiting is worth one point of priority, and ties are first in, first out', () => {
  const queue = new FairQueue<string>();
  const add = (item: string, priority: number, nowMs: number) => queue.add(item, { tenantId: 'a', priority, nowMs });
  add('old', 50, 0);
  add('tie', 51, 1_000);
  add('high', 52, 1_000);
  add('low', 40, 0);
  assert.deepEqual(drained(queue), ['high', 'old', 'tie', 'low']);
});

test('a tenant that may not go keeps its turn', () => {
  const queue = new FairQueue<string>();
  for (const tenantId of ['a', 'b', 'c']) queue.add(tenantId, { tenantId, nowMs: 0 });
  assert.equal(
    queue.next((tenantId) => tenantId !== 'a'),
    'b',
  );
  assert.equal(
    queue.next(() => false),
    undefined,
  );
  assert.deepEqual(drained(queue), ['a', 'c']);
});

test('clear takes out all, and those can no longer leave', () => {
  const queue = new FairQueue<string>();
  const waiting = queue.add('x', { tenantId: 'a', nowMs: 0 });
  queue.add('y', { tenantId: 'b', nowMs: 0 });
  assert.deepEqual(queue.clear().toSorted(), ['x', 'y']);
  assert.equal(queue.leave(waiting), false);
  assert.equal(queue.size, 0);
});

const TENANTS = ['a', 'b', 'c', 'd'];
const step = fc.oneof(
  fc.record({
    kind: fc.constant('add' as const),
    tenantId: fc.constantFrom(...TENANTS),
    priority: fc.integer({ min: 0, max: 100 }),
    afterMs: fc.integer({ min: 0, max: 3_000 }),
  }),
  fc.record({ kind: fc.constant('next' as const), barred: fc.subarray(TENANTS) }),
  fc.record({ kind: fc.constant('leave' as const), which: fc.nat({ max: 100 }) }),
);

interface Known {
  readonly item: number;
  readonly tenantId: string;
  readonly rank: number;
  readonly waiting: Waiting<number>;
}

test('whatever comes and goes, an item is served once, and the best of its tenant', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      const queue = new FairQueue<number>();
      let known: Known[] = [];
      let nowMs = 0;
      for (const [item, now] of steps.entries()) {
        if (now.kind === 'add') {
          nowMs += now.afterMs;
          const waiting = queue.add(item, { ...now, nowMs });
          known.push({ item, tenantId: now.tenantId, rank: now.priority * 1_000 - nowMs, waiting });
        } else if (now.kind === 'leave') {
          const leaver = known[now.which % Math.max(1, known.length)];
          assert.equal(leaver === undefined ? false : queue.leave(leaver.waiting), leaver !== undefined);
          known = known.filter((other) => other !== leaver);
        } else {
          const got = queue.next((tenantId) => !now.barred.includes(tenantId));
          const free = known.filter(({ tenantId }) => !now.barred.includes(tenantId));
          const served = free.find(({ item: other }) => other === got);
          assert.equal(served === undefined, free.length === 0);
          const rivals = known.filter(({ tenantId }) => tenantId === served?.tenantId);
          const [best] = rivals.toSorted((a, b) => b.rank - a.rank || a.item - b.item);
          assert.equal(served, best);
          known = known.filter((other) => other !== served);
        }
        assert.equal(queue.size, known.length);
        for (const tenantId of TENANTS) {
          assert.equal(queue.sizeOf(tenantId), known.filter((one) => one.tenantId === tenantId).length);
        }
      }
    }),
  );
});

test('while all wait, no tenant is ever a round behind its share', () => {
  const weights = fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 2, maxLength: 5 });
  fc.assert(
    fc.property(weights, fc.integer({ min: 1, max: 60 }), (shares, count) => {
      const queue = new FairQueue<number>();
      for (const [tenant, weight] of shares.entries()) {
        for (let n = 0; n < 100; n++) queue.add(tenant, { tenantId: String(tenant), weight, nowMs: 0 });
      }
      const served = shares.map(() => 0);
      for (let n = 0; n < count; n++) {
        const tenant = queue.next() ?? -1;
        served[tenant] = (served[tenant] ?? 0) + 1;
      }
      const round = shares.reduce((sum, weight) => sum + weight, 0);
      for (const [tenant, weight] of shares.entries()) {
        assert.ok(
          Math.abs((served[tenant] ?? 0) - (count * weight) / round) <= weight,
          JSON.stringify([served, shares]),
        );
      }
    }),
  );
});
