import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Descriptor } from './extensions.ts';
import { openRouter } from './router-fixture.ts';

/** With the time of a draw's wait, which is up to 100 ms. */
const AFTER_MS = 300;

const guard: Descriptor = { id: 'guard', type: 'post', timeoutMs: 700, retry: 0, enabled: true, config: {} };
const open = (timeouts: object, more: object = {}) =>
  openRouter({ weights: { alder: 1, birch: 1 }, timeouts, ...more }, { extensions: new Map([['guard', guard]]) });

test('a worker that lives and does not end its attempt loses it to another provider', async () => {
  const { heard, decide, pass, providers, outcome, stop } = await open({ attempt_ms: 4_000 });
  await decide();
  await pass(5_900);
  assert.equal(heard.pushed.length, 1, 'its worker is asked first, and clocks may differ');
  await pass(200 + AFTER_MS);
  assert.deepEqual(
    heard.cancels.map(({ attempt, reason }) => [attempt, reason]),
    [[1, 'deadline']],
  );
  assert.equal(new Set(providers()).size, 2);
  await outcome({ state: 'cancelled', attempt: 1 });
  await outcome({ state: 'succeeded' });
  await stop();
  assert.deepEqual(
    heard.frames.filter(({ type }) => type !== 'heartbeat'),
    [],
  );
});

test('each attempt has its own time', async () => {
  const { heard, decide, pass, fail, stop } = await open({ attempt_ms: 4_000 });
  await decide();
  await pass(5_000);
  await fail('PROVIDER_UNAVAILABLE');
  await pass(5_000);
  assert.deepEqual([heard.pushed.length, heard.cancels.length], [2, 0]);
  await pass(1_500);
  assert.deepEqual(
    heard.cancels.map(({ attempt }) => attempt),
    [2],
  );
  const last = heard.frames.at(-1);
  assert.ok(last?.type === 'error', 'nobody is left');
  assert.equal(last.error.code, 'provider_timeout');
  await stop();
});

test('a stream that does not begin in time is begun elsewhere; from when its worker accepted it', async () => {
  const { heard, decide, pass, providers, outcome, stop } = await open({ first_chunk_ms: 3_000 });
  await decide();
  await pass(4_900);
  assert.equal(heard.pushed.length, 1);
  await pass(200 + AFTER_MS);
  assert.equal(new Set(providers()).size, 2);
  await outcome({ state: 'succeeded' });
  await stop();
});

test('an optional post-processor, which no stream waits for, changes nothing in that', async () => {
  const { decide, pass, providers, outcome, stop } = await open(
    { first_chunk_ms: 3_000 },
    { post: [{ id: 'guard', mode: 'optional' }] },
  );
  await decide();
  await pass(5_100 + AFTER_MS);
  assert.equal(new Set(providers()).size, 2);
  await outcome({ state: 'succeeded' });
  await stop();
});

for (const [what, stream, more] of [
  ['a whole answer', false, {}],
  ['a stream that waits for a post-processor', true, { post: [{ id: 'guard', mode: 'required' }] }],
] as const) {
  test(`${what} need not begin before it ends`, async () => {
    const { heard, decide, pass, outcome, stop } = await open({ first_chunk_ms: 3_000 }, more);
    await decide({ stream });
    await pass(20_000);
    assert.deepEqual([heard.pushed.length, heard.cancels], [1, []]);
    await outcome({ state: 'succeeded' });
    await stop();
  });
}

test('a stream that has begun goes on, until the time of its attempt is over: then it is stopped and nothing follows', async () => {
  const { heard, decide, pass, outcome, stop } = await open({ first_chunk_ms: 2_000, attempt_ms: 10_000 });
  await decide();
  await outcome({ state: 'committed', committed: true });
  await pass(11_900);
  assert.deepEqual(heard.cancels, []);
  await pass(5_000);
  assert.deepEqual(
    heard.cancels.map(({ attempt, reason }) => [attempt, reason]),
    [[1, 'deadline']],
  );
  assert.equal(heard.pushed.length, 1);
  assert.deepEqual(heard.frames, [], 'its worker sends the terminal frame');
  await stop();
});
