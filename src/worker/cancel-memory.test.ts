import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CANCEL_MEMORY_MS } from '../contracts/limits.ts';
import { ManualClock } from '../core/clock.ts';
import { CancelMemory } from './cancel-memory.ts';

const ALL = undefined;
const CASES: readonly (readonly [cancels: readonly (number | undefined)[], refused: readonly number[]])[] = [
  [[1], [1]],
  [[2], [1, 2]],
  [[ALL], [1, 2, 3]],
  [
    [ALL, 1],
    [1, 2, 3],
  ],
  [
    [1, ALL],
    [1, 2, 3],
  ],
  [
    [1, 2],
    [1, 2],
  ],
  [
    [2, 1],
    [1, 2],
  ],
];

for (const [cancels, refused] of CASES) {
  test(`early cancels of ${cancels.map((one) => one ?? 'all').join(' and ')} are remembered together`, () => {
    const memory = new CancelMemory(new ManualClock());
    for (const attempt of cancels) memory.remember('a-1', attempt);
    assert.deepEqual(
      [1, 2, 3].filter((attempt) => memory.has('a-1', attempt)),
      refused,
    );
    assert.equal(memory.has('a-2', 1), false);
  });
}

test('an early cancel is forgotten after its time', () => {
  const clock = new ManualClock();
  const memory = new CancelMemory(clock);
  memory.remember('a-1', ALL);
  clock.advance(CANCEL_MEMORY_MS);
  assert.equal(memory.has('a-1', 1), false);
  memory.remember('a-1', 1);
  assert.equal(memory.has('a-1', 2), false);
});
