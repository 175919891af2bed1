// A cluster that loses its leader, and then all of itself, under jobs and calls: the rest is `npm run faults:broker`.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runBroker } from './broker/broker-run.ts';

test('a cluster that loses its leader and then all its servers costs no job, no bill, and no caller an answer', async () => {
  const run = await runBroker({ faults: ['leader_killed', 'all_killed'], seed: 20_261_121, drainMs: 45_000 });
  assert.deepEqual(run.wrong, []);
  assert.deepEqual(
    run.ended.filter(({ status }) => status !== 'completed'),
    [],
  );
  assert.ok(run.chats.some(({ status }) => status === 200));
});
