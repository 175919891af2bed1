import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fill } from '../bus/full-bus-fixture.ts';
import { openRouter } from './router-fixture.ts';

const isCancel = (message: object): boolean => 'requested_at_ms' in message;

test('a lost worker whose attempts cannot be cancelled costs no request: each is pushed again', async () => {
  const { bus, heard, decide, beat, pass, stop } = await openRouter();
  beat('w-1');
  await decide();
  await decide();
  const full = fill(bus, isCancel);
  await pass(5_000);
  assert.equal(full.refused, 2);
  assert.equal(heard.pushed.length, 4);
  await stop();
});

test('an attempt that nobody acknowledged is pushed again, also when its cancel cannot leave', async () => {
  const { bus, heard, script, decide, pass, stop } = await openRouter();
  const full = fill(bus, isCancel);
  script.push('absent');
  await decide();
  await pass(1_100);
  assert.equal(full.refused, 1);
  assert.equal(heard.pushed.length, 2);
  await stop();
});

test('a heartbeat that cannot leave does not keep a waiting attempt from its next try', async () => {
  const { bus, heard, decide, fail, pass, stop } = await openRouter({
    weights: { alder: 1 },
    fallbacks: [
      { when: { status: '5xx' }, retry: 1, to: 'birch', backoff: { strategy: 'fixed', base_ms: 2_500, jitter: false } },
    ],
  });
  const full = fill(bus, (message) => 'type' in message && message.type === 'heartbeat');
  await decide();
  await fail('PROVIDER_UNAVAILABLE', { http_status: 503 });
  await pass(3_000);
  assert.ok(full.refused > 1);
  assert.equal(heard.pushed.length, 2);
  await stop();
});
