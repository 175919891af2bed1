import assert from 'node:assert/strict';
import { test } from 'node:test';
import { complexityOf } from './complexity.ts';

const items = (count: number) => Array.from({ length: count }, (_, n) => ({ id: `e${n}` }));

for (const [pre, validators, post, score, level, latencyMs] of [
  [0, 0, 0, 0, 'low', 0],
  [1, 0, 0, 15, 'low', 30],
  [1, 1, 0, 30, 'medium', 60],
  [1, 2, 1, 60, 'high', 90],
  [0, 4, 0, 70, 'high', 30],
  [2, 2, 2, 70, 'high', 150],
  [4, 3, 3, 100, 'very_high', 240],
] as const) {
  test(`${pre} pre, ${validators} validators and ${post} post score ${score}: ${level}`, () => {
    const found = complexityOf({ pre: items(pre), validators: items(validators), post: items(post) });
    assert.deepEqual([found.score, found.level, found.estimatedLatencyMs], [score, level, latencyMs]);
    assert.equal(found.isWarned, score >= 60);
  });
}

test('what was measured counts instead, and of validators the slowest', () => {
  const measured = new Map([
    ['e0', 4],
    ['e1', 70],
  ]);
  const document = { pre: items(3), validators: items(2), post: [{ id: 'e0' }, 'e1'] };
  const { estimatedLatencyMs } = complexityOf(document, (id) => measured.get(id));
  assert.equal(estimatedLatencyMs, 4 + 70 + 30 + 70 + 4 + 30);
});

test('what is no document has no extensions', () => {
  for (const document of [null, 7, [], { pre: 'all' }]) assert.equal(complexityOf(document).score, 0);
});
