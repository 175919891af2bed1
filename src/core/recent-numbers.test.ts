import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RecentNumbers } from './recent-numbers.ts';

test('the newest keys are known, the oldest forgotten, and memory is bounded', () => {
  const recent = new RecentNumbers(100);
  for (let i = 0; i < 10_000; i++) recent.replace(`res:acme:${i}:1`, i);
  for (let i = 9_900; i < 10_000; i++) assert.equal(recent.get(`res:acme:${i}:1`), i);
  const known = Array.from({ length: 10_000 }, (_, i) => recent.get(`res:acme:${i}:1`)).filter((n) => n !== undefined);
  assert.ok(known.length >= 100 && known.length <= 200, `${known.length} are known`);
});

test('replace gives what the key had before', () => {
  const recent = new RecentNumbers(4);
  assert.equal(recent.replace('a', 1), undefined);
  assert.equal(recent.replace('a', 2), 1);
  for (const key of ['b', 'c', 'd', 'e']) recent.replace(key, 0);
  assert.equal(recent.replace('a', 3), 2, 'also from the older generation');
});

test('a hundred thousand keys that differ in one place are not taken for each other', () => {
  const recent = new RecentNumbers(100_000);
  for (let i = 0; i < 100_000; i++) assert.equal(recent.replace(`usage:acme:0f0c9a3e-55c1-4f7d-${i}:1`, i), undefined);
});
