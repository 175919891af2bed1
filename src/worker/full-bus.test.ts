import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fill } from '../bus/full-bus-fixture.ts';
import { MESSAGE_BYTES_MAX } from '../contracts/limits.ts';
import { kinds, openWorker, ROLE, settled, text } from './worker-fixture.ts';

test('a worker that cannot say that it drains drains nevertheless', async () => {
  const { bus, provider, heard, call, stop } = await openWorker();
  await call();
  const full = fill(bus, (message) => 'status' in message && 'slots' in message);
  provider.end();
  await stop();
  assert.equal(full.refused, 2);
  assert.deepEqual(kinds(heard), ['start', 'end']);
});

const huge = text('x'.repeat(MESSAGE_BYTES_MAX));

test('an event that is larger than a message fails the call before it commits: the router tells the caller', async () => {
  const { provider, heard, call, stop } = await openWorker();
  await call();
  provider.chunk(ROLE);
  provider.chunk(huge);
  provider.end();
  await settled();
  assert.deepEqual(kinds(heard), ['start']);
  assert.deepEqual(
    heard.outcomes.map(({ state, committed, error }) => [state, committed, error?.code, error?.retryable]),
    [['failed', false, 'OUTPUT_TOO_LARGE', false]],
  );
  assert.deepEqual(
    heard.results.map(({ error_code, usage }) => [error_code, usage?.output_tokens]),
    [['OUTPUT_TOO_LARGE', MESSAGE_BYTES_MAX / 4]],
    'it was made, so it is paid',
  );
  assert.equal(provider.aborted, 1);
  await stop();
});

test('one that comes later ends the stream with one error frame', async () => {
  const { provider, heard, call, stop } = await openWorker();
  await call();
  provider.chunk(text('one'));
  provider.chunk(huge);
  provider.chunk(text('two'));
  assert.deepEqual(kinds(heard), ['start', 'chunk', 'error']);
  const error = heard.frames.at(-1);
  assert.ok(error?.type === 'error');
  assert.deepEqual([error.error.code, error.seq], ['execution_failed', 2]);
  await stop();
});

for (const [code, told] of [
  ['payload_too_large', 'execution_failed'],
  ['unavailable', 'worker_lost'],
] as const) {
  test(`a chunk that the bus refuses as ${code} ends the stream with one error frame, in its place`, async () => {
    const { bus, provider, heard, call, stop } = await openWorker();
    await call();
    fill(bus, (message) => 'raw' in message && message.raw === text('two'), code);
    provider.chunk(ROLE);
    provider.chunk(text('one'));
    provider.chunk(text('two'));
    provider.chunk(text('three'));
    assert.deepEqual(
      heard.frames.map(({ type, seq }) => [type, seq]),
      [
        ['start', 0],
        ['chunk', 1],
        ['chunk', 2],
        ['error', 3],
      ],
    );
    const error = heard.frames.at(-1);
    assert.ok(error?.type === 'error');
    assert.equal(error.error.code, told);
    await stop();
  });
}

test('nothing follows a held event that could not leave', async () => {
  const { bus, provider, heard, call, stop } = await openWorker();
  await call();
  fill(bus, (message) => 'raw' in message && message.raw === ROLE);
  provider.chunk(ROLE);
  provider.chunk(text('one'));
  assert.deepEqual(kinds(heard), ['start', 'error']);
  assert.deepEqual(
    heard.outcomes.map(({ state }) => state),
    ['failed'],
  );
  await stop();
});

test('a waiting call that ends, because its heartbeat could not leave, never asks its provider and gives no place back', async () => {
  const { bus, provider, heard, pass, call, stop } = await openWorker({ io: 1, waitMs: 10_000 });
  await call();
  await call({ assignment_id: 'a-2' });
  await call({ assignment_id: 'a-3' });
  let isFull = true;
  fill(bus, (message) => isFull && 'assignment_id' in message && message.assignment_id === 'a-2');
  pass(1_100);
  isFull = false;
  provider.end();
  await settled();
  assert.deepEqual(
    heard.frames.filter(({ type }) => type === 'start').map(({ assignment_id }) => assignment_id),
    ['a-1', 'a-3'],
  );
  assert.equal(provider.calls.length, 2);
  await call({ assignment_id: 'a-4' });
  assert.equal(provider.calls.length, 2, 'the place is taken');
  provider.end();
  await settled();
  assert.equal(provider.calls.length, 3);
  provider.end();
  await stop();
});
