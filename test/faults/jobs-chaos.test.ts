// A short run of `npm run chaos`: every role is killed, and nothing that was promised is lost, doubled or invented.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runChaos } from './chaos/chaos.ts';
import { VICTIMS } from './chaos/fleet.ts';

test('jobs that were accepted end once and are billed once, whatever is killed', async () => {
  const verdict = await runChaos({
    mode: 'apart',
    servers: 1,
    jobs: 300,
    seed: 20_261_121,
    killEveryMs: 1_000,
    victims: VICTIMS,
    killsEach: 2,
    answerMs: 50,
    drainMs: 90_000,
    ackWaitMs: 2_000,
  });
  assert.deepEqual(verdict.faults, []);
  assert.deepEqual(Object.keys(verdict.kills).toSorted(), VICTIMS.toSorted());
  assert.ok(Object.values(verdict.kills).every((kills) => kills >= 2));
  assert.equal(verdict.drained.ended.length, 300);
});

test('one process with a data folder keeps what it accepted, however often it is killed', async () => {
  const verdict = await runChaos({
    mode: 'embedded',
    servers: 1,
    jobs: 150,
    seed: 20_261_122,
    killEveryMs: 2_000,
    victims: ['up'],
    killsEach: 3,
    answerMs: 50,
    drainMs: 90_000,
  });
  assert.deepEqual(verdict.faults, []);
  assert.ok((verdict.kills['up'] ?? 0) >= 3);
  assert.equal(verdict.drained.ended.length, 150);
});
