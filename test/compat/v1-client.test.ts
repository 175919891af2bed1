// A program of version 1 against the whole system over a real server: it asks, hears answers and errors in the form that
// it knows, and hears what was used. It imports nothing of ours.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type Stack, startStack } from '../stack.ts';
import { type Headers, RawNats } from './raw-nats.ts';

const DECIDE = 'beamline.router.v1.decide';
const TASK = { type: 'ai.chat', payload: { messages: [{ role: 'user', content: 'Name two lakes' }] } };

let stack: Stack;
let raw: RawNats;
before(async () => {
  stack = await startStack('nats');
  raw = await RawNats.open(stack.nats?.port ?? 0);
});
after(async () => {
  await raw[Symbol.asyncDispose]();
  await stack[Symbol.asyncDispose]();
});

interface Reply {
  readonly ok: unknown;
  readonly decision?: Readonly<Record<string, unknown>>;
  readonly error?: Readonly<Record<string, unknown>>;
  readonly context: Readonly<Record<string, unknown>>;
}

async function ask(body: object | string, headers?: Headers): Promise<Reply> {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return JSON.parse((await raw.request(DECIDE, text, headers)).body) as Reply;
}

const asking = (id: string, more: object = {}) => ({
  version: '1',
  request_id: id,
  tenant_id: 'acme',
  task: TASK,
  policy_id: 'fixed',
  ...more,
});

/** What a client of version 1 relies on in an answer. */
function assertDecided({ ok, decision, context }: Reply, id: string): void {
  assert.equal(ok, true);
  assert.equal(decision?.['provider_id'], 'birch');
  assert.equal(typeof decision?.['reason'], 'string');
  assert.ok(Number.isInteger(decision?.['priority']));
  assert.ok(Number.isInteger(decision?.['expected_latency_ms']));
  assert.equal(typeof decision?.['expected_cost'], 'number');
  assert.deepEqual(decision?.['metadata'], {});
  assert.equal(context['request_id'], id);
}

test('a question without headers is answered', async () => {
  assertDecided(await ask(asking('c-1')), 'c-1');
});

test('a question with headers is answered, whatever else is among them', async () => {
  const headers = { trace_id: '4bf92f3577b34da6a3ce929d0e0e4736', tenant_id: 'acme', 'X-Vendor': 'one' };
  const reply = await ask(asking('c-2', { trace_id: headers.trace_id }), headers);
  assertDecided(reply, 'c-2');
  assert.equal(reply.context['trace_id'], headers.trace_id);
});

test('fields that nobody knows are ignored', async () => {
  assertDecided(await ask(asking('c-3', { vendor: { a: 1 } })), 'c-3');
});

// What is wrong, the code of version 1, and the code of intake where there is one.
const BAD: readonly (readonly [
  what: string,
  body: object | string,
  code: string,
  intake: string | undefined,
  headers?: Headers,
])[] = [
  ['what is not JSON', '{', 'invalid_request', 'SCHEMA_VALIDATION_FAILED'],
  ['a list', '[]', 'invalid_request', 'SCHEMA_VALIDATION_FAILED'],
  ['no body', '', 'invalid_request', 'SCHEMA_VALIDATION_FAILED'],
  ['another version', asking('b-1', { version: '2' }), 'invalid_request', 'VERSION_UNSUPPORTED'],
  ['no task', asking('b-2', { task: undefined }), 'invalid_request', 'SCHEMA_VALIDATION_FAILED'],
  [
    'an empty payload',
    asking('b-6', { task: { type: 'ai.chat', payload: {} } }),
    'invalid_request',
    'PAYLOAD_TOO_SMALL',
  ],
  ['a null', asking('b-3', { trace_id: null }), 'invalid_request', 'SCHEMA_VALIDATION_FAILED'],
  ['two tenants', asking('b-4'), 'invalid_request', 'CORRELATION_FIELDS_INVALID', { tenant_id: 'other' }],
  ['no such policy', asking('b-5', { policy_id: 'nowhere' }), 'policy_not_found', undefined],
];

for (const [what, body, code, intake, headers] of BAD) {
  test(`${what} is answered with an error of version 1`, async () => {
    const { ok, decision, error, context } = await ask(body, headers);
    assert.equal(ok, false);
    assert.equal(decision, undefined);
    assert.equal(error?.['code'], code, JSON.stringify(error));
    assert.equal(error?.['intake_error_code'], intake);
    assert.match(String(error?.['message']), /./);
    // Version 2 says that in fields of its own, version 1 only in details.
    assert.deepEqual(
      Object.keys(error ?? {}).filter((name) => !['code', 'message', 'intake_error_code', 'details'].includes(name)),
      [],
    );
    if (typeof body === 'object') assert.equal(context['request_id'], (body as { request_id: string }).request_id);
  });
}

test('what was used is heard by who listens without a stream', async () => {
  const used = raw.subscribe('beamline.usage.v1.metered');
  await raw.flush();
  const answer = await stack.chat({ model: 'alder/test-chat' });
  assert.equal(answer.status, 200);
  const event = JSON.parse((await used.next()).body) as Readonly<Record<string, unknown>>;
  assert.deepEqual(
    [event['version'], event['tenant_id'], event['provider_id'], event['status']],
    ['1', 'acme', 'alder', 'success'],
  );
  for (const name of ['event_type', 'assignment_id']) assert.equal(typeof event[name], 'string', name);
  for (const name of ['latency_ms', 'cost', 'timestamp']) assert.equal(typeof event[name], 'number', name);
});

test('workers of today send heartbeats that a router of version 1 reads', async () => {
  const beats = raw.subscribe('caf.worker.heartbeat.v1');
  await raw.flush();
  const beat = JSON.parse((await beats.next()).body) as Readonly<Record<string, unknown>>;
  assert.equal(beat['version'], '1');
  assert.match(String(beat['timestamp']), /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
  const resources = beat['resources'] as Readonly<Record<string, unknown>>;
  assert.deepEqual(Object.keys(resources).toSorted(), ['cpu', 'gpu', 'jobs_in_flight', 'mem_bytes']);
});

test('the server had nothing to complain of', () => {
  assert.deepEqual(raw.errors, []);
});
