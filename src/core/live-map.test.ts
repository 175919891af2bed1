import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { LiveMap } from './live-map.ts';

test('a live map does what a map does', () => {
  const steps = fc.array(
    fc.tuple(fc.constantFrom('set', 'set', 'set', 'delete', 'delete', 'clear'), fc.nat({ max: 99 })),
    { size: 'large', maxLength: 1_000 },
  );
  fc.assert(
    fc.property(steps, (coming) => {
      const live = new LiveMap<number>();
      const plain = new Map<string, number>();
      for (const [i, [what, number]] of coming.entries()) {
        const key = `key-${number}`;
        if (what === 'set') {
          live.set(key, i);
          plain.set(key, i);
        } else if (what === 'delete') assert.equal(live.delete(key), plain.delete(key));
        else if (i % 40 === 0) {
          live.clear();
          plain.clear();
        }
        assert.equal(live.size, plain.size);
      }
      assert.deepEqual(live.values().toSorted(byNumber), [...plain.values()].toSorted(byNumber));
      for (let number = 0; number < 100; number++) {
        const key = `key-${number}`;
        assert.deepEqual([live.get(key), live.has(key)], [plain.get(key), plain.has(key)]);
      }
    }),
  );
});

test('ten thousand come and go, and the others are found all the time', () => {
  const live = new LiveMap<number>();
  for (let i = 0; i < 10_000; i++) {
    live.set(`${i}`, i);
    if (i >= 300) assert.equal(live.delete(`${i - 300}`), true);
  }
  assert.equal(live.size, 300);
  for (let i = 9_700; i < 10_000; i++) assert.equal(live.get(`${i}`), i);
  assert.equal(live.get('9699'), undefined);
});

const byNumber = (a: number, b: number): number => a - b;
