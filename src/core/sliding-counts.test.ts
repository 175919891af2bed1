import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { SlidingCounts } from './sliding-counts.ts';

test('a window counts the running second and those before it', () => {
  const counts = new SlidingCounts(2, 3);
  counts.add(0, 0);
  counts.add(0, 999);
  counts.add(1, 2_500);
  assert.deepEqual([counts.sum(0, 2_999), counts.sum(1, 2_999)], [2, 1]);
  assert.deepEqual([counts.sum(0, 3_000), counts.sum(1, 3_000)], [0, 1]);
  counts.clear();
  assert.equal(counts.sum(1, 3_000), 0);
});

test('a window counts as a list would, whatever its length was before', () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constantFrom(0, 1), afterMs: fc.nat(3_000) }),
    fc.record({ seconds: fc.integer({ min: 1, max: 8 }) }),
  );
  fc.assert(
    fc.property(fc.array(step), fc.integer({ min: 1, max: 8 }), (steps, first) => {
      const counts = new SlidingCounts(2, first);
      let list: { kind: number; second: number }[] = [];
      let seconds = first;
      let nowMs = 0;
      const forget = (): void => {
        list = list.filter(({ second }) => second > Math.floor(nowMs / 1_000) - seconds);
      };
      for (const one of steps) {
        if ('seconds' in one) {
          forget();
          seconds = one.seconds;
          counts.resize(seconds, nowMs);
        } else {
          nowMs += one.afterMs;
          list.push({ kind: one.kind, second: Math.floor(nowMs / 1_000) });
          counts.add(one.kind, nowMs);
        }
        forget();
        for (const kind of [0, 1]) {
          assert.equal(counts.sum(kind, nowMs), list.filter((item) => item.kind === kind).length);
        }
      }
    }),
  );
});
