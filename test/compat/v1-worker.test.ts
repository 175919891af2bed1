// A worker of version 1 against the whole system over a real server, with no worker of ours: it pulls assignments from
// the stream by hand, says that it took them, stores results and acknowledges. It imports nothing of ours.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type Stack, startStack } from '../stack.ts';
import { until } from '../until.ts';
import { RawNats, type RawQueue } from './raw-nats.ts';

const STREAM = 'CAF_ASSIGN';
const DURABLE = 'caf-workers';
const PULL_NS = 15_000_000_000;

type Fields = Readonly<Record<string, unknown>>;

let stack: Stack;
let raw: RawNats;
let used: RawQueue;
before(async () => {
  stack = await startStack('nats', { workers: 0 });
  raw = await RawNats.open(stack.nats?.port ?? 0);
  used = raw.subscribe('beamline.usage.v1.metered');
  await until('the stream of assignments', async () => {
    const { body } = await raw.request(`$JS.API.STREAM.INFO.${STREAM}`, '');
    return (JSON.parse(body) as Fields)['error'] === undefined;
  });
  const config = { durable_name: DURABLE, ack_policy: 'explicit', deliver_policy: 'all', ack_wait: 30_000_000_000 };
  const made = await raw.request(
    `$JS.API.CONSUMER.DURABLE.CREATE.${STREAM}.${DURABLE}`,
    JSON.stringify({ stream_name: STREAM, config: { ...config, max_deliver: -1, max_ack_pending: 10_000 } }),
  );
  assert.equal((JSON.parse(made.body) as Fields)['error'], undefined, made.body);
});
after(async () => {
  await raw[Symbol.asyncDispose]();
  await stack[Symbol.asyncDispose]();
});

/** Orders durable work as a client of version 1 does; the assignment that comes of it, and how it is acknowledged. */
async function ordered(id: string): Promise<{ readonly assignment: Fields; readonly ackTo: string }> {
  const request = {
    version: '1',
    request_id: id,
    tenant_id: 'acme',
    policy_id: 'fixed',
    task: { type: 'ai.chat', payload: { messages: [{ role: 'user', content: 'Name two lakes' }] } },
    push_assignment: true,
    options: { deadline_ms: 30_000 },
  };
  const reply = JSON.parse((await raw.request('beamline.router.v1.decide', JSON.stringify(request))).body) as Fields;
  assert.equal(reply['ok'], true, JSON.stringify(reply));
  const pull = JSON.stringify({ batch: 1, expires: PULL_NS });
  const { body, replyTo } = await raw.request(`$JS.API.CONSUMER.MSG.NEXT.${STREAM}.${DURABLE}`, pull);
  const assignment = JSON.parse(body) as Fields;
  assert.equal(assignment['request_id'], id, body);
  return { assignment, ackTo: replyTo ?? '' };
}

/** Stores a result and returns when the stream has confirmed it. */
async function reported(assignment: Fields, more: object, messageId: string): Promise<void> {
  const { assignment_id, request_id, tenant_id, executor } = assignment;
  const result = {
    version: '1',
    assignment_id,
    request_id,
    tenant_id,
    provider_id: (executor as Fields)['provider_id'],
    job: { type: 'ai.chat' },
    latency_ms: 702,
    timestamp: 1_790_000_000_900,
    ...more,
  };
  const ack = await raw.request('caf.exec.result.v1', JSON.stringify(result), { 'Nats-Msg-Id': messageId });
  assert.equal((JSON.parse(ack.body) as Fields)['stream'], 'CAF_RESULT', ack.body);
}

/** The stored state of a job, by the key of its assignment. */
async function stateOf({ tenant_id, assignment_id }: Fields): Promise<Fields> {
  const key = `$KV.beamline_jobs.${String(tenant_id)}.${String(assignment_id)}.state`;
  const { body } = await raw.request('$JS.API.STREAM.MSG.GET.KV_beamline_jobs', JSON.stringify({ last_by_subj: key }));
  const found = JSON.parse(body) as { readonly message?: { readonly data: string } };
  return JSON.parse(Buffer.from(found.message?.data ?? 'e30=', 'base64').toString('utf8')) as Fields;
}

test('an assignment has all that a worker of version 1 reads', async () => {
  const { assignment, ackTo } = await ordered('w-1');
  assert.equal(assignment['version'], '1');
  assert.equal(assignment['tenant_id'], 'acme');
  const { executor, job, options } = assignment as Record<string, Fields>;
  assert.deepEqual([executor?.['provider_id'], executor?.['channel']], ['birch', 'nats']);
  assert.equal(job?.['type'], 'ai.chat');
  assert.deepEqual(job?.['payload'], { messages: [{ role: 'user', content: 'Name two lakes' }] });
  assert.ok(Number(options?.['deadline_ms']) >= 100);

  const acknowledged = { assignment_id: assignment['assignment_id'], status: 'accepted' };
  raw.publish('caf.exec.assign.v1.ack', JSON.stringify(acknowledged));
  await reported(assignment, { status: 'success', cost: 0.0021 }, 'hand-1');
  raw.publish(ackTo, '+ACK');

  await until('the job to have succeeded', async () => (await stateOf(assignment))['status'] === 'succeeded');
});

test('what a worker of version 1 reports as cost is billed', async () => {
  const { assignment, ackTo } = await ordered('w-2');
  const before = used.size;
  await reported(assignment, { status: 'success', cost: 0.0021 }, 'hand-2');
  raw.publish(ackTo, '+ACK');
  await until('the usage of the job', () => used.size > before);
  const event = JSON.parse((await used.next()).body) as Fields;
  assert.equal(event['cost'], 0.0021, JSON.stringify(event));
});

test('an error of a worker of version 1 ends the job', async () => {
  const { assignment, ackTo } = await ordered('w-3');
  await reported(assignment, { status: 'error', error_code: 'INVALID_INPUT', error_message: 'no', cost: 0 }, 'hand-3');
  raw.publish(ackTo, '+ACK');
  await until('the job to have failed', async () => (await stateOf(assignment))['status'] === 'failed');
});

test('a stored assignment is given again when it was not acknowledged, and not after it was', async () => {
  const { assignment, ackTo } = await ordered('w-4');
  raw.publish(ackTo, '-NAK');
  const pull = JSON.stringify({ batch: 1, expires: PULL_NS });
  const again = await raw.request(`$JS.API.CONSUMER.MSG.NEXT.${STREAM}.${DURABLE}`, pull);
  assert.equal((JSON.parse(again.body) as Fields)['assignment_id'], assignment['assignment_id']);
  await reported(assignment, { status: 'cancelled', error_code: 'CANCELLED_BY_USER' }, 'hand-4');
  raw.publish(again.replyTo ?? '', '+ACK');
  await until('the job to have ended', async () => (await stateOf(assignment))['status'] === 'cancelled');
  const none = await raw.request(
    `$JS.API.CONSUMER.MSG.NEXT.${STREAM}.${DURABLE}`,
    JSON.stringify({ batch: 1, no_wait: true }),
  );
  assert.match(none.headers ?? '', /^NATS\/1\.0 40[48]/);
});

test('the server had nothing to complain of', () => {
  assert.deepEqual(raw.errors, []);
});
