// What attempts still tell after their router gave them up.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cancel } from '../contracts/cancel.ts';
import { at } from '../contracts/contract.ts';
import { openRouter as open } from './router-fixture.ts';

/** Four workers that say nothing: the attempt is given up, and the fallback waits for a second. */
async function waiting() {
  const router = await open({
    providers: [
      { name: 'alder', weight: 1 },
      { name: 'birch', weight: 0 },
    ],
    fallbacks: [
      {
        when: { status: 'worker_unavailable' },
        retry: 0,
        to: 'birch',
        backoff: { strategy: 'fixed', jitter: false, base_ms: 1_000 },
      },
    ],
  });
  for (let i = 0; i < 4; i++) router.script.push('absent');
  await router.decide();
  for (let i = 0; i < 4; i++) await router.pass(1_050);
  assert.deepEqual(router.providers(), ['alder', 'alder', 'alder', 'alder']);
  assert.equal(router.heard.cancels.length, 4);
  return router;
}

for (const state of ['cancelled', 'failed'] as const) {
  test(`an attempt that was given up and ends as ${state} while the next one waits does not end the request`, async () => {
    const { heard, outcome, pass, providers, stop } = await waiting();
    await outcome({ state });
    await pass(1_050);
    assert.deepEqual(providers().slice(4), ['birch']);
    assert.deepEqual(
      heard.frames.filter(({ type }) => type !== 'heartbeat'),
      [],
    );
    await outcome({ state: 'succeeded' });
    await stop();
  });
}

test('a worker that answers a cancel at once does not end the request that goes on elsewhere', async () => {
  const { bus, beat, heard, script, decide, outcome, pass, stop } = await open({
    weights: { alder: 1 },
    timeouts: { attempt_ms: 4_000 },
    fallbacks: [{ when: { status: 'timeout' }, retry: 1, to: 'alder', backoff: { base_ms: 1 } }],
  });
  bus.subscribe(at(cancel), {}, () => void outcome({ state: 'cancelled' }));
  script.push('absent');
  await decide();
  await pass(1_050);
  assert.equal(heard.pushed.length, 2, 'it did not say that it has the attempt');
  beat('w-1');
  await pass(5_000);
  assert.equal(heard.pushed.length, 3, 'it was lost');
  for (let n = 0; n < 7; n++) {
    beat('w-1');
    await pass(1_000);
  }
  assert.equal(heard.pushed.length, 4, 'it took too long');
  assert.deepEqual(
    heard.frames.filter(({ type }) => type !== 'heartbeat'),
    [],
  );
  await outcome({ state: 'succeeded' });
  await stop();
});

for (const [what, behind] of [
  ['the last attempt', 0],
  ['an earlier attempt', 2],
] as const) {
  test(`a chunk of ${what} that comes while the next one waits is the answer: nothing is pushed after it`, async () => {
    const { heard, outcome, pass, providers, stop } = await waiting();
    await outcome({ state: 'committed', committed: true, attempt: 4 - behind });
    await pass(5_000);
    assert.equal(providers().length, 4);
    assert.deepEqual(
      heard.frames.filter(({ type }) => type !== 'heartbeat'),
      [],
    );
    await stop();
  });
}

test('a chunk of an attempt that was given up keeps the failure of the next one from being tried again', async () => {
  const { heard, script, decide, outcome, fail, pass, stop } = await open({ weights: { alder: 1, birch: 1 } });
  script.push('absent');
  await decide();
  await pass(1_050);
  await outcome({ state: 'committed', committed: true, attempt: 1 });
  await fail('PROVIDER_UNAVAILABLE');
  await pass(5_000);
  assert.equal(heard.pushed.length, 2);
  assert.deepEqual(heard.frames, []);
  await stop();
});
