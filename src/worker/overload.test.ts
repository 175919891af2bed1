import assert from 'node:assert/strict';
import { test } from 'node:test';
import { levelOf, type Load, type LoadSample, nextLoad, noLoad } from './overload.ts';

const CALM: LoadSample = { queueShare: 0, lagMs: 0, memoryShare: 0 };
const after = (samples: readonly Partial<LoadSample>[], from: Load = noLoad): Load =>
  samples.reduce<Load>((load, more) => nextLoad(load, { ...CALM, ...more }), from);
const many = (count: number, sample: Partial<LoadSample>) => Array.from({ length: count }, () => sample);

const ENTERED: readonly (readonly [Partial<LoadSample>, string])[] = [
  [{ queueShare: 0.49, lagMs: 49, memoryShare: 0.74 }, 'healthy'],
  [{ queueShare: 0.5 }, 'degraded'],
  [{ lagMs: 50 }, 'degraded'],
  [{ memoryShare: 0.75 }, 'degraded'],
  [{ queueShare: 0.8 }, 'overloaded'],
  [{ lagMs: 100 }, 'overloaded'],
  [{ memoryShare: 0.85 }, 'overloaded'],
  [{ queueShare: 0.6, memoryShare: 0.9 }, 'overloaded'],
  [{ queueShare: 1 }, 'critical'],
  [{ lagMs: 250 }, 'critical'],
  [{ memoryShare: 0.95 }, 'critical'],
];

for (const [sample, level] of ENTERED) {
  test(`${JSON.stringify(sample)} for two seconds is ${level}`, () => {
    assert.equal(levelOf(after(many(2, sample))), level);
  });
}

test('one sample is an accident, unless it is critical', () => {
  assert.equal(levelOf(after([{ lagMs: 100 }])), 'healthy');
  assert.equal(levelOf(after([{ lagMs: 100 }, {}, { lagMs: 100 }, {}])), 'healthy');
  assert.equal(levelOf(after([{ lagMs: 60 }, { lagMs: 150 }])), 'degraded', 'both said at least that');
  assert.equal(levelOf(after([{ lagMs: 250 }])), 'critical');
});

test('a level is left one at a time, after five calm samples each', () => {
  const critical = after([{ queueShare: 1 }]);
  assert.equal(levelOf(after(many(4, {}), critical)), 'critical');
  assert.equal(levelOf(after(many(5, {}), critical)), 'overloaded');
  assert.equal(levelOf(after(many(9, {}), critical)), 'overloaded');
  assert.equal(levelOf(after(many(10, {}), critical)), 'degraded');
  assert.equal(levelOf(after(many(15, {}), critical)), 'healthy');
  assert.equal(levelOf(after(many(50, {}), critical)), 'healthy');
});

test('just below a threshold is not calm, and one bad sample starts the count anew', () => {
  const overloaded = after(many(2, { lagMs: 100 }));
  assert.equal(levelOf(after(many(20, { lagMs: 81 }), overloaded)), 'overloaded');
  assert.equal(levelOf(after([...many(4, {}), { lagMs: 81 }, ...many(4, {})], overloaded)), 'overloaded');
  assert.equal(levelOf(after(many(5, { lagMs: 79 }), overloaded)), 'degraded');
});
