import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { cancel } from '../contracts/cancel.ts';
import { at } from '../contracts/contract.ts';
import { type DecideRequest, decideV1, decideV2 } from '../contracts/decide.ts';
import { execResult } from '../contracts/result.ts';
import { ledgerUsage, usageStream } from '../contracts/streams.ts';
import { type UsageEvent, usageMetered } from '../contracts/usage.ts';
import { CORRELATION, openRouter as open, REQUEST, settled } from './router-fixture.ts';

test('a decision is answered, and its assignment is pushed with what a worker needs', async () => {
  const { heard, decide, outcome, stop } = await open();
  const { ok, decision, assignment, stream } = await decide();
  assert.equal(ok, true);
  assert.equal(decision?.provider_id, 'alder');
  assert.deepEqual([decision?.policy_id, decision?.policy_revision], ['test', 7]);
  assert.deepEqual(stream, { deliver_to: REQUEST.deliver_to, heartbeat_ms: 1_000, silence_ms: 3_000 });
  const [pushed] = heard.pushed;
  assert.equal(pushed?.assignment_id, assignment?.assignment_id);
  assert.deepEqual(pushed?.metadata, { policy_id: 'test', policy_revision: 7, key_id: 'key_1' });
  assert.equal(pushed?.options.deadline_ms, 30_000);
  assert.equal(pushed?.dialect, 'openai.chat');
  await outcome({ state: 'succeeded' });
  await stop();
  assert.deepEqual(heard.frames, []);
});

test('a decision without push starts nothing', async () => {
  const { heard, decide, stop } = await open();
  const { push_assignment: _, deliver_to: __, ...rest } = REQUEST;
  const response = await decide({ ...rest, push_assignment: false });
  assert.equal(response.ok, true);
  assert.equal(response.assignment, undefined);
  assert.deepEqual(heard.pushed, []);
  await stop();
});

const REFUSALS: readonly (readonly [string, Partial<DecideRequest>, string])[] = [
  ['an unknown tenant', { tenant_id: 'nobody' }, 'forbidden'],
  ['an unknown policy', { policy_id: 'nowhere' }, 'policy_not_found'],
  ['no time left', { deadline_ms: 50 }, 'deadline_exceeded'],
  ['frames to a foreign subject', { deliver_to: 'caf.exec.cancel.v2' }, 'invalid_request'],
  ['no provider that is allowed', { constraints: { providers_allow: ['elm'] } }, 'no_provider_available'],
];

for (const [what, more, code] of REFUSALS) {
  test(`${what} is refused as ${code}`, async () => {
    const { heard, decide, stop } = await open();
    const { ok, error } = await decide(more);
    assert.deepEqual([ok, error?.code], [false, code]);
    assert.deepEqual(heard.pushed, []);
    await stop();
  });
}

test('a push that has no way back is a job: accepted, and no call', async () => {
  const { bus, heard, stop } = await open();
  const { deliver_to: _, ...durable } = REQUEST;
  const { assignment } = await bus.request(at(decideV2), durable, { timeoutMs: 1_000, correlation: CORRELATION });
  assert.deepEqual([assignment?.durable, assignment?.subject], [true, 'caf.exec.assign.v1']);
  assert.deepEqual(heard.pushed, []);
  await stop();
});

test('a worker that is full or gone is replaced by another at once, without an attempt of the policy', async () => {
  const { heard, script, decide, fail, providers, stop } = await open({
    weights: { alder: 1 },
    retry: { max_attempts: 1 },
  });
  script.push({ status: 'rejected', reason: 'queue_full' }, { status: 'rejected', reason: 'draining' });
  await decide();
  assert.deepEqual(providers(), ['alder', 'alder', 'alder']);
  assert.deepEqual(
    heard.pushed.map(({ attempt }) => attempt),
    [1, 2, 3],
  );
  await fail('PROVIDER_UNAVAILABLE');
  const [error] = heard.frames;
  assert.ok(error?.type === 'error');
  assert.deepEqual([error.error.code, error.origin, error.committed], ['provider_unavailable', 'router', false]);
  await stop();
});

test('after three workers the policy decides', async () => {
  const { heard, script, decide, pass, providers, stop } = await open({
    providers: [
      { name: 'alder', weight: 1 },
      { name: 'birch', weight: 0 },
    ],
    fallbacks: [
      { when: { status: 'worker_unavailable' }, retry: 0, to: 'birch', backoff: { jitter: false, base_ms: 100 } },
    ],
  });
  for (let i = 0; i < 4; i++) script.push({ status: 'rejected', reason: 'queue_full' });
  await decide();
  await pass(200);
  assert.deepEqual(providers(), ['alder', 'alder', 'alder', 'alder', 'birch']);
  assert.deepEqual(heard.frames, []);
  await stop();
});

test('a silent worker is told to stop before the next one starts', async () => {
  const { heard, script, decide, pass, outcome, stop } = await open();
  script.push('absent');
  await decide();
  await pass(1_100);
  assert.deepEqual(
    heard.cancels.map(({ attempt, reason }) => [attempt, reason]),
    [[1, 'superseded']],
  );
  assert.deepEqual(
    heard.pushed.map(({ attempt }) => attempt),
    [1, 2],
  );
  await outcome({ state: 'succeeded' });
  await stop();
});

test('a fallback retries its provider with real waits, then moves on', async () => {
  const { heard, decide, fail, pass, providers, outcome, stop } = await open({
    providers: [
      { name: 'alder', weight: 1 },
      { name: 'birch', weight: 0 },
    ],
    fallbacks: [
      { when: { status: '5xx' }, retry: 1, to: 'birch', backoff: { strategy: 'fixed', base_ms: 2_500, jitter: false } },
    ],
  });
  await decide();
  await fail('PROVIDER_UNAVAILABLE', { http_status: 503 });
  await pass(2_400);
  assert.deepEqual(providers(), ['alder'], 'the wait is waited');
  assert.deepEqual(
    heard.frames.map(({ type, origin }) => [type, origin]),
    [
      ['heartbeat', 'router'],
      ['heartbeat', 'router'],
    ],
  );
  await pass(200);
  assert.deepEqual(providers(), ['alder', 'alder']);
  await fail('PROVIDER_UNAVAILABLE', { http_status: 503 });
  await pass(2_600);
  assert.deepEqual(providers(), ['alder', 'alder', 'birch']);
  assert.deepEqual(
    heard.pushed.map(({ decision }) => decision?.reason),
    ['weighted', 'retry', 'fallback'],
  );
  await outcome({ state: 'succeeded' });
  await stop();
});

for (const [what, backoff_ms, pushed] of [
  ['lowers', 0, 2],
  ['cannot raise', 60_000, 1],
] as const) {
  test(`a caller ${what} the waits of the policy`, async () => {
    const backoff = { strategy: 'fixed', base_ms: 2_000, jitter: false };
    const { decide, fail, pass, heard, outcome, stop } = await open({
      weights: { alder: 1, birch: 1 },
      fallbacks: [{ when: { status: '5xx' }, retry: 1, to: 'birch', backoff }],
      retry: { backoff },
    });
    for (const more of [{ http_status: 503 }, {}]) {
      const before = heard.pushed.length;
      await decide({ options: { retry: { backoff_ms } } });
      await fail('PROVIDER_UNAVAILABLE', more);
      await pass(1_900);
      assert.equal(heard.pushed.length - before, pushed);
      await pass(200);
      assert.equal(heard.pushed.length - before, 2);
      await outcome({ state: 'succeeded' });
    }
    await stop();
  });
}

test('a retryable failure without a fallback is drawn again without the failed provider', async () => {
  const { decide, fail, pass, providers, heard, stop } = await open({ weights: { alder: 100, birch: 0.001 } });
  await decide();
  const [first] = providers();
  await fail('CONNECTION_TIMEOUT', { class: 'timeout' });
  await pass(300);
  assert.equal(providers().length, 2);
  assert.notEqual(providers()[1], first);
  await fail('PROVIDER_UNAVAILABLE');
  await pass(500);
  const last = heard.frames.at(-1);
  assert.ok(last?.type === 'error', 'nobody is left');
  assert.equal(last.error.code, 'provider_unavailable');
  await stop();
});

test('after the commit boundary no other attempt is started', async () => {
  const { heard, decide, outcome, fail, pass, providers, stop } = await open({ weights: { alder: 1, birch: 1 } });
  await decide();
  await outcome({ state: 'committed', committed: true });
  await fail('STREAM_INTERRUPTED', { retryable: true });
  await pass(5_000);
  assert.equal(providers().length, 1);
  assert.deepEqual(heard.frames, [], 'the worker itself sends the terminal frame');
  await stop();
});

test('a bad request of the caller is not tried elsewhere', async () => {
  const { heard, decide, fail, pass, providers, stop } = await open({ weights: { alder: 1, birch: 1 } });
  await decide();
  await fail('CONTEXT_LENGTH_EXCEEDED', { class: 'validation', retryable: false });
  await pass(1_000);
  assert.equal(providers().length, 1);
  const [error] = heard.frames;
  assert.ok(error?.type === 'error');
  assert.equal(error.error.code, 'context_length_exceeded');
  await stop();
});

test('a worker that stops beating is lost: its uncommitted calls go to another one', async () => {
  const { beat, heard, decide, pass, outcome, stop } = await open();
  beat('w-1');
  await decide();
  await pass(5_000);
  assert.deepEqual(
    heard.pushed.map(({ attempt }) => attempt),
    [1, 2],
  );
  assert.deepEqual(
    heard.cancels.map(({ attempt, reason }) => [attempt, reason]),
    [[1, 'superseded']],
  );
  await outcome({ state: 'succeeded' });
  await stop();
});

test('a cancel of the request ends its attempts', async () => {
  const { bus, heard, decide, fail, pass, stop } = await open({ weights: { alder: 1, birch: 1 } });
  const { assignment } = await decide();
  bus.publish(
    at(cancel),
    {
      version: '2',
      tenant_id: 'acme',
      assignment_id: assignment?.assignment_id ?? '',
      requested_at_ms: 1,
      reason: 'client_disconnected',
    },
    CORRELATION,
  );
  await fail('PROVIDER_UNAVAILABLE');
  await pass(5_000);
  assert.equal(heard.pushed.length, 1);
  assert.deepEqual(heard.frames, []);
  await stop();
});

test('a router that is full refuses, with a hint when to come again', async () => {
  const { decide, outcome, stop } = await open(undefined, { inFlightMax: 1 });
  await decide();
  const { error } = await decide({ request_id: 'rq-2' });
  assert.deepEqual([error?.code, error?.retryable, error?.retry_after_ms], ['service_overloaded', true, 1_000]);
  await outcome({ state: 'succeeded' });
  assert.equal((await decide({ request_id: 'rq-3' })).ok, true);
  await stop();
});

const SESSION = { context: { session_id: 's-9' } };

test('a session stays with its provider until that one fails, and then with the one that was drawn instead', async () => {
  const { decide, providers, outcome, fail, pass, stop } = await open({
    weights: { alder: 1, birch: 1, cedar: 1 },
    sticky: { enabled: true },
  });
  const served = async (): Promise<void> => {
    for (let i = 0; i < 10; i++) {
      await decide(SESSION);
      await outcome({ state: 'succeeded' });
    }
  };
  await served();
  await decide(SESSION);
  await fail('PROVIDER_UNAVAILABLE');
  await pass(300);
  await outcome({ state: 'succeeded' });
  await served();
  const [first, second] = new Set(providers());
  assert.deepEqual(providers(), [...Array<string>(11).fill(first ?? ''), ...Array<string>(11).fill(second ?? '')]);
  assert.notEqual(first, second);
  await stop();
});

test('a session goes where its request was escalated to', async () => {
  const { decide, providers, outcome, fail, stop } = await open({
    providers: [
      { name: 'alder', weight: 1 },
      { name: 'birch', weight: 0 },
    ],
    sticky: { enabled: true },
    escalate_on: [{ when: "'5xx' in context.status", to: 'birch' }],
  });
  await decide(SESSION);
  await fail('PROVIDER_UNAVAILABLE', { http_status: 503 });
  await outcome({ state: 'succeeded' });
  await decide(SESSION);
  assert.deepEqual(providers(), ['alder', 'birch', 'birch']);
  await outcome({ state: 'succeeded' });
  await stop();
});

test('a binding is renewed by a decision that pushes nothing, in either version', async () => {
  const { bus, decide, providers, outcome, fail, pass, stop } = await open({
    weights: { alder: 1, birch: 1 },
    sticky: { enabled: true, ttl: '10s' },
  });
  await decide(SESSION);
  await fail('PROVIDER_UNAVAILABLE');
  await pass(300);
  await outcome({ state: 'succeeded' });
  const moved = providers()[1];
  const task = { type: 'ai.chat', payload: { a: 1 } };
  const asked = { request_id: 'rq-v1', tenant_id: 'acme', policy_id: 'test', task, ...SESSION };
  const options = { timeoutMs: 1_000, correlation: CORRELATION };
  await pass(6_000);
  const one = await bus.request(at(decideV1), { version: '1', ...asked }, options);
  await pass(6_000);
  const two = await bus.request(at(decideV2), { version: '2', ...asked, request_id: 'rq-v2' }, options);
  await pass(6_000);
  await decide(SESSION);
  const [, , last] = providers();
  assert.deepEqual([one.decision?.provider_id, two.decision?.provider_id, last], [moved, moved, moved]);
  await outcome({ state: 'succeeded' });
  await stop();
});

test('decide v1 answers in its own words', async () => {
  const { bus, stop } = await open();
  const ask = (more: object) =>
    bus.request(
      at(decideV1),
      {
        version: '1',
        request_id: 'rq-1',
        tenant_id: 'acme',
        task: { type: 'ai.chat', payload: { a: 1 } },
        policy_id: 'test',
        ...more,
      },
      { timeoutMs: 1_000, correlation: CORRELATION },
    );
  const good = await ask({});
  assert.deepEqual([good.ok, good.decision?.provider_id, good.decision?.expected_cost], [true, 'alder', 0]);
  const foreign = await ask({ tenant_id: 'nobody' });
  assert.deepEqual([foreign.error?.code, foreign.error?.intake_error_code], ['unauthorized', 'TENANT_FORBIDDEN']);
  const durable = await ask({ push_assignment: true });
  assert.deepEqual([durable.ok, durable.decision?.provider_id], [true, 'alder']);
  await stop();
});

test('a result that consumed something becomes one usage event, however often it comes; others become none', async () => {
  const { bus, stop } = await open();
  const events: UsageEvent[] = [];
  await bus.consume({ stream: usageStream, consumer: ledgerUsage, message: usageMetered.message }, (delivery) => {
    events.push(delivery.message);
    delivery.ack();
  });
  const result = {
    version: '1',
    assignment_id: 'a-1',
    request_id: 'rq-1',
    tenant_id: 'acme',
    status: 'cancelled',
    provider_id: 'alder',
    job: { type: 'ai.chat', metadata: { policy_id: 'test', policy_revision: 7 } },
    latency_ms: 12,
    attempt: 2,
    usage: { model: 'small', input_tokens: 3, output_tokens: 1, cost_micro_usd: 5, estimated: true },
  } as const;
  const append = (messageId: string, more: object = {}) =>
    bus.append(at(execResult), { ...result, ...more }, { messageId, timeoutMs: 1_000, correlation: CORRELATION });
  await append('one');
  await append('two');
  const { usage: _, ...refused } = result;
  await bus.append(at(execResult), refused, { messageId: 'three', timeoutMs: 1_000, correlation: CORRELATION });
  await settled();
  assert.deepEqual(
    events.map(({ usage_id, status, cost, policy_id, estimated }) => [usage_id, status, cost, policy_id, estimated]),
    [['acme:a-1:2', 'cancelled', 0.000005, 'test', true]],
  );
  await stop();
});

test('a request without a model, for a policy that names none, is told so', async () => {
  const { heard, decide, stop } = await open();
  await decide({ task: { type: 'ai.chat', payload: { messages: [] } } });
  const [error] = heard.frames;
  assert.ok(error?.type === 'error');
  assert.deepEqual([error.error.code, heard.pushed], ['invalid_request', []]);
  await stop();
});

test('a lost worker ends the watch over a committed attempt, and nothing is pushed again', async () => {
  const { beat, heard, decide, outcome, pass, stop } = await open(undefined, { inFlightMax: 1 });
  beat('w-1');
  await decide();
  await outcome({ state: 'committed', committed: true });
  await pass(5_000);
  assert.equal(heard.pushed.length, 1);
  assert.equal((await decide({ request_id: 'rq-2' })).ok, true, 'its place is free');
  await stop();
});

for (const [level, keys] of [
  ['none', []],
  ['minimal', ['policy_id', 'reason']],
  ['detailed', ['policy_id', 'reason', 'steps', 'candidates']],
  ['verbose', ['policy_id', 'reason', 'steps', 'candidates', 'conditions', 'snapshot']],
] as const) {
  test(`the explanation '${level}' has what it is to have`, async () => {
    const { decide, stop } = await open({ weights: { alder: 1 } });
    const asked = ['policy_id', 'reason', 'steps', 'candidates', 'conditions', 'snapshot'];
    const { explanation = {} } = await decide({ options: { explain: level } });
    assert.deepEqual(
      asked.filter((key) => key in explanation),
      keys,
    );
    await stop();
  });
}

test('a dry run is always explained in its steps, and no metric counts it', async () => {
  const { decide, metrics, heard, stop } = await open({ weights: { alder: 1 } });
  const { ok, explanation } = await decide({ options: { dry_run: true } });
  assert.deepEqual([ok, Array.isArray(explanation?.['steps']), heard.pushed.length], [true, true, 0]);
  assert.doesNotMatch(metrics.render(), /router_decisions_total\{/);
  await stop();
});

test('a dry run tells that it called nothing and what payload it would send, also when it is refused', async () => {
  const guarded = { weights: { alder: 1 }, validators: [{ id: 'nobody_serves_it' }] };
  const { decide, stop } = await open(guarded);
  const payload = { messages: [{ role: 'user', content: 'hi' }] };
  const payload_digest = createHash('sha256').update(JSON.stringify(payload)).digest('hex');
  const asked = { task: { type: 'ai.chat', model: 'small', payload }, options: { dry_run: true } };
  const dry = await decide(asked);
  assert.deepEqual([dry.ok, dry.executed_extensions, dry.payload_digest], [true, [], payload_digest]);
  const { error } = await decide({ ...asked, constraints: { providers_allow: ['nobody'] } });
  const { explanation, ...told } = error?.details ?? {};
  assert.deepEqual([error?.code, told], ['no_provider_available', { executed_extensions: [], payload_digest }]);
  assert.ok(explanation !== undefined);
  await stop();
});

test('a decision names the last rule that holds', async () => {
  // eslint-disable-next-line unicorn/no-thenable -- the word of the language
  const rule = (id: string, when: string) => ({ id, when, continue: true, then: { tag: id } });
  const rules = [rule('one', 'true'), rule('two', "request.model == 'small'"), rule('three', 'false')];
  const { decide, stop } = await open({ weights: { alder: 1 }, rules });
  const { decision } = await decide();
  assert.deepEqual([decision?.rule_id, decision?.tags], ['two', ['one', 'two']]);
  await stop();
});
