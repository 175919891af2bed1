import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openRouter as open } from './router-fixture.ts';

const limited = (rate_limit: object) => ({
  weights: { alder: 1, birch: 1 },
  rate_limit: { enabled: true, ...rate_limit },
});

test('what is over the rate is refused with the wait, and a dry run counts nothing', async () => {
  const { heard, decide, outcome, pass, stop } = await open(limited({ requests_per_second: 2, burst: 1 }));
  await decide({ options: { dry_run: true } });
  const first = await decide();
  await outcome({ state: 'succeeded' });
  const second = await decide();
  assert.deepEqual([first.ok, second.ok, second.error?.code], [true, false, 'rate_limit_exceeded']);
  assert.deepEqual([second.error?.retry_after_ms, second.error?.details?.['scope']], [500, 'policy']);
  await pass(500);
  assert.equal((await decide()).ok, true);
  await outcome({ state: 'succeeded' });
  assert.equal(heard.pushed.length, 2);
  await stop();
});

test('a request that runs holds its place until its end, whatever that is; a retry takes none', async () => {
  const { decide, outcome, fail, pass, providers, stop } = await open(limited({ max_concurrent: 1, burst: 100 }));
  await decide();
  const refused = await decide();
  assert.deepEqual([refused.error?.code, refused.error?.retryable], ['quota_exceeded', true]);
  await fail('NETWORK_ERROR');
  await pass(200);
  assert.equal((await decide()).ok, false, 'the retry runs in the same place');
  await outcome({ state: 'succeeded', attempt: 2 });
  assert.equal((await decide()).ok, true);
  await outcome({ state: 'cancelled' });
  assert.equal(
    (await decide({ task: { type: 'ai.chat', payload: { messages: [] } } })).ok,
    true,
    'ends at once: no model',
  );
  assert.equal((await decide()).ok, true);
  await outcome({ state: 'succeeded' });
  assert.equal(providers().length, 4);
  await stop();
});
