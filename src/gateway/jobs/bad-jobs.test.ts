// What may come in and must be refused with a code and the path of what is wrong: never 500, and nothing reaches the router.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { SETTINGS } from '../edge-fixture.ts';
import { codeOf, detailsOf, fieldOf, openWorld, TASK } from './jobs-fixture.ts';

const limits = { inference: 8_388_608, native: 1_048_576 };
const world = await openWorld({ settings: { ...SETTINGS, http: { ...SETTINGS.http, body_limit: limits } } });
after(() => world[Symbol.asyncDispose]());
const id = await world.order();
const asked = world.router.asked.length;

const nested = (levels: number): unknown => JSON.parse(`${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}`);
const job = (more: object): object => ({ task: TASK, ...more });
const NOBODY = 'job_00000000000000000000000000';

// name, body, path of the field or the reason
const ORDERS: readonly (readonly [string, unknown, string])[] = [
  ['nothing', {}, 'task'],
  ['task and message', { task: TASK, message: { message_type: 'a', payload: { a: 1 } } }, 'task'],
  ['a task that is a list', { task: [] }, 'task'],
  ['a task that is null', { task: null }, 'task'],
  ['a task without a type', { task: { payload: { a: 1 } } }, 'task.type'],
  ['a type of a number', { task: { type: 7, payload: { a: 1 } } }, 'task.type'],
  ['a type with a space', { task: { type: 'a b', payload: { a: 1 } } }, 'task.type'],
  ['a type that is too long', { task: { type: 'a'.repeat(129), payload: { a: 1 } } }, 'task.type'],
  ['a payload that is a text', { task: { type: 'a', payload: 'x' } }, 'task.payload'],
  ['an empty payload', { task: { type: 'a', payload: {} } }, 'task.payload'],
  ['no payload', { task: { type: 'a' } }, 'task.payload'],
  [
    'a reference instead of a payload',
    { task: { type: 'a', payload: { a: 1 }, payload_ref: 'x' } },
    'task.payload_ref',
  ],
  ['a model of nothing', { task: { ...TASK, model: '' } }, 'task.model'],
  [
    'a model in the payload that is too long',
    { task: { type: 'ai.chat', payload: { model: 'x'.repeat(300) } } },
    'task.payload.model',
  ],
  ['a message without a type', { message: { payload: { a: 1 } } }, 'message.message_type'],
  [
    'a message whose id is an object',
    { message: { message_type: 'a', message_id: {}, payload: { a: 1 } } },
    'message.message_id',
  ],
  [
    'message metadata that is a list',
    { message: { message_type: 'a', payload: { a: 1 }, metadata: [] } },
    'message.metadata',
  ],
  ['a policy that is no id', job({ policy_id: '../x' }), 'policy_id'],
  ['a policy that is null', job({ policy_id: null }), 'policy_id'],
  ['an unknown priority', job({ priority: 'urgent' }), 'priority'],
  ['a priority of an object prototype', job({ priority: 'toString' }), 'priority'],
  ['a priority over 100', job({ priority: 101 }), 'priority'],
  ['a priority with a fraction', job({ priority: 1.5 }), 'priority'],
  ['a deadline of nothing', job({ deadline_ms: 0 }), 'deadline_ms'],
  ['a deadline of more than a day', job({ deadline_ms: 86_400_001 }), 'deadline_ms'],
  ['a deadline that is a text', job({ deadline_ms: '1000' }), 'deadline_ms'],
  ['a time that is none', job({ run_at: 'tomorrow' }), 'run_at'],
  ['a time without a zone', job({ run_at: '2030-01-01T00:00:00' }), 'run_at'],
  ['a day that is none', job({ run_at: '2030-13-41T00:00:00Z' }), 'run_at'],
  ['a time in a year', job({ run_at: '2999-01-01T00:00:00Z' }), 'run_at'],
  ['a time before all times', job({ run_at: '0001-01-01T00:00:00Z' }), 'run_at'],
  ['a webhook that is not registered', job({ webhook: 'whk_1' }), 'webhook'],
  ['a webhook that is an address', job({ webhook: 'https://example.com/' }), 'webhook'],
  ['metadata that is a list', job({ metadata: [1] }), 'metadata'],
  [
    'metadata with many members',
    job({ metadata: Object.fromEntries(Array.from({ length: 65 }, (_, n) => [n, 1])) }),
    'metadata',
  ],
  ['metadata that is large', job({ metadata: { a: 'x'.repeat(17_000) } }), 'metadata'],
  ['tags that are a text', job({ tags: 'a,b' }), 'tags'],
  ['too many tags', job({ tags: Array.from({ length: 17 }, String) }), 'tags'],
  ['a tag that is a number', job({ tags: ['a', 1] }), 'tags.1'],
  ['a huge tag', job({ tags: ['x'.repeat(65)] }), 'tags.0'],
  ['an empty tag', job({ tags: [''] }), 'tags.0'],
  ['a trace that is no id', job({ trace_id: 'a b' }), 'trace_id'],
  ['a key with a space', job({ idempotency_key: 'a b' }), 'idempotency_key'],
  ['a key that is too long', job({ idempotency_key: 'x'.repeat(256) }), 'idempotency_key'],
  ['a key that is a number', job({ idempotency_key: 1 }), 'idempotency_key'],
  ['a run without its flow', job({ run_id: 'r', step_id: 's' }), 'flow_id'],
  ['a flow alone', job({ flow_id: 'f' }), 'run_id'],
  ['context that is a text', job({ context: 'x' }), 'context'],
  ['options that are a list', job({ options: [] }), 'options'],
  ['no attempts', job({ options: { retry: { max_attempts: 0 } } }), 'options.retry.max_attempts'],
  ['another version', job({ version: '2' }), 'version'],
  ['a version that is a number', job({ version: 1 }), 'version'],
  ['a payload that is nested too deeply', { task: { type: 'a', payload: nested(61) } }, 'depth'],
  ['JSON that is nested too deeply', { task: { type: 'a', payload: nested(70) } }, 'depth'],
];

for (const [name, body, where] of ORDERS) {
  test(`a job with ${name} is refused at ${where}`, async () => {
    const answer = await world.send('POST', '/api/v1/jobs', body);
    assert.deepEqual([answer.status, codeOf(answer)], [400, 'invalid_request'], JSON.stringify(answer.body));
    assert.equal(fieldOf(answer) ?? detailsOf(answer)['reason'], where);
    assert.equal(world.router.asked.length, asked, 'nothing reaches the router');
  });
}

// name, method, path, body, status, field or reason
const OTHERS: readonly (readonly [string, string, string, unknown, number, string?])[] = [
  ['a malformed body', 'POST', '/api/v1/jobs', '{"task":', 400, 'syntax'],
  ['a body that is a list', 'POST', '/api/v1/jobs', [], 400, 'not_an_object'],
  ['another tenant in the body', 'POST', '/api/v1/jobs', job({ tenant_id: 'other' }), 403],
  ['an id that is none', 'GET', '/api/v1/jobs/nothing', undefined, 404],
  ['an id of nobody', 'GET', `/api/v1/jobs/${NOBODY}`, undefined, 404],
  ['an id that is too long', 'GET', `/api/v1/jobs/job_${'0'.repeat(300)}`, undefined, 404],
  ['an id of a wildcard', 'GET', '/api/v1/jobs/*', undefined, 404],
  ['an id in another alphabet', 'GET', `/api/v1/jobs/${encodeURIComponent('job_äöü')}`, undefined, 404],
  ['events of nobody', 'GET', `/api/v1/jobs/${NOBODY}/events`, undefined, 404],
  ['a retry of nobody', 'POST', `/api/v1/jobs/${NOBODY}/retry`, undefined, 404],
  ['a cancel of nobody', 'POST', `/api/v1/jobs/${NOBODY}/cancel`, undefined, 404],
  ['a delete of nobody', 'DELETE', `/api/v1/jobs/${NOBODY}`, undefined, 404],
  ['an annotation of nobody', 'PATCH', `/api/v1/jobs/${NOBODY}`, { tags: [] }, 404],
  ['an annotation of nothing', 'PATCH', `/api/v1/jobs/${id}`, {}, 400, 'metadata'],
  ['an annotation of the state', 'PATCH', `/api/v1/jobs/${id}`, { status: 'completed' }, 400, 'status'],
  ['a status that there is not', 'GET', '/api/v1/jobs?status=done', undefined, 400, 'status'],
  ['a limit of nothing', 'GET', '/api/v1/jobs?limit=0', undefined, 400, 'limit'],
  ['a cursor of somebody else', 'GET', '/api/v1/jobs?cursor=abc', undefined, 400, 'cursor'],
  ['a time that is none', 'GET', '/api/v1/jobs?since=yesterday', undefined, 400, 'since'],
  ['a search for a novel', 'GET', `/api/v1/jobs?search=${'x'.repeat(129)}`, undefined, 400, 'search'],
  ['a batch', 'GET', '/api/v1/jobs?batch_id=b', undefined, 400, 'batch_id'],
  ['an unknown action', 'POST', '/api/v1/jobs/bulk', { action: 'explode', ids: ['a'] }, 400, 'action'],
  ['an action of the prototype', 'POST', '/api/v1/jobs/bulk', { action: 'constructor', ids: ['a'] }, 400, 'action'],
  ['no ids', 'POST', '/api/v1/jobs/bulk', { action: 'cancel' }, 400, 'ids'],
  ['an id that is a number', 'POST', '/api/v1/jobs/bulk', { action: 'cancel', ids: ['a', 1] }, 400, 'ids.1'],
  [
    'too many ids',
    'POST',
    '/api/v1/jobs/bulk',
    { action: 'cancel', ids: Array.from({ length: 1_001 }, String) },
    400,
    'ids',
  ],
  ['an unknown format', 'POST', '/api/v1/jobs/export', { format: 'xlsx' }, 400, 'format'],
  ['a filter that is a number', 'POST', '/api/v1/jobs/export', { type: 1 }, 400, 'type'],
  ['an approval of nobody', 'GET', '/api/v1/approvals/apr_none', undefined, 404],
  ['an approval in another alphabet', 'GET', `/api/v1/approvals/${encodeURIComponent('ä')}`, undefined, 404],
  ['a decision without an option', 'POST', '/api/v1/approvals/apr_none/decision', {}, 400, 'option'],
  ['a decision of a number', 'POST', '/api/v1/approvals/apr_none/decision', { option: 1 }, 400, 'option'],
  ['a decision of nobody', 'POST', '/api/v1/approvals/apr_none/decision', { option: 'a' }, 404],
  ['approvals of a status that there is not', 'GET', '/api/v1/approvals?status=x', undefined, 400, 'status'],
  ['the stream of all jobs', 'GET', '/api/v1/messages/stream', undefined, 501],
];

for (const [name, method, path, body, status, where] of OTHERS) {
  test(`${name} is answered ${status}`, async () => {
    const answer = await world.send(method, path, body);
    assert.equal(answer.status, status, JSON.stringify(answer.body));
    if (where !== undefined) assert.equal(fieldOf(answer) ?? detailsOf(answer)['reason'], where);
    assert.equal(world.router.asked.length, asked);
  });
}

test('a key in the header must be the one in the body', async () => {
  const answer = await world.send('POST', '/api/v1/jobs', job({ idempotency_key: 'a' }), { 'idempotency-key': 'b' });
  assert.deepEqual([answer.status, fieldOf(answer)], [400, 'idempotency_key']);
});

test('a body that would not fit a message is too large', async () => {
  // Small as it is sent, large as it is written again.
  const numbers = `[${'1e20,'.repeat(60_000)}1]`;
  const answer = await world.send('POST', '/api/v1/jobs', `{"task":{"type":"a","payload":{"n":${numbers}}}}`);
  assert.deepEqual([answer.status, codeOf(answer)], [413, 'request_too_large']);
});

test('a key for certain models orders no other work of models', async () => {
  await using narrow = await openWorld({ models: ['tall'], role: 'service' });
  const order = async (task: object) => (await narrow.send('POST', '/api/v1/jobs', { task })).status;
  const { payload } = TASK;
  assert.equal(await order(TASK), 403);
  assert.equal(await order({ type: 'ai.chat', payload: { ...payload, model: 'small' } }), 403);
  assert.equal(await order({ type: 'ai.chat', model: 'small', payload: { ...payload, model: 'tall' } }), 403);
  assert.equal(await order({ type: 'ai.chat', payload: { ...payload, model: 'tall' } }), 202);
  assert.equal(narrow.router.asked.at(-1)?.task.model, 'tall');
  assert.equal(await order({ type: 'transform', payload: { expression: '1', data: {} } }), 202);
});

for (const type of ['completion', 'text.completion', 'ai.completion', 'ai.count_tokens']) {
  test(`a job of the type ${type}, which nobody runs, is refused before it is accepted`, async () => {
    const before = world.router.asked.length;
    const answer = await world.send('POST', '/api/v1/jobs', { task: { ...TASK, type } });
    assert.deepEqual([answer.status, codeOf(answer)], [400, 'unsupported_feature']);
    assert.deepEqual([detailsOf(answer)['reason'], world.router.asked.length], ['job_type', before]);
  });
}
