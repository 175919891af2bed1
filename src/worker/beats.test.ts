import assert from 'node:assert/strict';
import { test } from 'node:test';
import { at } from '../contracts/contract.ts';
import { workerHeartbeat } from '../contracts/heartbeat.ts';
import { openWorker, settled } from './worker-fixture.ts';

test('a worker whose places are all taken is busy, and tells it within a second', async () => {
  const { provider, heard, call, pass, stop } = await openWorker({ io: 1 });
  await call();
  pass(1_100);
  assert.deepEqual(heard.beats, ['ready', 'busy']);
  pass(1_100);
  assert.deepEqual(heard.beats, ['ready', 'busy'], 'once');
  provider.end();
  await settled();
  pass(1_100);
  assert.deepEqual(heard.beats, ['ready', 'busy', 'ready']);
  await stop();
});

test('a worker that is worse than healthy is degraded', async () => {
  const { heard, measured, pass, stop } = await openWorker();
  measured.lag = 60;
  pass(1_100);
  pass(1_100);
  assert.deepEqual(heard.beats, ['ready', 'degraded']);
  await stop();
});

test('a clock that is too far from the others is told in the heartbeat', async () => {
  const { bus, measured, pass, stop } = await openWorker();
  const skews: unknown[] = [];
  bus.subscribe(at(workerHeartbeat), {}, ({ metadata }) => void skews.push(metadata?.['clock_skew_ms']));
  measured.skew = 2_000;
  pass(5_100);
  measured.skew = 2_001;
  pass(5_100);
  assert.deepEqual(skews, [undefined, 2_001]);
  await stop();
});
