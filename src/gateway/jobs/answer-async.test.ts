import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '../../../test/until.ts';
import { CHAT, endFrame } from '../edge-fixture.ts';
import { openWorld } from './jobs-fixture.ts';

const ASYNC = { prefer: 'respond-async' };
const COMPLETION = { id: 'chatcmpl-1', object: 'chat.completion', choices: [] };

test('a completion that is put off is a job whose result is the answer of the dialect', async () => {
  await using world = await openWorld();
  const { send, router } = world;
  const answer = await send('POST', '/v1/chat/completions', CHAT, { ...ASYNC, 'x-beamline-timeout-ms': '90000' });
  assert.equal(answer.status, 202);
  const id = String(answer.body['id']);
  assert.deepEqual(
    [answer.headers.get('location'), answer.headers.get('preference-applied'), answer.body['type']],
    [`/api/v1/jobs/${id}`, 'respond-async', 'ai.chat'],
  );
  const asked = router.asked.at(-1);
  assert.deepEqual(
    [asked?.task.payload, asked?.dialect, asked?.job?.answer_as, asked?.deliver_to, asked?.deadline_ms],
    [CHAT, 'openai.chat', 'openai.chat', undefined, 90_000],
  );
  await router.move('acme', id, 'succeeded', { result: { output: COMPLETION, model: 'tall' } });
  assert.deepEqual((await send('GET', `/api/v1/jobs/${id}`)).body['result'], COMPLETION);
});

test('who waits gets the answer itself when it comes in time', async () => {
  await using world = await openWorld();
  const { send, router } = world;
  const answering = send('POST', '/v1/chat/completions', CHAT, { prefer: 'respond-async, wait=30' });
  const asked = await until('the order', () => router.asked.at(-1));
  await until('the record', async () => {
    const seen = await send('GET', `/api/v1/jobs/${String(asked.job?.id)}`);
    return seen.status === 200;
  });
  await router.move('acme', asked.job?.id ?? '', 'succeeded', {
    result: { output: COMPLETION, model: 'tall' },
    policy_id: 'default',
    cost_micro_usd: 42,
  });
  const { status, body, headers } = await answering;
  assert.deepEqual([status, body], [200, COMPLETION]);
  assert.deepEqual(
    [headers.get('x-beamline-model'), headers.get('x-beamline-cost'), headers.get('preference-applied')],
    ['tall', '42', 'wait=30'],
  );
});

test('what failed in time fails in the envelope of the dialect', async () => {
  await using world = await openWorld();
  const { send, router } = world;
  const answering = send('POST', '/v1/chat/completions', CHAT, { prefer: 'respond-async, wait=30' });
  const asked = await until('the order', () => router.asked.at(-1));
  await until('the record', async () => (await send('GET', `/api/v1/jobs/${String(asked.job?.id)}`)).status === 200);
  await router.move('acme', asked.job?.id ?? '', 'failed', {
    error: { code: 'content_blocked', message: 'not this', retryable: false },
  });
  const { status, body } = await answering;
  assert.deepEqual([status, (body['error'] as { code: string }).code], [400, 'content_filter']);
});

test('who waited in vain gets the job; a stream is never put off', async () => {
  await using world = await openWorld({ script: ({ reader }) => reader.end(endFrame('{}')) });
  const { send, edge } = world;
  const late = await send('POST', '/v1/chat/completions', CHAT, { prefer: 'respond-async, wait=0' });
  assert.deepEqual([late.status, late.headers.get('preference-applied')], [202, 'respond-async']);
  assert.equal((await send('POST', '/v1/chat/completions', CHAT, { 'x-bf-async': 'true' })).status, 202);
  const streamed = await fetch(`${edge.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { ...edge.headers, ...ASYNC },
    body: JSON.stringify({ ...CHAT, stream: true }),
  });
  await streamed.text();
  assert.deepEqual([streamed.status, streamed.headers.get('preference-applied')], [200, null]);
  assert.equal(edge.orders.length, 1);
});

test('a key is the same job for one route, and another for another', async () => {
  await using world = await openWorld();
  const { send } = world;
  const key = { 'idempotency-key': 'k' };
  const one = await send('POST', '/v1/chat/completions', CHAT, { ...ASYNC, ...key });
  const again = await send('POST', '/v1/chat/completions', CHAT, { ...ASYNC, ...key });
  const task = { type: 'ai.chat', payload: { messages: [] } };
  const other = await send('POST', '/api/v1/jobs', { task }, key);
  assert.equal(one.body['id'], again.body['id']);
  assert.equal(again.headers.get('idempotency-replayed'), 'true');
  assert.notEqual(one.body['id'], other.body['id']);
});
