import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openRouter } from './router-fixture.ts';

const policy = (abortOn: object, revisionMark = 'a') => ({
  description: revisionMark,
  providers: [
    { name: 'alder', weight: 1 },
    { name: 'birch', weight: 0 },
  ],
  retry: { max_attempts: 1 },
  canary: { to: 'birch', share: 100, abort_on: { min_requests: 4, ...abortOn } },
});

test('a canary that fails too often gets nothing more', async () => {
  const { decide, fail, outcome, metrics, stop } = await openRouter(policy({ error_rate: 0.4 }));
  for (const isGood of [true, false, true]) {
    const { decision } = await decide();
    assert.deepEqual([decision?.provider_id, decision?.canary], ['birch', 'canary']);
    await (isGood ? outcome({ state: 'succeeded' }) : fail('PROVIDER_UNAVAILABLE'));
  }
  assert.equal((await decide()).decision?.provider_id, 'birch', 'three requests are too few to judge');
  await fail('PROVIDER_UNAVAILABLE');
  const { decision } = await decide();
  assert.deepEqual([decision?.provider_id, decision?.canary], ['alder', 'stable']);
  assert.match(metrics.render(), /router_canaries_aborted_total 1/);
  await stop();
});

test('a canary whose p95 is above the limit gets nothing more, by its first chunk where there is one', async () => {
  const { decide, outcome, stop } = await openRouter(policy({ p95_ms: 100 }));
  for (const ms of [20, 20, 20]) {
    await decide();
    await outcome({ state: 'succeeded', latency_ms: 5_000, ttft_ms: ms });
  }
  await decide();
  await outcome({ state: 'succeeded', latency_ms: 101 });
  assert.equal((await decide()).decision?.provider_id, 'alder');
  await stop();
});

test('what a caller cancels does not count', async () => {
  const { decide, outcome, stop } = await openRouter(policy({ error_rate: 0.1 }));
  for (let i = 0; i < 6; i++) {
    await decide();
    await outcome({ state: 'cancelled' });
  }
  assert.equal((await decide()).decision?.provider_id, 'birch');
  await stop();
});

test('what one router stops gets nothing from the others either', async () => {
  const { decide, fail, join, providers, stop } = await openRouter(policy({ error_rate: 0.4 }));
  for (let n = 0; n < 4; n++) {
    await decide();
    await fail('PROVIDER_UNAVAILABLE');
  }
  await join();
  for (let n = 0; n < 8; n++) await decide();
  assert.deepEqual(
    providers().slice(4),
    Array.from({ length: 8 }, () => 'alder'),
  );
  await stop();
});
