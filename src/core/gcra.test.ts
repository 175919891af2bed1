import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Gcra } from './gcra.ts';

const rate = { perSecond: 10, burst: 5 };

test('after a rest a burst passes, then one for each tenth of a second', () => {
  const gcra = new Gcra();
  assert.deepEqual(
    Array.from({ length: 6 }, () => gcra.take(1, rate, 1_000)),
    [0, 0, 0, 0, 0, 100],
  );
  assert.equal(gcra.take(1, rate, 1_060), 40);
  assert.equal(gcra.take(1, rate, 1_100), 0);
  assert.equal(gcra.take(1, rate, 1_100), 100);
});

test('a wait that is told is exact: a moment earlier is refused, at it the request passes', () => {
  fc.assert(
    fc.property(fc.array(fc.nat({ max: 300 }), { maxLength: 50 }), (gaps) => {
      const gcra = new Gcra();
      let nowMs = 0;
      for (const gap of gaps) {
        nowMs += gap;
        const waitMs = gcra.take(1, rate, nowMs);
        if (waitMs === 0) continue;
        assert.ok(gcra.take(1, rate, nowMs + waitMs - 1) > 0);
        assert.equal(gcra.take(1, rate, nowMs + waitMs), 0);
        nowMs += waitMs;
      }
    }),
  );
});

test('never more than the burst and what was earned meanwhile', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat({ max: 100 }), fc.integer({ min: 1, max: 5 })), { maxLength: 100 }),
      (asked) => {
        const gcra = new Gcra();
        let nowMs = 0;
        let taken = 0;
        for (const [gap, cost] of asked) {
          nowMs += gap;
          if (gcra.take(cost, rate, nowMs) === 0) taken += cost;
          assert.ok(taken <= rate.burst + (nowMs * rate.perSecond) / 1_000 + 1e-6);
        }
      },
    ),
  );
});

test('an estimate is corrected in both directions', () => {
  const gcra = new Gcra();
  gcra.take(5, rate, 0);
  gcra.correct(-4, rate);
  assert.equal(gcra.take(4, rate, 0), 0);
  gcra.correct(3, rate);
  assert.equal(gcra.take(1, rate, 0), 400);
});
