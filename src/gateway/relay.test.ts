import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { openRelay as open, ORDER, settled } from './relay-fixture.ts';

test('the router is told what the operator says of the tenant', async () => {
  const { asked, stop } = open();
  await settled();
  assert.deepEqual(asked[0]?.tenant, { tier: 'gold', labels: { of: ORDER.tenantId } });
  await stop();
});

test('chunks and the end reach the reader in order, once, and nothing comes after', async () => {
  const { exchange, relay, heard, send, stop } = open();
  await settled();
  send({ type: 'start' }, 0);
  send({ type: 'chunk', raw: 'a' }, 1);
  send({ type: 'chunk', raw: 'a' }, 1);
  send({ type: 'heartbeat' }, 2);
  send({ type: 'chunk', raw: 'b', usage_only: true }, 3);
  send({ type: 'end' }, 4);
  send({ type: 'chunk', raw: 'late' }, 5);
  send({ type: 'error' }, 6);
  assert.deepEqual(heard, ['chunk a', 'usage b', 'end stop']);
  assert.deepEqual(exchange.routed, {
    providerId: 'alder',
    model: 'small',
    policyId: 'default',
    policyRevision: 3,
    attempts: 1,
    costMicroUsd: 9,
  });
  assert.equal(relay.active, 0);
  await stop();
});

test('an answer in parts reaches the reader whole', async () => {
  const { heard, send, stop } = open();
  await settled();
  send({ type: 'start' }, 0);
  const part = (text: string) => ({ raw: undefined, part: text });
  send({ type: 'chunk' }, 2, part('b"}'));
  send({ type: 'chunk' }, 1, part('{"a":"'));
  const output_sha256 = createHash('sha256').update('{"a":"b"}').digest('hex');
  send({ type: 'end' }, 3, { output_parts: 2, output_sha256 });
  await settled();
  assert.deepEqual(heard, ['whole {"a":"b"}', 'end stop']);
  await stop();
});

for (const [what, sum] of [
  ['is missing', { output_parts: 3 }],
  ['is another one', { output_sha256: '0'.repeat(64) }],
] as const) {
  test(`an answer of which a part ${what} is no answer`, async () => {
    const { heard, send, cancels, stop } = open();
    await settled();
    send({ type: 'start' }, 0);
    send({ type: 'chunk' }, 1, { raw: undefined, part: '{"a":' });
    send({ type: 'chunk' }, 2, { raw: undefined, part: '1}' });
    const output_sha256 = createHash('sha256').update('{"a":1}').digest('hex');
    send({ type: 'end' }, 3, { output_parts: 2, output_sha256, ...sum });
    await settled();
    assert.deepEqual(heard, ['fail invalid_reply']);
    assert.equal(cancels.length, 1);
    await stop();
  });
}

test('frames may come before the decision', async () => {
  const { heard, send, stop } = open({ answers: ['silent'] });
  await settled();
  send({ type: 'start' }, 0);
  send({ type: 'chunk', raw: 'a' }, 1);
  send({ type: 'end' }, 2);
  assert.deepEqual(heard, ['chunk a', 'end stop']);
  await stop();
});

test('frames that come out of order are put in order', async () => {
  const { heard, send, stop } = open();
  await settled();
  for (const seq of [0, 2, 4, 3, 1]) send(seq === 0 ? { type: 'start' } : { type: 'chunk', raw: `${seq}` }, seq);
  send({ type: 'end' }, 5);
  assert.deepEqual(heard, ['chunk 1', 'chunk 2', 'chunk 3', 'chunk 4', 'end stop']);
  await stop();
});

test('a gap that stays open is a lost worker, and the attempt is cancelled', async () => {
  const { heard, cancels, send, pass, stop } = open();
  await settled();
  send({ type: 'start' }, 0);
  send({ type: 'chunk', raw: 'a' }, 1);
  send({ type: 'chunk', raw: 'c' }, 3);
  await pass(2_500);
  assert.deepEqual(heard, ['chunk a', 'fail worker_lost']);
  assert.deepEqual(
    cancels.map(({ assignment_id }) => assignment_id),
    ['a-1'],
  );
  await stop();
});

test('silence after the first chunk is a lost worker', async () => {
  const { asked, heard, send, pass, stop } = open();
  await settled();
  send({ type: 'start' }, 0);
  send({ type: 'chunk', raw: 'a' }, 1);
  await pass(6_000);
  assert.deepEqual(heard, ['chunk a', 'fail worker_lost']);
  assert.equal(asked.length, 1, 'nobody is asked again after the commit boundary');
  await stop();
});

test('heartbeats keep a silent stream alive', async () => {
  const { heard, send, pass, stop } = open();
  await settled();
  send({ type: 'start' }, 0);
  for (let i = 1; i < 20; i++) {
    await pass(1_000);
    send({ type: 'heartbeat' }, i);
  }
  send({ type: 'end' }, 20);
  assert.deepEqual(heard, ['end stop']);
  await stop();
});

test('silence before the first chunk asks the router once more; the first to deliver wins, the other is cancelled', async () => {
  const { asked, cancels, heard, send, pass, stop } = open();
  await settled();
  send({ type: 'start' }, 0);
  await pass(6_000);
  assert.deepEqual(
    asked.map(({ reask, request_id }) => [reask, request_id]),
    [
      [undefined, 'rq-1'],
      [1, 'rq-1'],
    ],
  );
  send({ type: 'start' }, 0, { assignment_id: 'a-2' });
  send({ type: 'chunk', raw: 'new' }, 1, { assignment_id: 'a-2' });
  assert.deepEqual(
    cancels.map(({ assignment_id, reason }) => [assignment_id, reason]),
    [['a-1', 'lost_race']],
  );
  send({ type: 'chunk', raw: 'old' }, 1);
  send({ type: 'end' }, 2);
  send({ type: 'end' }, 2, { assignment_id: 'a-2' });
  assert.deepEqual(heard, ['chunk new', 'end stop']);
  await stop();
});

test('a router that never answers is asked twice, then the answer is a timeout', async () => {
  const { asked, heard, pass, stop } = open({ answers: ['silent', 'silent'] });
  await pass(10_000);
  assert.equal(asked.length, 2);
  assert.deepEqual(heard, ['fail timeout']);
  await stop();
});

test('without a router the answer is unavailable, after one more try', async () => {
  const { heard, pass, stop } = open({ withRouter: false });
  await settled();
  assert.deepEqual(heard, []);
  await pass(500);
  assert.deepEqual(heard, ['fail unavailable']);
  await stop();
});

test('the deadline ends everything and cancels the work', async () => {
  const { heard, cancels, send, pass, stop } = open();
  await settled();
  send({ type: 'start' }, 0);
  for (let i = 1; i <= 60; i++) {
    await pass(1_000);
    send({ type: 'heartbeat' }, i);
  }
  await pass(100);
  assert.deepEqual(heard, ['fail timeout']);
  assert.deepEqual(
    cancels.map(({ reason }) => reason),
    ['deadline'],
  );
  await stop();
});

test('a caller who leaves cancels the work, also when the decision comes later', async () => {
  for (const isEarly of [true, false]) {
    const { exchange, cancels, heard, pass, send, stop } = open();
    if (!isEarly) await settled();
    exchange.cancel('client_disconnected');
    exchange.cancel('client_disconnected');
    send({ type: 'chunk', raw: 'a' }, 0);
    await pass(100);
    assert.deepEqual(
      cancels.map(({ assignment_id }) => assignment_id),
      isEarly ? [] : ['a-1'],
    );
    assert.deepEqual(heard, []);
    await stop();
  }
});

test('frames of a superseded attempt are dropped', async () => {
  const { heard, send, stop } = open();
  await settled();
  send({ type: 'start' }, 0);
  send({ type: 'start' }, 0, { attempt: 2 });
  send({ type: 'chunk', raw: 'old' }, 1);
  send({ type: 'chunk', raw: 'new' }, 1, { attempt: 2 });
  send({ type: 'end' }, 2, { attempt: 2 });
  assert.deepEqual(heard, ['chunk new', 'end stop']);
  await stop();
});

test('an error frame of the router ends the request with its code', async () => {
  const { heard, send, stop } = open();
  await settled();
  send({ type: 'start' }, 0);
  send({ type: 'error' }, 0, {
    origin: 'router',
    error: { code: 'provider_rate_limited', message: 'x', retryable: true, retry_after_ms: 2_000 },
  });
  assert.deepEqual(heard, ['fail provider_rate_limited']);
  await stop();
});

const REFUSALS: readonly (readonly [string, string | undefined, string])[] = [
  ['no_provider_available', undefined, 'no_provider_available'],
  ['unauthorized', undefined, 'forbidden'],
  ['decision_failed', undefined, 'no_provider_available'],
  ['invalid_request', 'IDEMPOTENCY_VIOLATION', 'idempotency_conflict'],
  ['forbidden', 'TENANT_FORBIDDEN', 'forbidden'],
  ['a_code_of_tomorrow', undefined, 'internal'],
];

for (const [code, intake, answer] of REFUSALS) {
  test(`the router's ${intake ?? code} is answered as ${answer}`, async () => {
    const { heard, stop } = open({ answers: [{ code, ...(intake === undefined ? {} : { intake }) }] });
    await settled();
    await settled();
    assert.deepEqual(heard, [`fail ${answer}`]);
    await stop();
  });
}

test('a frame that comes late does not reach the request that has the place now', async () => {
  const { relay, asked, heard, send, stop } = open();
  await settled();
  send({ type: 'start' }, 0);
  send({ type: 'end' }, 1);
  const next: string[] = [];
  relay.open(
    { ...ORDER, requestId: 'rq-2' },
    { chunk: (raw) => void next.push(raw), end: () => void next.push('end'), fail: () => void next.push('fail') },
  );
  await settled();
  assert.notEqual(asked[0]?.deliver_to, asked[1]?.deliver_to);
  send({ type: 'chunk', raw: 'late' }, 2, { assignment_id: 'a-2' });
  assert.deepEqual([heard, next], [['end stop'], []]);
  await stop();
});
