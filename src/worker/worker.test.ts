import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ExecAssignment } from '../contracts/assignment.ts';
import { cancel } from '../contracts/cancel.ts';
import { at } from '../contracts/contract.ts';
import { CORRELATION, kinds, openWorker, ROLE, settled, text } from './worker-fixture.ts';

test('a whole answer is a start and an end, one outcome and one result', async () => {
  const { provider, heard, call, stop } = await openWorker();
  assert.equal((await call({ stream: false })).status, 'accepted');
  provider.end();
  await settled();
  assert.deepEqual(kinds(heard), ['start', 'end']);
  const end = heard.frames.at(-1);
  assert.ok(end?.type === 'end');
  assert.equal(end.raw, '{"ok":true}');
  assert.deepEqual(end.usage, {
    model: 'small',
    input_tokens: 10,
    output_tokens: 4,
    cost_micro_usd: 18,
    cached_input_tokens: 3,
  });
  assert.deepEqual(
    heard.outcomes.map(({ state }) => state),
    ['succeeded'],
  );
  assert.deepEqual(
    heard.results.map(({ status, cost, job }) => [status, cost, job?.metadata]),
    [['success', 0.000018, { policy_id: 'default' }]],
  );
  await stop();
});

test('a prefix without content is held, leaves with the first content, and the order is kept', async () => {
  const { provider, heard, call, stop } = await openWorker();
  await call();
  provider.chunk(ROLE);
  assert.deepEqual(kinds(heard), ['start']);
  assert.deepEqual(heard.outcomes, []);
  provider.chunk(text('one'));
  provider.chunk(text('two'));
  provider.end();
  assert.deepEqual(kinds(heard), ['start', 'chunk', 'chunk', 'chunk', 'end']);
  assert.deepEqual(
    heard.frames.map(({ seq }) => seq),
    [0, 1, 2, 3, 4],
  );
  assert.deepEqual(
    heard.frames.flatMap((frame) => (frame.type === 'chunk' ? [frame.raw] : [])),
    [ROLE, text('one'), text('two')],
  );
  assert.deepEqual(
    heard.outcomes.map(({ state }) => state),
    ['committed', 'succeeded'],
  );
  await stop();
});

test('a failure before the first chunk sends no terminal frame, only an outcome and a result', async () => {
  const { provider, heard, call, stop } = await openWorker();
  await call();
  provider.chunk(ROLE);
  provider.sinks[0]?.fail({ code: 'PROVIDER_UNAVAILABLE', message: 'down', httpStatus: 503, retryAfterMs: 1_500 });
  await settled();
  assert.deepEqual(kinds(heard), ['start']);
  const [outcome] = heard.outcomes;
  assert.deepEqual(outcome?.error, {
    class: 'unavailable',
    code: 'PROVIDER_UNAVAILABLE',
    retryable: true,
    message: 'down',
    retry_after_ms: 1_500,
    http_status: 503,
  });
  assert.deepEqual(
    heard.results.map(({ status, usage, error_code }) => [status, usage, error_code]),
    [['error', undefined, 'PROVIDER_UNAVAILABLE']],
  );
  await stop();
});

test('a failure after the first chunk is one error frame, and what was produced is billed as an estimate', async () => {
  const { provider, heard, call, stop } = await openWorker();
  await call();
  provider.chunk(text('12345678'));
  provider.sinks[0]?.fail({ code: 'PROVIDER_PROTOCOL_ERROR', message: 'cut', detailCode: 'truncated' });
  provider.sinks[0]?.fail({ code: 'PROVIDER_PROTOCOL_ERROR', message: 'again' });
  provider.end();
  await settled();
  assert.deepEqual(kinds(heard), ['start', 'chunk', 'error']);
  const error = heard.frames.at(-1);
  assert.ok(error?.type === 'error');
  assert.equal(error.error.code, 'provider_protocol_error');
  assert.equal(error.committed, true);
  assert.equal(heard.results.length, 1);
  assert.equal(heard.results[0]?.error_code, 'STREAM_INTERRUPTED');
  assert.equal(heard.results[0]?.usage?.estimated, true);
  assert.equal(heard.results[0]?.usage?.output_tokens, 2);
  await stop();
});

test('a cancel closes the upstream, settles what was consumed and sends nothing more', async () => {
  const { bus, provider, heard, call, stop } = await openWorker();
  await call();
  provider.chunk(text('1234'));
  const message = {
    version: '2',
    tenant_id: 'acme',
    assignment_id: 'a-1',
    requested_at_ms: 1,
    reason: 'client_disconnected',
    delivered: { output_tokens: 9 },
  } as const;
  bus.publish(at(cancel), { ...message, tenant_id: 'other' }, CORRELATION);
  assert.equal(provider.aborted, 0, 'another tenant cannot cancel');
  bus.publish(at(cancel), message, CORRELATION);
  bus.publish(at(cancel), message, CORRELATION);
  provider.chunk(text('late'));
  provider.end();
  await settled();
  assert.equal(provider.aborted, 1);
  assert.deepEqual(kinds(heard), ['start', 'chunk']);
  assert.deepEqual(
    heard.outcomes.map(({ state }) => state),
    ['committed', 'cancelled'],
  );
  assert.deepEqual(
    heard.results.map(({ status, usage }) => [status, usage?.output_tokens, usage?.estimated]),
    [['cancelled', 9, true]],
  );
  await stop();
});

test('a cancel that comes first is remembered', async () => {
  const { bus, provider, call, stop } = await openWorker();
  const message = {
    version: '2',
    tenant_id: 'acme',
    assignment_id: 'a-1',
    requested_at_ms: 1,
    reason: 'client_disconnected',
  } as const;
  bus.publish(at(cancel), message, CORRELATION);
  assert.equal((await call()).status, 'rejected');
  assert.equal(provider.sinks.length, 0);
  await stop();
});

test('the deadline ends the attempt as timed out and closes the upstream', async () => {
  const { provider, heard, call, pass, stop } = await openWorker();
  await call({ options: { deadline_ms: 2_500 } });
  for (let i = 0; i < 26; i++) pass(100);
  assert.equal(provider.aborted, 1);
  assert.deepEqual(kinds(heard), ['start', 'heartbeat', 'heartbeat']);
  assert.deepEqual(
    heard.outcomes.map(({ state, error }) => [state, error?.code]),
    [['timed_out', 'CANCELLED_BY_TIMEOUT']],
  );
  await stop();
});

test('a silent stream has heartbeats, a lively one has none', async () => {
  const { provider, heard, call, pass, stop } = await openWorker();
  await call();
  provider.chunk(text('a'));
  for (let i = 0; i < 30; i++) {
    pass(500);
    provider.chunk(text('b'));
  }
  assert.ok(!kinds(heard).includes('heartbeat'));
  pass(1_050);
  assert.equal(kinds(heard).at(-1), 'heartbeat');
  provider.end();
  await stop();
});

const REFUSED: readonly (readonly [string, Partial<ExecAssignment>, string])[] = [
  ['another job type', { job: { type: 'sql.query', payload: { a: 1 } } }, 'unknown_job_type'],
  ['a provider that is not here', { executor: { provider_id: 'other', channel: 'nats' } }, 'unsupported_provider'],
  ['another dialect', { dialect: 'anthropic.messages' }, 'invalid_request'],
  ['frames to a foreign subject', { deliver_to: 'beamline.usage.v1.metered' }, 'invalid_request'],
];

for (const [what, more, reason] of REFUSED) {
  test(`${what} is refused as ${reason}`, async () => {
    const { provider, call, stop } = await openWorker();
    const ack = await call(more);
    assert.deepEqual([ack.status, ack.reason], ['rejected', reason]);
    assert.equal(provider.sinks.length, 0);
    await stop();
  });
}

test('the same attempt is not started twice, the next attempt is', async () => {
  const { provider, call, stop } = await openWorker();
  await call();
  assert.equal((await call()).reason, 'duplicate');
  provider.end();
  assert.equal((await call()).reason, 'duplicate');
  assert.equal((await call({ attempt: 2 })).status, 'accepted');
  assert.equal(provider.sinks.length, 2);
  provider.end();
  await stop();
});

test('calls wait in line for a slot; a full line refuses, a long wait is an overload', async () => {
  const { provider, heard, call, pass, stop } = await openWorker({ io: 1, queueMax: 2 });
  const acks = [];
  for (const id of ['a', 'b', 'c', 'd']) acks.push(await call({ assignment_id: id }));
  assert.deepEqual(
    acks.map(({ status, reason }) => reason ?? status),
    ['accepted', 'accepted', 'accepted', 'queue_full'],
  );
  assert.equal(provider.sinks.length, 1);
  provider.end();
  assert.equal(provider.sinks.length, 2, 'the next in line runs');
  pass(1_100);
  assert.deepEqual(
    heard.outcomes.map(({ assignment_id, error }) => [assignment_id, error?.code]),
    [
      ['a', undefined],
      ['c', 'SYSTEM_OVERLOAD'],
    ],
  );
  provider.end();
  await stop();
});

test('a stopping worker refuses new calls, finishes the running ones and says so', async () => {
  const { provider, heard, call, worker, bus, timers } = await openWorker();
  await call();
  const stopped = worker[Symbol.asyncDispose]();
  await assert.rejects(call({ assignment_id: 'late' }), { code: 'unavailable' });
  provider.end();
  await stopped;
  assert.deepEqual(kinds(heard), ['start', 'end']);
  assert.deepEqual(heard.beats, ['ready', 'draining', 'stopped']);
  await bus[Symbol.asyncDispose]();
  timers[Symbol.dispose]();
});

test('a stopping worker abandons what does not end in time: the router may try elsewhere', async () => {
  const { provider, heard, call, worker, bus, timers, pass } = await openWorker();
  await call();
  const stopped = worker[Symbol.asyncDispose]();
  await settled();
  for (let i = 0; i < 45; i++) pass(100);
  await stopped;
  assert.equal(provider.aborted, 1);
  assert.deepEqual(
    heard.outcomes.map(({ state, error }) => [state, error?.code]),
    [['failed', 'WORKER_UNAVAILABLE']],
  );
  await bus[Symbol.asyncDispose]();
  timers[Symbol.dispose]();
});

test('a critical worker leaves the queue group, finishes what runs, and comes back when it is calm', async () => {
  const { provider, heard, call, pass, measured, stop } = await openWorker();
  await call();
  measured.lag = 300;
  pass(1_000);
  await assert.rejects(call({ assignment_id: 'late' }), { code: 'unavailable' });
  assert.equal(heard.beats.length, 2, 'it says so at once');
  provider.end();
  assert.equal(kinds(heard).at(-1), 'end');
  measured.lag = 0;
  for (let second = 0; second < 5; second++) pass(1_000);
  assert.equal((await call({ assignment_id: 'later' })).status, 'accepted');
  provider.end();
  await stop();
});

test('an overloaded worker takes calls into free slots only', async () => {
  const { provider, call, pass, measured, stop } = await openWorker({ io: 1, queueMax: 4 });
  measured.lag = 120;
  for (let second = 0; second < 2; second++) pass(1_000);
  assert.equal((await call()).status, 'accepted');
  const refused = await call({ assignment_id: 'a-2' });
  assert.deepEqual([refused.reason, refused.overload_status], ['queue_full', 'overloaded']);
  provider.end();
  assert.equal((await call({ assignment_id: 'a-2' })).status, 'accepted');
  provider.end();
  await stop();
});
