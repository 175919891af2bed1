import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { LiveList } from './live-list.ts';
import { LiveMap } from './live-map.ts';

test('a list of places holds what was added and not given back', () => {
  const list = new LiveList<string>();
  const [a, b] = [list.add('a'), list.add('b')];
  assert.deepEqual([list.get(a), list.get(b), list.size], ['a', 'b', 2]);
  assert.deepEqual([list.delete(a), list.delete(a), list.get(a), list.size], [true, false, undefined, 1]);
  assert.equal(list.add('c'), a, 'a free place is used again');
  assert.deepEqual(list.values().toSorted(), ['b', 'c']);
});

test('a live map does what a map does', () => {
  const steps = fc.array(fc.tuple(fc.constantFrom('set', 'delete', 'clear'), fc.nat({ max: 9 })), { maxLength: 100 });
  fc.assert(
    fc.property(steps, (coming) => {
      const live = new LiveMap<number, number>();
      const plain = new Map<number, number>();
      for (const [i, [what, key]] of coming.entries()) {
        if (what === 'set') {
          live.set(key, i);
          plain.set(key, i);
        } else if (what === 'delete') assert.equal(live.delete(key), plain.delete(key));
        else if (i % 7 === 0) {
          live.clear();
          plain.clear();
        }
      }
      assert.deepEqual([...live.values()], [...plain.values()]);
      for (let key = 0; key < 10; key++)
        assert.deepEqual([live.get(key), live.has(key)], [plain.get(key), plain.has(key)]);
      assert.equal(live.size, plain.size);
    }),
  );
});
