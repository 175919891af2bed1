import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Type } from 'typebox';
import { assignmentIdOf, jobKey } from '../../contracts/job.ts';
import { at, eventContract, payload } from '../../contracts/contract.ts';
import { decideV1 } from '../../contracts/decide.ts';
import { extensionValidate } from '../../contracts/extension.ts';
import { execResult } from '../../contracts/result.ts';
import { deadLetterStream } from '../../contracts/streams.ts';
import type { Descriptor } from '../extensions.ts';
import { CORRELATION } from '../router-fixture.ts';
import { failure, JOB_ID, openJobs, orderOf, rest } from './jobs-fixture.ts';

const ASSIGNMENT = assignmentIdOf('acme', JOB_ID);
const RETRY = {
  providers: [
    { name: 'alder', weight: 1 },
    { name: 'birch', weight: 0 },
  ],
  fallbacks: [
    { when: { status: '5xx' }, retry: 1, to: 'birch', backoff: { strategy: 'fixed', base_ms: 2_500, jitter: false } },
  ],
};
const DOWN = failure('PROVIDER_UNAVAILABLE', {
  error: { class: 'unavailable', retryable: true, http_status: 503 },
});

test('a job is accepted before it is sent, run once, and ends with its result', async () => {
  const { start, ask, orders, state, usage, open, metrics, stop } = await openJobs();
  await start();
  const { ok, decision, assignment, duplicate, stream } = await ask(orderOf());
  assert.deepEqual([ok, duplicate, stream, decision?.provider_id], [true, undefined, undefined, 'alder']);
  assert.deepEqual(assignment, {
    assignment_id: ASSIGNMENT,
    attempt: 1,
    subject: 'caf.exec.assign.v1',
    deadline_ms: 300_000,
    durable: true,
  });
  const [order] = orders;
  assert.deepEqual(
    [order?.assignment_id, order?.attempt, order?.stream, order?.deliver_to, order?.executor.model],
    [ASSIGNMENT, 1, false, undefined, 'small'],
  );
  const done = await state();
  assert.deepEqual([done?.status, done?.result?.output, done?.cost_micro_usd], ['succeeded', 'yes', 7]);
  assert.deepEqual([done?.policy_id, done?.policy_revision, done?.attempts[0]?.provider_id], ['test', 7, 'alder']);
  assert.deepEqual(
    (await usage()).map(({ usage_id, key_id, policy_id }) => [usage_id, key_id, policy_id]),
    [[`acme:${ASSIGNMENT}:1`, 'key_1', 'test']],
  );
  assert.equal(await open(), 0);
  assert.match(metrics.render(), /router_jobs_total\{result="succeeded"\} 1/);
  assert.match(metrics.render(), /router_jobs_open 0/);
  await stop();
});

test('a failed attempt is followed by the policy, with real waits, and then by another provider', async () => {
  const { start, ask, script, orders, state, usage, pass, stop } = await openJobs(RETRY);
  await start();
  script.push(DOWN, DOWN);
  await ask(orderOf());
  assert.equal((await state())?.status, 'retry_wait');
  await pass(2_250);
  assert.equal(orders.length, 1, 'the wait is waited');
  await pass(500);
  await pass(3_000);
  assert.deepEqual(
    orders.map(({ attempt, executor, prior_cost_micro_usd }) => [attempt, executor.provider_id, prior_cost_micro_usd]),
    [
      [1, 'alder', 0],
      [2, 'alder', 7],
      [3, 'birch', 14],
    ],
  );
  const done = await state();
  assert.deepEqual([done?.status, done?.cost_micro_usd], ['succeeded', 21]);
  assert.deepEqual(
    done?.transitions.map(({ seq, status }) => [seq, status]),
    [
      [1, 'queued'],
      [2, 'retry_wait'],
      [3, 'running'],
      [4, 'retry_wait'],
      [5, 'running'],
      [6, 'succeeded'],
    ],
  );
  assert.equal((await usage()).length, 3);
  await stop();
});

test('the jobs of a session stay with the provider to which one of them moved', async () => {
  const { start, ask, script, orders, pass, stop } = await openJobs({
    weights: { alder: 1, birch: 1 },
    sticky: { enabled: true },
  });
  await start();
  const context = { session_id: 's-9' };
  script.push('succeed', DOWN);
  for (const n of [1, 2, 3]) {
    await ask(orderOf({ request_id: `rq-${n}`, idempotency_key: `key-${n}`, context }, { id: `key-${n}` }));
    await pass(500);
  }
  const [first, , moved] = orders.map(({ executor }) => executor.provider_id);
  assert.notEqual(first, moved);
  assert.deepEqual(
    orders.map(({ attempt, executor }) => [attempt, executor.provider_id]),
    [
      [1, first],
      [1, first],
      [2, moved],
      [1, moved],
    ],
  );
  await stop();
});

test('a job without another try fails with the code of its failure', async () => {
  const { start, ask, script, state, open, stop } = await openJobs();
  await start();
  script.push(failure('CONTENT_BLOCKED'));
  await ask(orderOf());
  const { status, error } = (await state()) ?? {};
  assert.deepEqual([status, error?.code, error?.error_code], ['failed', 'content_blocked', 'CONTENT_BLOCKED']);
  assert.equal(await open(), 0);
  await stop();
});

test('a worker that has the attempt shows it as running, and its end is not written twice', async () => {
  const { start, ask, script, held, state, pass, stop } = await openJobs();
  await start();
  script.push('hold');
  await ask(orderOf());
  assert.equal((await state())?.status, 'queued');
  await pass(500);
  assert.deepEqual([(await state())?.status, (await state())?.attempts[0]?.worker_id], ['running', 'w-1']);
  await held[0]?.finish();
  await rest();
  const ended = await state();
  await held[0]?.finish();
  await rest();
  assert.deepEqual(await state(), ended);
  await stop();
});

test('an attempt that nobody ends is lost, another follows, and its late result changes nothing but the bill', async () => {
  const { start, ask, script, orders, report, state, usage, pass, cancels, stop } = await openJobs({
    weights: { alder: 1 },
    timeout_ms: 10_000,
  });
  await start();
  script.push('vanish', 'hold');
  await ask(orderOf());
  await pass(71_000);
  assert.equal(orders.length, 1, 'its time, a minute for the result, and the skew of clocks');
  await pass(2_000);
  assert.deepEqual(
    orders.map(({ attempt, executor }) => [attempt, executor.provider_id]),
    [
      [1, 'alder'],
      [2, 'alder'],
    ],
  );
  assert.deepEqual(
    cancels.map(({ attempt, reason }) => [attempt, reason]),
    [[1, 'superseded']],
  );
  const [lost] = orders;
  assert.ok(lost !== undefined);
  await report(lost, { output: 'late' });
  await rest();
  const now = await state();
  assert.deepEqual([now?.attempt, now?.attempts[0]?.status, now?.result], [2, 'lost', undefined]);
  assert.deepEqual(
    (await usage()).map(({ attempt }) => attempt),
    [1],
  );
  await stop();
});

test('a job that no worker survives fails, and its work order is kept among the dead letters', async () => {
  const { start, ask, script, orders, state, bus, stop } = await openJobs({
    weights: { alder: 1 },
    retry: { max_attempts: 1 },
  });
  await start();
  for (let n = 0; n < 4; n++) script.push(failure('WORKER_LOST'));
  await ask(orderOf());
  await rest();
  const { status, error } = (await state()) ?? {};
  assert.equal(orders.length, 4, 'three repeats on other workers');
  assert.deepEqual([status, error?.code], ['failed', 'worker_lost']);
  const letters = await bus.read(deadLetterStream, { fromSeq: 1, limit: 10 });
  assert.deepEqual(
    letters.map(({ headers }) => [headers['x_dlq_reason'], headers['x_assignment_id']]),
    [['exhausted', ASSIGNMENT]],
  );
  await stop();
});

test('a job that is decided while its policies cannot be read anew says so, and so does a block', async () => {
  const { start, ask, stop } = await openJobs(undefined, { isStale: true });
  await start();
  const block = { task: { type: 'http.request', payload: { a: 1 } }, request_id: 'rq-2', idempotency_key: 'key-2' };
  const answers = [await ask(orderOf()), await ask(orderOf()), await ask(orderOf(block, { id: 'key-2' }))];
  assert.deepEqual(
    answers.map(({ decision, duplicate }) => [decision?.policy_stale, duplicate]),
    [
      [true, undefined],
      [true, true],
      [true, undefined],
    ],
  );
  await stop();
  const fresh = await openJobs();
  await fresh.start();
  assert.equal((await fresh.ask(orderOf())).decision?.policy_stale, undefined);
  await fresh.stop();
});

test('a repeat gets the first answer; the same key with another task is a conflict', async () => {
  const { start, ask, orders, metrics, stop } = await openJobs();
  await start();
  const first = await ask(orderOf());
  const again = await ask(orderOf({ request_id: 'rq-2', trace_id: 't-2' }, { expires_at_ms: 1_790_000_099_000 }));
  assert.deepEqual([again.ok, again.duplicate], [true, true]);
  assert.deepEqual([again.decision, again.assignment], [first.decision, first.assignment]);
  const other = await ask(orderOf({ task: { type: 'ai.chat', model: 'large', payload: { messages: [] } } }));
  assert.equal(other.error?.code, 'idempotency_conflict');
  assert.equal(orders.length, 1);
  assert.match(metrics.render(), /router_jobs_total\{result="duplicate"\} 1/);
  await stop();
});

test('a new job is told with the moment of its record, unless an extension may have changed what that says', async () => {
  const { start, ask, clock, stop } = await openJobs();
  await start();
  assert.equal((await ask(orderOf())).accepted_at_ms, clock.epochMs());
  assert.equal((await ask(orderOf())).accepted_at_ms, undefined, 'a repeat');
  await stop();

  const guard: Descriptor = { id: 'guard', type: 'validator', timeoutMs: 700, retry: 0, enabled: true, config: {} };
  const document = { weights: { alder: 1 }, validators: [{ id: 'guard' }] };
  const guarded = await openJobs(document, { extensions: new Map([['guard', guard]]) });
  await guarded.start();
  guarded.bus.serve(at(extensionValidate, { id: 'guard' }), {}, () => ({ status: 'ok' as const }));
  const { ok, duplicate, accepted_at_ms } = await guarded.ask(orderOf());
  assert.deepEqual([ok, duplicate, accepted_at_ms], [true, undefined, undefined]);
  await guarded.stop();
});

test('orders of one key that come at once are one job', async () => {
  const { start, ask, orders, open, metrics, stop } = await openJobs();
  await start();
  const answers = await Promise.all([1, 2, 3].map(() => ask(orderOf())));
  assert.deepEqual(
    answers.map(({ ok }) => ok),
    [true, true, true],
  );
  assert.equal(answers.filter(({ duplicate }) => duplicate === true).length, 2);
  assert.deepEqual([orders.length, await open()], [1, 0]);
  assert.match(metrics.render(), /router_jobs_open 0/);
  await stop();
});

test('what cannot be decided is refused, and leaves nothing', async () => {
  const { start, ask, orders, open, stop } = await openJobs();
  await start();
  const refusals: readonly (readonly [Parameters<typeof orderOf>, string])[] = [
    [[{ tenant_id: 'nobody' }], 'forbidden'],
    [[{ policy_id: 'nowhere' }], 'policy_not_found'],
    [[{ task: { type: 'ai.chat', payload: { messages: [] } } }], 'invalid_request'],
    [[{ constraints: { providers_allow: ['elm'] } }], 'no_provider_available'],
    [[{}, { expires_at_ms: 1_000 }], 'deadline_exceeded'],
    [[{}, { expires_at_ms: 1_790_000_000_000 + 9 * 86_400_000 }], 'invalid_request'],
  ];
  for (const [order, code] of refusals) assert.equal((await ask(orderOf(...order))).error?.code, code);
  assert.deepEqual([orders.length, await open()], [0, 0]);
  await stop();
});

test('a tenant has only so many jobs that have not ended, and others are not concerned', async () => {
  const { start, ask, script, held, pass, stop } = await openJobs(undefined, { jobs_outstanding: 2 });
  await start();
  script.push('hold', 'hold');
  const order = (id: string, tenant_id = 'acme') =>
    ask(orderOf({ tenant_id, policy_id: tenant_id === 'acme' ? 'test' : 'default' }, { id }));
  assert.deepEqual([(await order('job_1')).ok, (await order('job_2')).ok], [true, true]);
  const { error } = await order('job_3');
  assert.deepEqual([error?.code, error?.retryable, error?.retry_after_ms], ['queue_full', true, 5_000]);
  assert.equal((await order('job_1', 'umbra')).ok, true);
  await held[0]?.finish();
  await pass(250);
  assert.equal((await order('job_3')).ok, true);
  await stop();
});

test('a job is not sent before its moment', async () => {
  const { start, ask, orders, state, pass, stop } = await openJobs();
  await start();
  await ask(orderOf({}, { run_at_ms: 1_790_000_060_000 }));
  await pass(59_000);
  assert.equal(orders.length, 0);
  assert.deepEqual([(await state())?.waiting_for, (await state())?.next_at_ms], ['run_at', 1_790_000_060_000]);
  await pass(1_500);
  assert.deepEqual([orders.length, (await state())?.status], [1, 'succeeded']);
  await stop();
});

test('a job ends with its time, started or not', async () => {
  const { start, ask, script, state, cancels, open, pass, stop } = await openJobs();
  await start();
  script.push('hold');
  const expires = { expires_at_ms: 1_790_000_020_000 };
  await ask(orderOf({}, expires));
  await ask(orderOf({}, { ...expires, id: 'job_2', run_at_ms: 1_790_000_030_000 }));
  await pass(19_000);
  assert.deepEqual([(await state())?.status, (await state('job_2'))?.status], ['running', 'queued']);
  await pass(4_000);
  for (const id of [JOB_ID, 'job_2']) {
    const { status, error } = (await state(id)) ?? {};
    assert.deepEqual([status, error?.code], ['timed_out', 'deadline_exceeded']);
  }
  assert.deepEqual(
    cancels.map(({ attempt, reason }) => [attempt, reason]),
    [[1, 'deadline']],
  );
  assert.equal(await open(), 0);
  await stop();
});

test('a tenant has only a window of assignments on the stream, and tenants take turns', async () => {
  const { start, ask, script, orders, held, stop } = await openJobs(undefined, { dispatch_window: 2 });
  await start();
  for (let n = 0; n < 8; n++) script.push('hold');
  for (const id of ['job_1', 'job_2', 'job_3']) await ask(orderOf({}, { id }));
  await ask(orderOf({ tenant_id: 'umbra', policy_id: 'default' }, { id: 'job_1' }));
  const sent = () => orders.map(({ tenant_id, idempotency_key }) => `${tenant_id} ${idempotency_key}`);
  assert.deepEqual(sent(), ['acme job_1', 'acme job_2', 'umbra job_1']);
  await held[1]?.finish();
  await rest();
  assert.equal(sent().at(-1), 'acme job_3');
  await stop();
});

test('a block goes to any worker and is tried again as often as its caller allows', async () => {
  const { start, ask, script, orders, state, pass, stop } = await openJobs();
  await start();
  script.push(failure('NETWORK_ERROR'), failure('NETWORK_ERROR'));
  const task = { type: 'http.request', payload: { url: 'https://example.com' } };
  const { decision } = await ask(orderOf({ task, options: { retry: { max_attempts: 2 } } }));
  assert.deepEqual([decision?.provider_id, decision?.reason, decision?.model], ['worker', 'block', undefined]);
  await pass(1_000);
  assert.deepEqual(
    orders.map(({ executor, attempt, limits }) => [executor, attempt, limits]),
    [1, 2].map((attempt) => [{ provider_id: 'worker', channel: 'nats', pool: 'default' }, attempt, undefined]),
  );
  assert.deepEqual([(await state())?.status, (await state())?.error?.code], ['failed', 'provider_error']);
  await stop();
});

test('a push of version 1 may lower the waits between its attempts', async () => {
  const { bus, start, script, orders, pass, stop } = await openJobs(RETRY);
  await start();
  script.push(DOWN);
  await bus.request(
    at(decideV1),
    {
      version: '1',
      request_id: 'rq-1',
      tenant_id: 'acme',
      task: { type: 'ai.chat', model: 'small', payload: { a: 1 } },
      policy_id: 'test',
      push_assignment: true,
      options: { retry: { backoff_ms: 100 } },
    },
    { timeoutMs: 1_000, correlation: CORRELATION },
  );
  await rest();
  await pass(500);
  assert.equal(orders.length, 2);
  await stop();
});

test('a push of version 1 is durable, and answered in its own form', async () => {
  const { bus, start, orders, state, script, stop } = await openJobs();
  await start();
  script.push('miss');
  const request = {
    version: '1' as const,
    request_id: 'rq-v1',
    tenant_id: 'acme',
    policy_id: 'test',
    task: { type: 'ai.chat', model: 'small', payload: { messages: [] } },
    push_assignment: true,
  };
  const ask = async (more: object = {}) => {
    const options = { timeoutMs: 1_000, correlation: CORRELATION };
    const answer = await bus.request(at(decideV1), { ...request, ...more }, options);
    await rest();
    return answer;
  };
  const { ok, decision } = await ask();
  assert.equal(ok, true);
  assert.deepEqual(
    [decision?.provider_id, decision?.expected_latency_ms, decision?.expected_cost, decision?.metadata],
    ['alder', 0, 0, {}],
  );
  const [order] = orders;
  assert.deepEqual([order?.assignment_id, order?.options.deadline_ms], [assignmentIdOf('acme', 'rq-v1'), 5_000]);
  assert.deepEqual((await ask()).decision, decision);
  const conflict = await ask({ task: { ...request.task, model: 'large' } });
  assert.deepEqual(
    [conflict.error?.code, conflict.error?.intake_error_code],
    ['invalid_request', 'IDEMPOTENCY_VIOLATION'],
  );
  assert.equal(orders.length, 1);
  // A worker of version 1 knows neither attempts nor metadata, and may name only the request.
  assert.ok(order !== undefined);
  const result = { request_id: 'rq-v1', tenant_id: 'acme', status: 'success' } as const;
  await bus.append(at(execResult), result, { messageId: 'v1', timeoutMs: 1_000, correlation: CORRELATION });
  await rest();
  assert.equal((await state('rq-v1'))?.status, 'succeeded');
  await stop();
});

test('a result that nobody can read is kept among the dead letters', async () => {
  const { bus, start, stop } = await openJobs();
  await start();
  const unchecked = eventContract({ ...execResult, message: payload('test.Anything', '1', Type.Object({})) });
  const options = { messageId: 'bad', timeoutMs: 1_000, correlation: CORRELATION };
  await bus.append(at(unchecked), { tenant_id: 'acme', status: 'maybe', assignment_id: ASSIGNMENT }, options);
  await rest();
  const [letter] = await bus.read(deadLetterStream, { fromSeq: 1, limit: 10 });
  assert.equal(letter?.headers['x_dlq_reason'], 'validation');
  await stop();
});

test('a result that is faster than the state of its attempt, or outlives its router, counts all the same', async () => {
  const { bus, start, ask, orders, state, usage, pass, stop } = await openJobs(RETRY);
  await start();
  await ask(orderOf({}, { run_at_ms: 1_790_000_600_000 }));
  const result = { assignment_id: ASSIGNMENT, tenant_id: 'acme', provider_id: 'alder', attempt: 1, ...DOWN } as const;
  const usageOf = { model: 'small', input_tokens: 3, output_tokens: 2, cost_micro_usd: 7 };
  const options = { messageId: 'fast', timeoutMs: 1_000, correlation: CORRELATION };
  await bus.append(at(execResult), { ...result, status: 'error', usage: usageOf }, options);
  await rest();
  const waiting = await state();
  assert.deepEqual([waiting?.status, waiting?.attempts[0]?.status], ['retry_wait', 'failed']);
  await pass(3_000);
  assert.deepEqual(
    orders.map(({ attempt, executor }) => [attempt, executor.provider_id]),
    [[2, 'alder']],
  );
  assert.deepEqual([(await state())?.status, (await state())?.cost_micro_usd], ['succeeded', 14]);
  assert.equal((await usage()).length, 2);
  await stop();
});

test('entries that were left behind are swept away', async () => {
  const { bucket, start, open, pass, stop } = await openJobs();
  const half = { at_ms: 1_790_000_000_000, tenant_id: 'acme', assignment_id: ASSIGNMENT };
  await bucket.put(jobKey('acme', ASSIGNMENT, 'open'), JSON.stringify(half));
  await start();
  await pass(31_000);
  assert.equal(await open(), 1, 'its acceptance may still be on its way');
  await pass(61_000);
  assert.equal(await open(), 0);
  await stop();
});
