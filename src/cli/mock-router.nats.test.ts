import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type NatsServer, startNatsServer } from '../../test/nats-server.ts';
import { startBeamline, type TestProcess } from '../../test/process.ts';
import { until } from '../../test/until.ts';
import type { Bus } from '../bus/bus.ts';
import { openNatsBus } from '../bus/nats.ts';
import { at } from '../contracts/contract.ts';
import { type DecideRequest, decideV1, decideV2 } from '../contracts/decide.ts';
import { frames, type StreamFrame } from '../contracts/frames.ts';
import { systemClock } from '../core/clock.ts';
import { Timers } from '../core/timers.ts';
import { openLog } from '../telemetry/log.ts';
import { Metrics } from '../telemetry/metrics.ts';
import { readMockFixtures } from './mock-fixtures.ts';

const CORRELATION = { traceId: 'trace-1', tenantId: 'kestrel' };
const OPTIONS = { timeoutMs: 5_000, correlation: CORRELATION };

const folder = mkdtempSync(join(tmpdir(), 'beamline-mock-'));
const timers = new Timers(systemClock);
let nats: NatsServer;
let mock: TestProcess;
let bus: Bus;

before(async () => {
  nats = await startNatsServer();
  mock = startBeamline(['mock-router', '--fixtures', 'examples/mock-router.yaml', '--nats', nats.url]);
  await mock.until(/mock router: 4 answers/);
  const telemetry = { log: openLog('silent', { write: () => undefined }), metrics: new Metrics() };
  bus = await openNatsBus({ url: nats.url, name: 'test', timers, telemetry });
});
after(async () => {
  await bus[Symbol.asyncDispose]();
  await mock.stop();
  await nats.stop();
  timers[Symbol.dispose]();
  rmSync(folder, { recursive: true, force: true });
});

const task = (more: object = {}) => ({ type: 'ai.chat', payload: { messages: [] }, ...more });
const askV1 = (tenantId: string, more: object = {}) =>
  bus.request(
    at(decideV1),
    { version: '1', request_id: 'rq-1', tenant_id: tenantId, task: task(more) },
    { ...OPTIONS, correlation: { traceId: 'trace-1', tenantId } },
  );
const askV2 = (more: Partial<DecideRequest>) =>
  bus.request(
    at(decideV2),
    { version: '2', request_id: 'rq-2', tenant_id: 'kestrel', task: task(), ...more },
    { ...OPTIONS, correlation: { traceId: 'trace-1', tenantId: more.tenant_id ?? 'kestrel' } },
  );

test('both versions are answered from one fixture, each in its own form', async () => {
  assert.deepEqual(await askV1('kestrel'), {
    ok: true,
    decision: {
      reason: 'weighted',
      priority: 50,
      policy_id: 'default',
      policy_revision: 1,
      fallback_used: false,
      provider_id: 'alder',
      expected_latency_ms: 640,
      expected_cost: 0.0021,
      metadata: {},
    },
    context: { request_id: 'rq-1' },
  });
  const { ok, decision, context } = await askV2({});
  assert.deepEqual([ok, decision?.provider_id, decision?.expected_cost_micro_usd], [true, 'alder', 2100]);
  assert.deepEqual(context, { request_id: 'rq-2', tenant_id: 'kestrel' });
  await mock.until(/beamline\.router\.v2\.decide rq-2 -> default/);
});

test('errors have the code that each version knows', async () => {
  assert.equal((await askV1('blocked')).error?.code, 'unauthorized');
  assert.equal((await askV2({ tenant_id: 'blocked' })).error?.code, 'forbidden');
});

test('a fixture answers as often as it says, then the next one does', async () => {
  const busy = { model: 'busy' };
  const first = await askV2({ task: task(busy) });
  assert.deepEqual([first.error?.code, first.error?.retry_after_ms], ['rate_limit_exceeded', 1200]);
  assert.equal((await askV1('kestrel', busy)).error?.details?.['retry_after_seconds'], 2);
  assert.equal((await askV2({ task: task(busy) })).ok, true);
});

test('a silent fixture leaves its caller to the timeout', async () => {
  const asked = bus.request(
    at(decideV1),
    { version: '1', request_id: 'rq-3', tenant_id: 'kestrel', task: { type: 'ai.chat', payload: { user: 'slow' } } },
    { timeoutMs: 300, correlation: CORRELATION },
  );
  await assert.rejects(asked, { code: 'timeout' });
});

test('a stream is played to who waits for it', async () => {
  const seen: StreamFrame[] = [];
  const to = at(frames, { gateway_id: 'gw-1', stream_id: 's1' });
  await using _listening = bus.subscribe(to, {}, (frame) => void seen.push(frame));
  await bus.flush();
  const reply = await askV2({ stream: true, push_assignment: true, deliver_to: to.subject });
  assert.equal(reply.stream?.deliver_to, to.subject, JSON.stringify(reply));
  await until('the end of the stream', () => seen.at(-1)?.type === 'end');
  assert.deepEqual(
    seen.map(({ type, seq, assignment_id: id }) => [type, seq, id === reply.assignment?.assignment_id]),
    [
      ['start', 0, true],
      ['chunk', 1, true],
      ['chunk', 2, true],
      ['end', 3, true],
    ],
  );
});

// What is wrong in a file, and where that is told.
const FAULTY: readonly (readonly [what: string, text: string, told: RegExp])[] = [
  ['no YAML', 'answers: [', /:1:\d+ /],
  ['no answers', 'default: { silent: true }', /1:1 \/answers required/],
  ['an unknown word', 'answers: []\ndefault:\n  silence: true', /:3:3 \/default\/silence unknown_key/],
  ['no way to answer', 'answers:\n  - { name: a, match: {} }', /:2:5 \/answers\/0 required must have exactly one of/],
  [
    'two ways to answer',
    'answers:\n  - name: a\n    match: {}\n    silent: true\n    decision: { provider_id: x }',
    /:2:5 \/answers\/0 required .*it has decision, silent/,
  ],
  [
    'a field that no request has',
    'answers:\n  - { name: a, match: { task.kind: x }, silent: true }',
    /:2:25 .*no request has such a field/,
  ],
  ['an unknown code', 'answers: []\ndefault: { error: { code: oops } }', /:2:27 \/default\/error\/code pattern/],
  [
    'a reply off its contract',
    'answers: []\ndefault:\n  reply: { version: "2", ok: 1 }',
    /:3:10 .*is no beamline\.router\.DecideResponse@2: \/ok/,
  ],
  [
    'a frame off its contract',
    'answers: []\ndefault:\n  decision: { provider_id: x }\n  frames:\n    - { type: chunk, index: one }',
    /:5:7 \/default\/frames\/0 pattern is no frame/,
  ],
];

for (const [what, text, told] of FAULTY) {
  test(`a fixture file with ${what} is refused with its line`, () => {
    const file = join(folder, 'fixtures.yaml');
    writeFileSync(file, text);
    const reading = readMockFixtures(file);
    assert.equal(reading.kind, 'unreadable');
    assert.match(reading.kind === 'unreadable' ? reading.faults.join('\n') : '', told);
  });
}

test('a file with faults ends the command with 2', async () => {
  const file = join(folder, 'fixtures.yaml');
  writeFileSync(file, 'answers: 1');
  const refused = startBeamline(['mock-router', '--fixtures', file, '--nats', nats.url]);
  await refused.until(/fixtures\.yaml:1:10 \/answers type must be a list/);
  await refused.ended;
});
