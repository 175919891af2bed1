// A worker that is killed at each point of the life of a job and of a call (worker 9), and started again: nothing runs
// twice that must not, and there is one result of each attempt that left the machine.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { openNatsBus } from '../../src/bus/nats.ts';
import { type ExecAssignment, execAssign, execAssignAck, execCall } from '../../src/contracts/assignment.ts';
import { at, everyOf } from '../../src/contracts/contract.ts';
import { frames } from '../../src/contracts/frames.ts';
import { type ExecResult, execResult } from '../../src/contracts/result.ts';
import { type DlqEnvelope } from '../../src/contracts/dead-letter.ts';
import {
  assignStream,
  deadLetterStream,
  resultStream,
  routerResults,
  workerAssignments,
} from '../../src/contracts/streams.ts';
import { systemClock } from '../../src/core/clock.ts';
import { Timers } from '../../src/core/timers.ts';
import { parseScript } from '../../src/provider/simulated-script.ts';
import { startSimulatedServer } from '../../src/provider/simulated-server.ts';
import { openLog } from '../../src/telemetry/log.ts';
import { Metrics } from '../../src/telemetry/metrics.ts';
import { type NatsServer, startNatsServer } from '../nats-server.ts';
import { startBeamline, type TestProcess } from '../process.ts';
import { until } from '../until.ts';

const TRACE = { traceId: '4bf92f3577b34da6a3ce929d0e0e4736', tenantId: 'acme' };
const SCRIPT = { 'test-chat': { output_tokens: 5 }, 'test-slow': { output_tokens: 40, tokens_per_s: 40 } };

let nats: NatsServer;
before(async () => {
  nats = await startNatsServer();
});
after(() => nats.stop());

/** What routers and gateways would see, and an upstream that counts. */
async function openWorld() {
  await using opening = new AsyncDisposableStack();
  const folder = mkdtempSync(join(tmpdir(), 'beamline-crash-'));
  opening.defer(() => rmSync(folder, { recursive: true, force: true }));
  const timers = opening.use(new Timers(systemClock));
  const bodies: unknown[] = [];
  const log = ({ body }: { body: unknown }): void => void bodies.push(body);
  const upstream = opening.use(
    await startSimulatedServer({ host: '127.0.0.1', port: 0, script: parseScript(SCRIPT), timers, log }),
  );
  const telemetry = { log: openLog('silent', { write: () => undefined }), metrics: new Metrics() };
  const bus = opening.use(await openNatsBus({ url: nats.url, name: 'test', timers, telemetry }));
  const config = join(folder, 'beamline.yaml');
  const provider = { id: 'alder', type: 'openai-compatible', base_url: upstream.url, models: {} };
  const worker = { data_dir: folder, heartbeat_ms: 200, shutdown: { timeout_ms: 3_000 } };
  writeFileSync(config, JSON.stringify({ worker, blocks: { test: true }, providers: { list: [provider] } }));
  const results: ExecResult[] = [];
  const seen: string[] = [];
  bus.subscribe(everyOf(frames), {}, ({ type }) => void seen.push(type));
  await bus.ensureStream(assignStream('default'));
  const from = { stream: resultStream, consumer: routerResults, message: execResult.message };
  opening.use(
    await bus.consume(from, (delivery) => {
      results.push(delivery.message);
      delivery.ack();
    }),
  );
  await bus.flush();
  const opened = opening.move();
  return {
    bus,
    bodies,
    results,
    seen,
    start: (env: Readonly<Record<string, string>> = {}): TestProcess =>
      startBeamline(['worker', '--nats', nats.url, '--config', config], env),
    resultsOf: (id: string): unknown[] =>
      results.filter((result) => result.assignment_id === id).map(({ status, error_code }) => error_code ?? status),
    billedOf: (id: string): unknown[] =>
      results
        .filter((result) => result.assignment_id === id)
        .map(({ usage }) => (usage === undefined ? 'nothing' : usage.estimated === true ? 'estimate' : 'measured')),
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

/** The server takes what the dead worker held for lost at once, not after its thirty seconds. */
async function loseDeliveries(): Promise<void> {
  await using nc = await connect({ servers: nats.url });
  const { consumers } = await jetstreamManager(nc);
  await consumers.update('CAF_ASSIGN', 'caf-workers', { ack_wait: 50_000_000 });
}

const order = (id: string, more: Partial<ExecAssignment>): ExecAssignment => ({
  version: '1',
  assignment_id: id,
  request_id: 'r-1',
  tenant_id: 'acme',
  attempt: 1,
  executor: { provider_id: 'worker', channel: 'nats' },
  job: { type: 'test.sleep', payload: { sleep_ms: 1 } },
  options: { deadline_ms: 20_000 },
  ...more,
});
const CHAT: Partial<ExecAssignment> = {
  executor: { provider_id: 'alder', channel: 'nats', model: 'test-chat' },
  job: { type: 'ai.chat', payload: { model: 'x', messages: [{ role: 'user', content: 'hello' }] } },
  dialect: 'openai.chat',
};

interface Row {
  readonly point: number;
  readonly effect: 'external' | 'none';
  readonly result: string;
  /** Requests that the upstream saw. */
  readonly asked: number;
  /** What may have left the machine is billed, whatever came of it. */
  readonly billed: 'measured' | 'estimate' | 'nothing';
}
const ROWS: readonly Row[] = [
  { point: 1, effect: 'external', result: 'success', asked: 1, billed: 'measured' },
  { point: 2, effect: 'external', result: 'WORKER_LOST', asked: 0, billed: 'estimate' },
  { point: 3, effect: 'external', result: 'WORKER_LOST', asked: 1, billed: 'estimate' },
  { point: 4, effect: 'external', result: 'success', asked: 1, billed: 'measured' },
  { point: 5, effect: 'external', result: 'success', asked: 1, billed: 'measured' },
  { point: 6, effect: 'external', result: 'success', asked: 1, billed: 'measured' },
  { point: 1, effect: 'none', result: 'success', asked: 0, billed: 'nothing' },
  { point: 3, effect: 'none', result: 'success', asked: 0, billed: 'nothing' },
  { point: 4, effect: 'none', result: 'success', asked: 0, billed: 'nothing' },
  { point: 5, effect: 'none', result: 'success', asked: 0, billed: 'nothing' },
];

for (const { point, effect, result, asked, billed } of ROWS) {
  test(`a job of effect ${effect}, killed at point ${point}, ends once as ${result}`, async () => {
    await using world = await openWorld();
    const id = `job-${effect}-${point}`;
    const doomed = world.start({ CRASH_AT: String(point) });
    await doomed.until(/worker_ready/);
    const correlation = TRACE;
    const message = order(id, effect === 'external' ? CHAT : {});
    await world.bus.append(at(execAssign), message, { messageId: id, timeoutMs: 5_000, correlation });
    await doomed.ended;
    await loseDeliveries();
    const next = world.start();
    await next.until(/worker_ready/);
    await until('the job to be acknowledged', async () => {
      const left = await world.bus.read(assignStream('default'), { fromSeq: 0, limit: 1 });
      return left.length === 0;
    });
    await until('its result', () => world.resultsOf(id).length > 0);
    await next.stop();
    assert.deepEqual(world.resultsOf(id), [result]);
    assert.deepEqual(world.billedOf(id), [billed]);
    assert.equal(world.bodies.length, asked);
  });
}

test('a job that ends every process that takes it is given up: its order is kept, and it has one result', async () => {
  await using world = await openWorld();
  const message = order('deadly', {});
  await world.bus.append(at(execAssign), message, { messageId: 'deadly', timeoutMs: 5_000, correlation: TRACE });
  for (let taken = 0; taken < (workerAssignments('default').deliveryLimit ?? 0); taken++) {
    const doomed = world.start({ CRASH_AT: '3' });
    // eslint-disable-next-line no-await-in-loop -- one after the other
    await doomed.ended;
    // eslint-disable-next-line no-await-in-loop -- as above
    await loseDeliveries();
  }
  const next = world.start();
  await until('its result', () => world.resultsOf('deadly').length > 0);
  await next.stop();
  assert.deepEqual([world.resultsOf('deadly'), world.billedOf('deadly')], [['DELIVERY_EXHAUSTED'], ['nothing']]);
  const letters = await world.bus.read(deadLetterStream, { fromSeq: 0, limit: 10 });
  const [letter] = letters.map(({ body }) => JSON.parse(new TextDecoder().decode(body)) as DlqEnvelope);
  assert.deepEqual([letters.length, letter?.error.class, letter?.delivery.count], [1, 'exhausted', 6]);
  assert.deepEqual(JSON.parse(Buffer.from(letter?.payload ?? '', 'base64').toString()), message);
});

interface CallRow {
  readonly point: number;
  readonly frames: readonly string[];
  readonly results: readonly string[];
}
const CALLS: readonly CallRow[] = [
  { point: 7, frames: [], results: [] },
  { point: 8, frames: ['start', 'chunk'], results: [] },
  { point: 9, frames: ['start', 'chunk'], results: ['success'] },
  { point: 10, frames: ['start', 'chunk', 'end'], results: ['success'] },
];

for (const { point, frames: expected, results } of CALLS) {
  test(`a call, killed at point ${point}, left ${expected.join(', ') || 'nothing'} and ${results.length} results`, async () => {
    await using world = await openWorld();
    const id = `call-${point}`;
    const doomed = world.start({ CRASH_AT: String(point) });
    await doomed.until(/worker_ready/);
    const call = order(id, {
      ...CHAT,
      executor: { provider_id: 'alder', channel: 'nats', model: 'test-slow' },
      stream: true,
      deliver_to: 'beamline.exec.v2.frames.gw.s1',
    });
    // At point 7 it may die before its answer left.
    const asked = world.bus.request(at(execCall, { pool: 'default' }), call, { timeoutMs: 5_000, correlation: TRACE });
    await asked.catch(() => undefined);
    await doomed.ended;
    const next = world.start();
    await next.until(results.length > 0 ? /outbox_emptied/ : /worker_ready/);
    await until('its results', () => world.resultsOf(id).length >= results.length);
    await next.stop();
    assert.deepEqual(world.resultsOf(id), results);
    const kinds = world.seen.filter((kind, place) => kind !== world.seen[place - 1] && kind !== 'heartbeat');
    assert.deepEqual(point === 7 ? kinds.filter((kind) => kind !== 'start') : kinds, expected);
    if (point !== 7) assert.equal(world.bodies.length, 1);
  });
}

test('a worker that must cut its work short exits 75, and the job runs elsewhere', async () => {
  await using world = await openWorld();
  const first = world.start();
  await first.until(/worker_ready/);
  const accepted: string[] = [];
  world.bus.subscribe(at(execAssignAck), {}, ({ status }) => void accepted.push(status));
  await world.bus.flush();
  const message = order('cut-1', { job: { type: 'test.sleep', payload: { sleep_ms: 4_000 } } });
  await world.bus.append(at(execAssign), message, { messageId: 'cut-1', timeoutMs: 5_000, correlation: TRACE });
  await until('the job to run', () => accepted.length > 0);
  await assert.rejects(first.stop(), { actual: 75 });
  assert.match(first.output(), /work_abandoned/);
  const next = world.start();
  await until('its result', () => world.resultsOf('cut-1').length > 0);
  await next.stop();
  assert.deepEqual(world.resultsOf('cut-1'), ['success']);
});
