import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fill } from '../bus/full-bus-fixture.ts';
import { kinds, openWorker } from './worker-fixture.ts';

test('a worker that cannot say that it drains drains nevertheless', async () => {
  const { bus, provider, heard, call, stop } = await openWorker();
  await call();
  const full = fill(bus, (message) => 'status' in message && 'slots' in message);
  provider.end();
  await stop();
  assert.equal(full.refused, 2);
  assert.deepEqual(kinds(heard), ['start', 'end']);
});
