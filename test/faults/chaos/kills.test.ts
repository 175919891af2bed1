import assert from 'node:assert/strict';
import { test } from 'node:test';
import { killAll } from './kills.ts';

const OPTIONS = { seed: 7, victims: ['gateway', 'router', 'worker'], killsEach: 2, killEveryMs: 1 } as const;

test('kills go on, each victim in turn, until the orders are done', async () => {
  const { promise: done, resolve } = Promise.withResolvers<void>();
  const killed: string[] = [];
  const told: string[] = [];
  let waits = 0;
  const kills = await killAll(
    {
      kill: async (victim) => {
        if (killed.push(victim) === 20) resolve();
      },
      ready: async () => void waits++,
    },
    { ...OPTIONS, onKill: (victim) => told.push(victim) },
    done,
  );
  assert.equal(killed.length, 20);
  assert.deepEqual(told, killed);
  assert.ok(waits >= 14, 'all run again before each kill that nobody asked for');
  assert.deepEqual(
    Object.values(kills).toSorted((a, b) => a - b),
    [6, 7, 7],
  );
});

test('each victim is killed as often as asked for, though the orders are done before, in the order of the seed', async () => {
  const runs = await Promise.all(
    [7, 7, 8].map(async (seed) => {
      const killed: string[] = [];
      const fleet = { kill: async (victim: string) => void killed.push(victim), ready: async () => undefined };
      await killAll(fleet, { ...OPTIONS, seed }, Promise.resolve());
      return killed;
    }),
  );
  assert.deepEqual(
    runs.map((killed) => killed.length),
    [6, 6, 6],
  );
  assert.deepEqual(runs[0], runs[1]);
  assert.notDeepEqual(runs[0], runs[2]);
});
