import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AttemptOutcome } from '../contracts/outcome.ts';
import { ManualClock } from '../core/clock.ts';
import { Timers } from '../core/timers.ts';
import { decide } from '../policy/decide.ts';
import type { Facts, Snapshot } from '../policy/facts.ts';
import { builtInPolicy } from '../policy/parse.ts';
import { openLog } from '../telemetry/log.ts';
import { Metrics } from '../telemetry/metrics.ts';
import { DecisionLog, type LogLine, type RecordSink } from './decision-log.ts';

const POLICY = builtInPolicy('default', [{ name: 'alder' }, { name: 'birch' }]);
const FIRST: Snapshot = { attempt: 1, failed: new Set(), failureWords: [] };

const factsOf = (id: number, context: Record<string, unknown> = {}): Facts => ({
  tenantId: 'kestrel',
  requestId: `rq-${id}`,
  taskType: 'ai.chat',
  model: 'small',
  stream: false,
  context,
});

const outcome = (state: AttemptOutcome['state']): AttemptOutcome => ({
  version: '2',
  assignment_id: 'as-1',
  attempt: 1,
  request_id: 'rq-1',
  tenant_id: 'kestrel',
  provider_id: 'alder',
  worker_id: 'w-1',
  latency_ms: 12,
  timestamp_ms: 0,
  state,
  committed: false,
});

/** A sink that keeps what it gets, and fails or waits when it is told to. */
class Kept implements RecordSink {
  readonly batches: (readonly LogLine[])[] = [];
  fault: Error | undefined;
  isClosed = false;
  #held: PromiseWithResolvers<void> | undefined;

  hold(): () => void {
    this.#held = Promise.withResolvers();
    return this.#held.resolve;
  }

  async write(lines: readonly LogLine[]): Promise<void> {
    if (this.fault !== undefined) throw this.fault;
    this.batches.push(lines);
    await this.#held?.promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.isClosed = true;
  }

  get records(): readonly Record<string, unknown>[] {
    return this.batches.flat().map(({ text }) => JSON.parse(text) as Record<string, unknown>);
  }
}

function opened(of: { sample?: number; queueMax?: number } = {}) {
  const clock = new ManualClock(1_000_000);
  const timers = new Timers(clock);
  const lines: string[] = [];
  const telemetry = { log: openLog('info', { write: (line) => void lines.push(line) }), metrics: new Metrics() };
  const sink = new Kept();
  const log = new DecisionLog({ sink, timers, telemetry, sample: 1, ...of });
  return {
    log,
    sink,
    lines,
    decide(facts: Facts): void {
      log.decided(POLICY, facts, FIRST, decide(POLICY, facts, FIRST, false));
    },
    dropped: () => Number(/^router_decision_records_dropped_total (\d+)$/m.exec(telemetry.metrics.render())?.[1]),
    async pass(ms: number): Promise<void> {
      clock.advance(ms);
      timers.tick();
      for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate);
    },
    [Symbol.dispose]: () => timers[Symbol.dispose](),
  };
}

test('records and outcomes are written together a moment later, in their order', async () => {
  using it = opened();
  it.decide(factsOf(1));
  it.log.ended(factsOf(1), outcome('committed'));
  it.log.ended(factsOf(1), outcome('succeeded'));
  await it.pass(100);
  assert.equal(it.sink.batches.length, 0);
  await it.pass(200);
  assert.equal(it.sink.batches.length, 1);
  assert.deepEqual(
    it.sink.records.map(({ type, time_ms: ms }) => [type, ms]),
    [
      ['decision', 1_000_000],
      ['outcome', 1_000_000],
    ],
  );
  assert.deepEqual(
    it.sink.batches.flat().map(({ policy }) => policy),
    [POLICY, undefined],
  );
  it.decide(factsOf(2));
  await it.pass(300);
  assert.equal(it.sink.records.length, 3);
});

test('the end of a copy is kept beside the request, under a type of its own, with its cost', async () => {
  using it = opened();
  it.decide(factsOf(1));
  const copy = { provider_id: 'birch', shadow: true, cost_micro_usd: 18 };
  it.log.shadowEnded(factsOf(1), { ...outcome('committed'), ...copy });
  it.log.shadowEnded(factsOf(1), { ...outcome('succeeded'), ...copy });
  await it.pass(300);
  const [, shadow, ...more] = it.sink.records;
  assert.deepEqual(
    [shadow?.['type'], shadow?.['provider_id'], shadow?.['state'], shadow?.['latency_ms'], shadow?.['cost_micro_usd']],
    ['shadow', 'birch', 'succeeded', 12, 18],
  );
  assert.deepEqual([shadow?.['request_id'], more], [factsOf(1).requestId, []]);
});

test('many records go in several writes, none of them large', async () => {
  using it = opened();
  for (let id = 0; id < 300; id++) it.decide(factsOf(id));
  await it.pass(300);
  assert.deepEqual(
    it.sink.batches.map(({ length }) => length),
    [128, 128, 44],
  );
});

test('a full queue drops and counts, and takes records again when there is room', async () => {
  using it = opened({ queueMax: 10 });
  for (let id = 0; id < 15; id++) it.decide(factsOf(id));
  assert.equal(it.dropped(), 5);
  await it.pass(300);
  assert.equal(it.sink.records.length, 10);
  it.decide(factsOf(16));
  await it.pass(300);
  assert.deepEqual([it.sink.records.length, it.dropped()], [11, 5]);
});

test('a slow sink is asked once at a time, and the queue keeps its bound meanwhile', async () => {
  using it = opened({ queueMax: 10 });
  const release = it.sink.hold();
  it.decide(factsOf(0));
  await it.pass(300);
  for (let id = 1; id < 15; id++) it.decide(factsOf(id));
  await it.pass(300);
  assert.deepEqual([it.sink.batches.length, it.dropped()], [1, 4]);
  release();
  await it.pass(300);
  assert.equal(it.sink.records.length, 11);
});

test('a sink that fails stops the log with one line until it is asked again, and every record meanwhile is counted', async () => {
  using it = opened();
  it.sink.fault = new Error('ENOSPC: no space left on device');
  for (let id = 0; id < 3; id++) it.decide(factsOf(id));
  await it.pass(300);
  it.decide(factsOf(4));
  await it.pass(30_000);
  it.decide(factsOf(5));
  await it.pass(300);
  assert.deepEqual([it.lines.length, it.dropped(), it.sink.records.length], [1, 5, 0], 'it failed again');
  it.sink.fault = undefined;
  await it.pass(30_000);
  it.decide(factsOf(6));
  await it.pass(300);
  assert.deepEqual([it.dropped(), it.sink.records.length], [5, 1]);
  const told = ['decision_records_stopped', 'decision_records_resumed'];
  assert.deepEqual(
    it.lines.map((line) => told.find((event) => line.includes(event))),
    told,
  );
});

test('what is not JSON, or too long, is dropped alone', async () => {
  using it = opened();
  it.decide(factsOf(1, { big: 1n }));
  it.decide(factsOf(2, { long: 'x'.repeat(300_000) }));
  it.decide(factsOf(3));
  await it.pass(300);
  assert.deepEqual([it.sink.records.length, it.dropped(), it.lines], [1, 2, []]);
});

test('a sample is drawn by the seed: a request is recorded with its outcomes or not at all', async () => {
  using it = opened({ sample: 0.25 });
  for (let id = 0; id < 2_000; id++) {
    it.decide(factsOf(id));
    it.log.ended(factsOf(id), outcome('failed'));
  }
  await it.pass(300);
  const { records } = it.sink;
  const decided = records.filter(({ type }) => type === 'decision');
  assert.ok(Math.abs(decided.length - 500) < 75, `${decided.length}`);
  assert.deepEqual(
    decided.map(({ seed }) => seed),
    records.filter(({ type }) => type === 'outcome').map(({ request_id: id }) => `kestrel:${String(id)}`),
  );
  assert.equal(it.dropped(), 0);
});

test('a sample of nothing records nothing', async () => {
  using it = opened({ sample: 0 });
  it.decide(factsOf(1));
  await it.pass(300);
  assert.equal(it.sink.batches.length, 0);
});

test('closing writes what is queued and closes the sink', async () => {
  using it = opened();
  it.decide(factsOf(1));
  await it.log[Symbol.asyncDispose]();
  assert.deepEqual([it.sink.records.length, it.sink.isClosed], [1, true]);
});
