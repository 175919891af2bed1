import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openRelay, settled } from './relay-fixture.ts';

const OTHER = { assignment_id: 'a-2' };
const of = (cancels: readonly { assignment_id: string; reason: string }[]) =>
  cancels.map(({ assignment_id, reason }) => [assignment_id, reason]);

test('a caller may leave while the bus takes nothing; the log tells of the cancel that did not go', async () => {
  const { exchange, relay, lines, link, stop } = openRelay();
  await settled();
  link.isFull = true;
  exchange.cancel('client_disconnected');
  assert.equal(relay.active, 0);
  assert.match(lines.join('\n'), /cancel_not_sent/);
  await stop();
});

test('a lost worker is answered while the bus takes nothing', async () => {
  const { heard, link, send, pass, stop } = openRelay();
  await settled();
  send({ type: 'start' }, 0);
  send({ type: 'chunk', raw: 'a' }, 1);
  link.isFull = true;
  await pass(5_000);
  assert.deepEqual(heard, ['chunk a', 'fail worker_lost']);
  await stop();
});

test('the first chunk reaches the reader although the other attempt cannot be cancelled', async () => {
  const { heard, link, send, pass, stop } = openRelay();
  await settled();
  send({ type: 'start' }, 0);
  await pass(6_000);
  link.isFull = true;
  send({ type: 'start' }, 0, OTHER);
  send({ type: 'chunk', raw: 'a' }, 1, OTHER);
  send({ type: 'end' }, 2, OTHER);
  assert.deepEqual(heard, ['chunk a', 'end stop']);
  await stop();
});

test('a refused re-ask does not end a request that is being served', async () => {
  for (const frame of ['chunk', 'heartbeat'] as const) {
    const { heard, asked, send, pass, stop } = openRelay({ answers: ['silent', { code: 'unavailable' }] });
    await settled();
    send({ type: 'start' }, 0);
    await pass(2_100);
    send({ type: frame, ...(frame === 'chunk' ? { raw: 'a' } : {}) }, 1);
    await pass(200);
    assert.equal(asked.length, 2);
    send({ type: 'end' }, 2);
    assert.deepEqual(heard, frame === 'chunk' ? ['chunk a', 'end stop'] : ['end stop']);
    await stop();
  }
});

test('the error of one assignment does not end a request that another still works on', async () => {
  const { heard, send, pass, stop } = openRelay();
  await settled();
  send({ type: 'start' }, 0);
  await pass(6_000);
  send({ type: 'start' }, 0, OTHER);
  send({ type: 'error' }, 1);
  send({ type: 'chunk', raw: 'a' }, 1, OTHER);
  send({ type: 'end' }, 2, OTHER);
  assert.deepEqual(heard, ['chunk a', 'end stop']);
  await stop();
});

test('when every assignment has ended in an error the last one is the answer', async () => {
  const { heard, send, pass, stop } = openRelay();
  await settled();
  send({ type: 'start' }, 0);
  await pass(6_000);
  send({ type: 'start' }, 0, OTHER);
  send({ type: 'error' }, 1);
  send({ type: 'error' }, 1, { ...OTHER, error: { code: 'provider_unavailable', message: 'no', retryable: true } });
  assert.deepEqual(heard, ['fail provider_unavailable']);
  await stop();
});

test('a decision that comes after the end cancels its assignment, unless that is the one that served', async () => {
  const { heard, cancels, send, pass, release, stop } = openRelay({ silenceMs: 1_000, answers: ['silent', 'decide'] });
  await settled();
  await pass(1_200);
  send({ type: 'start' }, 0, OTHER);
  send({ type: 'end' }, 1, OTHER);
  assert.deepEqual(heard, ['end stop']);
  assert.deepEqual(of(cancels), []);
  await release();
  assert.deepEqual(of(cancels), [['a-1', 'lost_race']]);
  await stop();
});

test('a decision that comes after the first chunk cancels its assignment', async () => {
  const { cancels, send, pass, release, stop } = openRelay({ silenceMs: 1_000, answers: ['silent', 'decide'] });
  await settled();
  await pass(1_200);
  send({ type: 'start' }, 0, OTHER);
  send({ type: 'chunk', raw: 'a' }, 1, OTHER);
  await release();
  assert.deepEqual(of(cancels), [['a-1', 'lost_race']]);
  await stop();
});

test('a decision that comes after the failure cancels its assignment', async () => {
  const { heard, cancels, pass, release, stop } = openRelay({
    silenceMs: 1_000,
    answers: ['silent', { code: 'draining' }],
  });
  await settled();
  await pass(1_200);
  assert.deepEqual(heard, ['fail draining']);
  await release();
  assert.deepEqual(of(cancels), [['a-1', 'superseded']]);
  await stop();
});

test('an attempt that starts for a request that is over is cancelled, also when its decision never comes', async () => {
  const { exchange, cancels, send, stop } = openRelay({ answers: ['silent'] });
  await settled();
  exchange.cancel('client_disconnected');
  send({ type: 'start' }, 0);
  await settled();
  assert.deepEqual(of(cancels), [['a-1', 'superseded']]);
  await stop();
});

test('a gap is open for a second, whichever assignment it is of and however long silence may last', async () => {
  const { heard, cancels, send, pass, stop } = openRelay({ silenceMs: 60_000 });
  await settled();
  send({ type: 'start' }, 0);
  await pass(1_500);
  send({ type: 'heartbeat' }, 1);
  await pass(1_500);
  send({ type: 'heartbeat' }, 3);
  await pass(950);
  assert.deepEqual(heard, []);
  await pass(150);
  assert.deepEqual(heard, ['fail worker_lost']);
  assert.deepEqual(of(cancels), [['a-1', 'superseded']]);
  await stop();
});

test('a gap that follows another has a second of its own', async () => {
  const { heard, send, pass, stop } = openRelay({ silenceMs: 60_000 });
  await settled();
  send({ type: 'start' }, 0);
  send({ type: 'heartbeat' }, 2);
  await pass(900);
  send({ type: 'heartbeat' }, 4);
  send({ type: 'heartbeat' }, 1);
  await pass(900);
  assert.deepEqual(heard, []);
  send({ type: 'heartbeat' }, 3);
  send({ type: 'end' }, 5);
  assert.deepEqual(heard, ['end stop']);
  await stop();
});

test('a gap of an attempt that lost the race ends nothing', async () => {
  const { heard, send, pass, stop } = openRelay();
  await settled();
  send({ type: 'start' }, 0);
  await pass(6_000);
  send({ type: 'heartbeat' }, 3);
  send({ type: 'start' }, 0, OTHER);
  send({ type: 'chunk', raw: 'a' }, 1, OTHER);
  await pass(2_000);
  send({ type: 'end' }, 2, OTHER);
  assert.deepEqual(heard, ['chunk a', 'end stop']);
  await stop();
});

test('a worker of the same process that answers its cancel at once changes no answer', async () => {
  const cancelled = { error: { code: 'cancelled', message: 'cancelled', retryable: false } };
  for (const [name, wrong] of [
    ['fail worker_lost', { raw: '{}' }],
    ['fail invalid_reply', { raw: undefined, part: '{' }],
  ] as const) {
    const { heard, link, send, pass, stop } = openRelay();
    await settled();
    link.onCancel = () => send({ type: 'error' }, 2, cancelled);
    send({ type: 'start' }, 0);
    send({ type: 'chunk' }, 1, wrong);
    if (name === 'fail invalid_reply') send({ type: 'end' }, 2, { output_parts: 2, output_sha256: '0'.repeat(64) });
    else send({ type: 'chunk' }, 3);
    await pass(2_000);
    assert.deepEqual(heard.slice(-1), [name]);
    await stop();
  }
});
