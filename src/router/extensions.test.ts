import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { openMemoryBus } from '../bus/memory.ts';
import { at } from '../contracts/contract.ts';
import type { DecideRequest } from '../contracts/decide.ts';
import { type ExtensionReply, type ExtensionRequest, extensionPre, extensionValidate } from '../contracts/extension.ts';
import { ManualClock } from '../core/clock.ts';
import { BeamlineError } from '../core/errors.ts';
import { Timers } from '../core/timers.ts';
import { openLog } from '../telemetry/log.ts';
import { Metrics } from '../telemetry/metrics.ts';
import type { Scope } from '../policy/condition.ts';
import type { ExtensionItem } from '../policy/policy.ts';
import { type Descriptor, Extensions } from './extensions.ts';

type Answer = (request: ExtensionRequest) => ExtensionReply | Promise<ExtensionReply>;

const REQUEST: DecideRequest = {
  version: '2',
  request_id: 'rq-1',
  tenant_id: 'acme',
  task: { type: 'ai.chat', payload: { messages: [{ role: 'user', content: '  hi  ' }] } },
  context: { team: 'blue' },
};

const FACTS = { tenantId: 'acme', requestId: 'rq-1', taskType: 'ai.chat', stream: false, context: { team: 'blue' } };
const SCOPE: Scope = { facts: FACTS, live: {}, status: [], attempt: 1 };

const item = (id: string, stage: 'pre' | 'validator', more: Partial<ExtensionItem> = {}): ExtensionItem => ({
  id,
  stage,
  onFailure: 'end',
  config: {},
  timeoutMs: undefined,
  retry: undefined,
  holds: () => true,
  ...more,
});

const opened: Timers[] = [];
after(() => opened.forEach((timers) => timers[Symbol.dispose]()));

function open(served: Readonly<Record<string, Answer>>, descriptors: readonly Partial<Descriptor>[] = []) {
  const clock = new ManualClock();
  const timers = new Timers(clock);
  opened.push(timers);
  const telemetry = { log: openLog('silent', { write: () => undefined }), metrics: new Metrics() };
  const bus = openMemoryBus({ timers, telemetry });
  for (const [id, answer] of Object.entries(served)) {
    bus.serve(at(extensionPre, { id }), { queue: 'extension' }, answer);
    bus.serve(at(extensionValidate, { id }), { queue: 'extension' }, answer);
  }
  const registry = new Map<string, Descriptor>();
  for (const descriptor of descriptors) {
    const { id = '' } = descriptor;
    registry.set(id, { id, type: 'validator', timeoutMs: 1_000, retry: 0, enabled: true, config: {}, ...descriptor });
  }
  const extensions = new Extensions({ bus, timers, telemetry, registry });
  const ask = (requestId: string, ...items: readonly ExtensionItem[]) =>
    extensions.prepare(requestId === 'rq-1' ? REQUEST : { ...REQUEST, request_id: requestId }, items, {
      policyRevision: 7,
      deadlineMs: clock.nowMs() + 30_000,
      scope: SCOPE,
    });
  const prepare = (...items: readonly ExtensionItem[]) => ask('rq-1', ...items);
  const advance = async (ms: number): Promise<void> => {
    await nextTurn();
    clock.advance(ms);
    timers.tick();
    await nextTurn();
  };
  return { extensions, ask, prepare, advance, telemetry, health: () => extensions.health() };
}

const refusedWith = async (code: string, work: Promise<unknown>): Promise<BeamlineError> => {
  const fault = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  assert.ok(fault instanceof BeamlineError, `expected ${code}`);
  assert.equal(fault.code, code, fault.message);
  return fault;
};

const yes: Answer = () => ({ status: 'ok' });

test('pre-processors run in order, and each sees what the one before it left', async () => {
  const seen: unknown[] = [];
  const { prepare } = open(
    {
      first: ({ payload, config }) => {
        seen.push(config);
        return { payload: { ...payload, first: true }, context: { language: 'en' } };
      },
      second: ({ payload, context }) => {
        seen.push(context);
        return { payload: { ...payload, second: payload['first'] }, metadata: { tidy: true } };
      },
    },
    [
      { id: 'first', type: 'pre', config: { a: 1, b: 1 } },
      { id: 'second', type: 'pre' },
    ],
  );
  const request = await prepare(item('first', 'pre', { config: { b: 2 } }), item('second', 'pre'));
  assert.deepEqual(seen, [
    { a: 1, b: 2 },
    { team: 'blue', language: 'en' },
  ]);
  assert.deepEqual([request.task.payload?.['first'], request.task.payload?.['second']], [true, true]);
  assert.deepEqual([request.context, request.metadata], [{ team: 'blue', language: 'en' }, { tidy: true }]);
  assert.equal(REQUEST.task.payload?.['first'], undefined, 'the original is left alone');
});

test('an optional pre-processor that fails leaves the request as it was, a required one ends it', async () => {
  const broken: Answer = () => ({ ok: false, error: { code: 'processing_error', message: 'no' } });
  const { prepare } = open({ broken }, [{ id: 'broken', type: 'pre' }]);
  const request = await prepare(item('broken', 'pre', { onFailure: 'ignore' }));
  assert.equal(request, REQUEST);
  const { details } = await refusedWith('pre_processor_failed', prepare(item('broken', 'pre')));
  assert.equal(details['extension'], 'broken');
});

const NO: readonly (readonly [string, ExtensionReply])[] = [
  ['status', { status: 'reject', reason: 'phone number', details: { matches: 1 } }],
  ['valid', { valid: false, reason: 'phone number', details: { matches: 1 } }],
];
for (const [form, reply] of NO) {
  test(`a validator rejects by ${form}`, async () => {
    const { prepare } = open({ guard: () => reply }, [{ id: 'guard' }]);
    const { message, details } = await refusedWith('validator_blocked', prepare(item('guard', 'validator')));
    assert.equal(message, 'phone number');
    assert.deepEqual(details, { extension: 'guard', rejection: { matches: 1 } });
    await prepare(item('guard', 'validator', { onFailure: 'warn' }));
  });
}

test('a validator passes by either form, and nothing else passes', async () => {
  const replies: ExtensionReply[] = [{ status: 'ok' }, { valid: true }];
  const { prepare } = open({ guard: () => replies.shift() ?? {} }, [{ id: 'guard' }]);
  await prepare(item('guard', 'validator'));
  await prepare(item('guard', 'validator'));
  await refusedWith('extension_error', prepare(item('guard', 'validator')));
});

test('an extension that is not there, not registered, of another type or switched off has its own code', async () => {
  const { prepare } = open({ yes }, [{ id: 'absent' }, { id: 'off', enabled: false }, { id: 'yes', type: 'pre' }]);
  await refusedWith('extension_unavailable', prepare(item('absent', 'validator')));
  await refusedWith('extension_not_found', prepare(item('unknown', 'validator')));
  await refusedWith('extension_not_found', prepare(item('off', 'validator')));
  await refusedWith('extension_not_found', prepare(item('yes', 'validator')));
});

test('silence ends at the timeout of the item, and a late answer changes nothing', async () => {
  let answer: (reply: ExtensionReply) => void = () => undefined;
  const { prepare, advance } = open({ slow: () => new Promise((resolve) => (answer = resolve)) }, [
    { id: 'slow', timeoutMs: 4_000 },
  ]);
  const refusal = refusedWith('extension_timeout', prepare(item('slow', 'validator', { timeoutMs: 50 })));
  await advance(100);
  await refusal;
  answer({ status: 'ok' });
});

test('the first blocking validator ends the stage without waiting for the others', async () => {
  const { prepare } = open({ slow: () => new Promise(() => undefined), no: () => ({ status: 'reject' }) }, [
    { id: 'slow' },
    { id: 'no' },
  ]);
  await refusedWith('validator_blocked', prepare(item('slow', 'validator'), item('no', 'validator')));
});

test('an extension that is unavailable is asked again as often as it may be', async () => {
  let calls = 0;
  const flaky: Answer = () => {
    calls++;
    return calls < 3 ? { ok: false, error: { code: 'unavailable', retryable: true } } : { status: 'ok' };
  };
  const { prepare, advance } = open({ flaky }, [{ id: 'flaky', retry: 2 }]);
  const prepared = prepare(item('flaky', 'validator'));
  await advance(150);
  await advance(300);
  await prepared;
  assert.equal(calls, 3);
});

test('an extension that failed in another way is not asked again, whatever it says of that', async () => {
  let calls = 0;
  const broken: Answer = () => {
    calls++;
    return { ok: false, error: { code: 'processing_error', retryable: true } };
  };
  const { prepare } = open({ broken }, [{ id: 'broken', retry: 2 }]);
  await refusedWith('extension_error', prepare(item('broken', 'validator')));
  assert.equal(calls, 1);
});

test('calls are counted by extension and result', async () => {
  const { prepare, telemetry } = open({ yes }, [{ id: 'yes' }]);
  await prepare(item('yes', 'validator'));
  assert.match(telemetry.metrics.render(), /router_extension_calls_total\{extension="yes",result="ok"\} 1/);
});

test('after five failures its breaker refuses without asking, and lets try again when its time is over', async () => {
  let asked = 0;
  let answer: ExtensionReply = { ok: false, error: { code: 'processing_error' } };
  const counted: Answer = () => {
    asked++;
    return answer;
  };
  const { prepare, advance, health } = open({ guard: counted }, [{ id: 'guard' }]);
  // oxlint-disable no-await-in-loop -- one call after the other
  for (let n = 0; n < 5; n++) await refusedWith('extension_error', prepare(item('guard', 'validator')));
  const { message } = await refusedWith('extension_unavailable', prepare(item('guard', 'validator')));
  assert.deepEqual([asked, message], [5, 'the breaker of guard is open']);
  assert.deepEqual(health(), [{ endpoint: 'guard', status: 'unhealthy', successRate: 0, calls: 5, breaker: 'open' }]);
  answer = { status: 'ok' };
  await advance(60_000);
  await prepare(item('guard', 'validator'));
  await prepare(item('guard', 'validator'));
  assert.deepEqual([asked, health()[0]?.breaker], [7, 'closed']);
});

test('the p95 of an extension is that of its newest good answers, of all its instances, once there were five', async () => {
  const instances = ['one', 'two'].map((id) => ({ id, weight: 1, enabled: true }));
  let wait = (): Promise<void> => Promise.resolve();
  const answer: Answer = async () => {
    await wait();
    return { status: 'ok' };
  };
  const served = { 'guard-ione': answer, 'guard-itwo': answer };
  const { extensions, ask, advance } = open(served, [{ id: 'guard', instances }]);
  const call = async (requestId: string, ms: number): Promise<void> => {
    const { promise, resolve } = Promise.withResolvers<void>();
    wait = () => promise;
    const asked = ask(requestId, item('guard', 'validator', { onFailure: 'ignore' }));
    await advance(ms);
    resolve();
    await asked;
  };
  for (const ms of [40, 10, 20]) await call(`rq-${ms}`, ms);
  await call('rq-late', 5_000);
  await call('rq-30', 30);
  assert.equal(extensions.p95Ms('guard'), undefined);
  await call('rq-50', 50);
  assert.equal(extensions.p95Ms('guard'), 50);
  assert.equal(extensions.p95Ms('guar'), undefined);
  assert.equal(extensions.health().length, 2);
});

test('a rejection is good work, however often', async () => {
  const { prepare, health } = open({ guard: () => ({ status: 'reject', reason: 'no' }) }, [{ id: 'guard' }]);
  for (let n = 0; n < 20; n++) await refusedWith('validator_blocked', prepare(item('guard', 'validator')));
  assert.deepEqual(health(), [{ endpoint: 'guard', status: 'healthy', successRate: 1, calls: 20, breaker: 'closed' }]);
});

test('the first enabled version whose condition holds is asked, and told which it is', async () => {
  const seen: (string | undefined)[] = [];
  const tell =
    (name: string): Answer =>
    ({ extension_version: version }) => {
      seen.push(`${name} ${version}`);
      return { status: 'ok' };
    };
  const versions = [
    { version: '3', enabled: false, holds: () => true },
    { version: '2', enabled: true, holds: ({ facts }: Scope) => facts.context['team'] === 'blue' },
  ];
  const served = { guard: tell('guard'), 'guard-v2': tell('second'), 'guard-v3': tell('third') };
  await open(served, [{ id: 'guard', versions }]).prepare(item('guard', 'validator'));
  const none = versions.map(({ version, enabled }) => ({ version, enabled, holds: () => false }));
  await open(served, [{ id: 'guard', versions: none }]).prepare(item('guard', 'validator'));
  assert.deepEqual(seen, ['second 2', 'guard undefined']);
});

test('instances share by weight, equally for equal requests; an unhealthy one is left alone while another is there', async () => {
  const asked = { a: 0, b: 0, c: 0 };
  const count =
    (name: keyof typeof asked, reply: ExtensionReply): Answer =>
    () => {
      asked[name]++;
      return reply;
    };
  const good: ExtensionReply = { status: 'ok' };
  const served = { 'guard-ia': count('a', good), 'guard-ib': count('b', good), 'guard-ic': count('c', good) };
  const instances = [
    { id: 'a', weight: 75, enabled: true },
    { id: 'b', weight: 25, enabled: true },
    { id: 'c', weight: 100, enabled: false },
  ];
  const { ask } = open(served, [{ id: 'guard', instances }]);
  for (let n = 0; n < 400; n++) await ask(`rq-${n}`, item('guard', 'validator'));
  const first = { ...asked };
  assert.ok(first.a > 250 && first.a < 350 && first.c === 0, JSON.stringify(first));
  for (let n = 0; n < 400; n++) await ask(`rq-${n}`, item('guard', 'validator'));
  assert.deepEqual(asked, { a: 2 * first.a, b: 2 * first.b, c: 0 });

  const bad = { ...served, 'guard-ia': count('a', { ok: false, error: { code: 'processing_error' } }) };
  const sick = open(bad, [{ id: 'guard', instances }]);
  let failures = 0;
  for (let n = 0; n < 100; n++) {
    await sick.ask(`rq-${n}`, item('guard', 'validator', { onFailure: 'end' })).catch(() => failures++);
  }
  assert.equal(failures, 5, 'five calls that failed are enough');
});

for (const part of ['metadata', 'context'] as const) {
  test(`${part} that an extension replies is bounded, alone and beside what is there`, async () => {
    const sized =
      (chars: number): Answer =>
      () => ({ [part]: { [`n${chars}`]: 'x'.repeat(chars) } });
    const served = { huge: sized(66_000), half: sized(40_000), other: sized(40_001) };
    const { prepare } = open(
      served,
      Object.keys(served).map((id) => ({ id, type: 'pre' })),
    );
    const fault = await refusedWith('pre_processor_failed', prepare(item('huge', 'pre')));
    assert.match(fault.message, /too large/);
    const both = await refusedWith('pre_processor_failed', prepare(item('half', 'pre'), item('other', 'pre')));
    assert.equal(both.details?.['extension'], 'other');
    const kept = await prepare(item('half', 'pre'), item('other', 'pre', { onFailure: 'ignore' }));
    assert.deepEqual(Object.keys(kept[part] ?? {}).includes('n40001'), false, 'an optional one changes nothing then');
  });
}

test('the details of a rejection are bounded too', async () => {
  const huge: Answer = () => ({ status: 'reject', reason: 'no', details: { text: 'x'.repeat(66_000) } });
  const { prepare } = open({ huge }, [{ id: 'huge' }]);
  await refusedWith('extension_error', prepare(item('huge', 'validator')));
});

test('a payload that is a reference is read by no extension, and so passes none', async () => {
  const { extensions } = open({ guard: yes }, [{ id: 'guard' }]);
  const { payload: _, ...task } = { ...REQUEST.task, payload_ref: 'blob://acme/x' };
  const of = { policyRevision: 7, deadlineMs: 30_000, scope: SCOPE };
  const referred = { ...REQUEST, task };
  await refusedWith('invalid_request', extensions.prepare(referred, [item('guard', 'validator')], of));
  assert.equal(await extensions.prepare(referred, [], of), referred);
});
