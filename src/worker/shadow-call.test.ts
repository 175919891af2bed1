// A copy of a request, whose result is thrown away: it runs as any call does, and nobody hears frames of it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { kinds, openWorker, ROLE, settled, text } from './worker-fixture.ts';

const SHADOW = { assignment_id: 's-1', shadow: true };

test('a shadow sends no frame; its outcome and its result say what it was and what it cost', async () => {
  const { provider, heard, call, stop } = await openWorker();
  assert.equal((await call(SHADOW)).status, 'accepted');
  provider.chunk(ROLE);
  provider.chunk(text('one'));
  provider.end();
  await settled();
  assert.deepEqual(kinds(heard), []);
  assert.deepEqual(
    heard.outcomes.map(({ state, shadow, cost_micro_usd }) => [state, shadow, cost_micro_usd]),
    [
      ['committed', true, undefined],
      ['succeeded', true, 18],
    ],
  );
  assert.deepEqual(
    heard.results.map(({ assignment_id, shadow, usage }) => [assignment_id, shadow, usage?.cost_micro_usd]),
    [['s-1', true, 18]],
  );
  await stop();
});

test('a shadow that fails after its first chunk sends no error either', async () => {
  const { provider, heard, call, stop } = await openWorker();
  await call(SHADOW);
  provider.chunk(text('one'));
  provider.sinks[0]?.fail({ code: 'NETWORK_ERROR', message: 'cut' });
  await settled();
  assert.deepEqual(kinds(heard), []);
  assert.deepEqual(
    heard.outcomes.map(({ state, shadow }) => [state, shadow]),
    [
      ['committed', true],
      ['failed', true],
    ],
  );
  await stop();
});

test('what a request costs is not told in its outcome, which says nothing of shadows', async () => {
  const { provider, heard, call, stop } = await openWorker();
  await call();
  provider.end();
  await settled();
  const [outcome] = heard.outcomes;
  assert.ok(outcome);
  assert.deepEqual(['shadow' in outcome, 'cost_micro_usd' in outcome], [false, false]);
  await stop();
});

test('a shadow waits for no place: it is refused where a request would wait', async () => {
  const { provider, call, stop, heard } = await openWorker({ io: 1, queueMax: 4 });
  assert.equal((await call()).status, 'accepted');
  const refused = await call(SHADOW);
  assert.deepEqual([refused.status, refused.reason], ['rejected', 'queue_full']);
  assert.equal((await call({ assignment_id: 'a-2' })).status, 'accepted');
  provider.end();
  await settled();
  provider.end();
  await settled();
  assert.equal(heard.results.length, 2);
  await stop();
});

test('a worker that is overloaded takes requests into free places, and no shadows', async () => {
  const { provider, call, pass, measured, stop } = await openWorker();
  measured.lag = 120;
  for (let second = 0; second < 3; second++) pass(1_000);
  assert.equal((await call(SHADOW)).reason, 'queue_full');
  assert.equal((await call()).status, 'accepted');
  provider.end();
  await settled();
  await stop();
});

test('a worker that stops waits for no shadow', async () => {
  const { provider, heard, call, stop, worker } = await openWorker();
  await call(SHADOW);
  await worker[Symbol.asyncDispose]();
  assert.deepEqual(
    heard.outcomes.map(({ state, shadow }) => [state, shadow]),
    [['cancelled', true]],
  );
  assert.equal(provider.aborted, 1);
  await stop();
});
