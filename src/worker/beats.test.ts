import assert from 'node:assert/strict';
import { test } from 'node:test';
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
