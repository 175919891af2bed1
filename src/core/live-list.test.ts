import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LiveList } from './live-list.ts';

test('a list of places holds what was added and not given back', () => {
  const list = new LiveList<string>();
  const [a, b] = [list.add('a'), list.add('b')];
  assert.deepEqual([list.get(a), list.get(b), list.size], ['a', 'b', 2]);
  assert.deepEqual([list.delete(a), list.delete(a), list.get(a), list.size], [true, false, undefined, 1]);
  assert.equal(list.add('c'), a, 'a free place is used again');
  assert.deepEqual(list.values().toSorted(), ['b', 'c']);
});
