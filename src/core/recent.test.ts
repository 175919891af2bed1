import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Recent } from './recent.ts';

test('the newest keys are known, the oldest are forgotten, and memory is bounded', () => {
  const recent = new Recent<number>(10);
  for (let i = 0; i < 1_000; i++) recent.set(`k${i}`, i);
  for (let i = 990; i < 1_000; i++) assert.equal(recent.get(`k${i}`), i);
  const known = Array.from({ length: 1_000 }, (_, i) => recent.has(`k${i}`)).filter(Boolean).length;
  assert.ok(known >= 10 && known <= 20, `${known} are known`);
});

test('the last value of a key wins, and a deleted key is gone from both generations', () => {
  const recent = new Recent<number>(2);
  for (const [key, value] of [
    ['a', 1],
    ['b', 2],
    ['c', 3],
    ['a', 4],
  ] as const)
    recent.set(key, value);
  assert.equal(recent.get('a'), 4);
  assert.equal(recent.delete('a'), true);
  assert.equal(recent.has('a'), false);
  assert.equal(recent.delete('a'), false);
});

test('what is old is known though nothing is young any more', () => {
  const recent = new Recent<number>(2);
  for (const key of ['a', 'b', 'c']) recent.set(key, 1);
  assert.equal(recent.delete('c'), true);
  assert.deepEqual([recent.get('a'), recent.has('a')], [1, true]);
});
