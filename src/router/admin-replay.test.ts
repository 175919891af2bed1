import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MESSAGE_BYTES_MAX } from '../contracts/limits.ts';
import type { OutcomeRecord } from '../policy/decision-record.ts';
import type { Replayed } from '../contracts/admin-operations.ts';
import { factsFor, NAMED, openRecords, policyOf, START_MS } from './admin-records-fixture.ts';
import type { DecisionLog } from './decision-log.ts';
import type { KeptRecord, KeptRecords } from './kept-records.ts';

const HALF = policyOf({ alder: 50, birch: 50 });
const TO_BIRCH = { version: '2.0', weights: { alder: 0, birch: 1 } };

type Records = Awaited<ReturnType<typeof openRecords>>;

const many = ({ decided }: Records, log: DecisionLog, count: number): void => {
  for (let id = 0; id < count; id++) decided(log, HALF, factsFor(`rq-${id}`));
};

const replayed = async (records: Records, more: object): Promise<Replayed> =>
  (await records.result('replay', { ...NAMED, policy: TO_BIRCH, ...more })) as unknown as Replayed;

test('what a router decided is decided again by a document: totals, shares, changes and no mismatch', async () => {
  const records = await openRecords();
  const log = records.join();
  many(records, log, 300);
  records.decided(log, policyOf({ alder: 1 }, {}, 'zeta'), factsFor('rq-9', 'zeta'));
  const told = await replayed(records, {});
  assert.deepEqual(
    [told.router_id, told.records, told.tested, told.mismatch, told.is_complete, told.last_ms],
    ['r-1', 300, 300, 0, true, START_MS],
  );
  assert.equal(told.same + told.changed, 300);
  const [alder, birch] = told.totals;
  assert.deepEqual([alder?.provider_id, alder?.before, alder?.after], ['alder', told.changed, 0]);
  assert.deepEqual([birch?.before, birch?.after], [told.same, 300]);
  assert.deepEqual(told.shares.at(-1), { provider_id: 'birch', before: told.same / 300, after: 1 });
  assert.ok(told.changed > 100 && told.changed < 200, String(told.changed));
  assert.equal(told.first_changes.length, told.changed);
});

test('how shadows ended is neither replayed nor a decision', async () => {
  const records = await openRecords();
  const log = records.join();
  many(records, log, 2);
  log.shadowEnded(factsFor('rq-1'), {
    version: '2',
    assignment_id: 'a-1',
    attempt: 1,
    request_id: 'rq-1',
    tenant_id: 'acme',
    provider_id: 'cedar',
    worker_id: 'w-1',
    latency_ms: 5,
    timestamp_ms: 1,
    state: 'succeeded',
    committed: false,
  });
  assert.equal((await replayed(records, {})).records, 2);
  const told = await records.result('get_decision', { tenant_id: 'acme', request_id: 'rq-1' });
  assert.equal((told['attempts'] as { outcome?: object }[])[0]?.outcome, undefined);
});

test('the span and the limit choose the records, and the reply says where it stopped', async () => {
  const records = await openRecords();
  const log = records.join();
  for (let id = 0; id < 10; id++) {
    records.decided(log, HALF, factsFor(`rq-${id}`));
    records.clock.advance(1_000);
  }
  const span = { from_ms: START_MS + 2_000, to_ms: START_MS + 6_000 };
  const whole = await replayed(records, span);
  assert.deepEqual([whole.records, whole.is_complete, whole.last_ms], [5, true, START_MS + 6_000]);
  const part = await replayed(records, { ...span, limit: 3 });
  assert.deepEqual([part.records, part.is_complete, part.last_ms], [3, false, START_MS + 4_000]);
  const { error } = await records.ask('replay', { ...NAMED, policy: TO_BIRCH, from_ms: 2, to_ms: 1 });
  assert.equal(error?.code, 'invalid_request');
});

test('a filter leaves out decisions before they are counted; its faults are told by their place', async () => {
  const records = await openRecords();
  const log = records.join();
  for (const model of ['small', 'large', 'small', 'large', 'small']) {
    records.decided(log, HALF, { ...factsFor('rq-1'), model });
    records.clock.advance(1_000);
  }
  const small = await replayed(records, { filter: "request.model == 'small'", limit: 3 });
  assert.deepEqual([small.records, small.is_complete, small.last_ms], [3, true, START_MS + 4_000]);
  const byContext = await replayed(records, { filter: { message_type: ['ai.chat'] } });
  assert.equal(byContext.records, 5);
  const { error } = await records.ask('replay', { ...NAMED, policy: TO_BIRCH, filter: 'request.colour == 1' });
  assert.ok(error !== undefined);
  assert.equal(error.code, 'invalid_request');
  const faults = error.details?.['fields'] as readonly { path: string; code: string; message: string }[] | undefined;
  const [fault, ...others] = faults ?? [];
  assert.deepEqual([fault?.path, fault?.code, others], ['/filter', 'unknown_variable', []]);
  assert.match(fault?.message ?? '', /^No such key: colour \(at character 9\); request has id, model, /);
});

test('a report with many explanations still fits into a message: numbers stay, explanations go', async () => {
  const records = await openRecords();
  const log = records.join();
  const rules = Array.from({ length: 40 }, (_, n) => ({
    id: `a-rule-with-quite-a-long-name-that-never-matches-${n}`,
    when: `request.model == 'nothing-${n}'`,
    ...(JSON.parse('{"then":{"exclude":["cedar"]}}') as object),
  }));
  const policy = policyOf({ alder: 50, birch: 50 }, { rules });
  for (let id = 0; id < 500; id++) records.decided(log, policy, factsFor(`rq-${id}`));
  const told = await replayed(records, { policy: { ...TO_BIRCH, rules } });
  assert.equal(told.first_changes.length, 200);
  assert.ok(told.first_changes[0]?.before !== undefined);
  assert.equal(told.first_changes.at(-1)?.before, undefined);
  assert.ok(Buffer.byteLength(JSON.stringify(told)) < MESSAGE_BYTES_MAX);
});

test('a turn of the loop takes few records, and a second replay waits for the first', async () => {
  const records = await openRecords();
  const lines: KeptRecord[] = Array.from({ length: 1_000 }, () => {
    const entry: OutcomeRecord = {
      type: 'outcome',
      time_ms: START_MS,
      tenant_id: 'acme',
      request_id: 'rq',
      attempt: 1,
      provider_id: 'alder',
      state: 'succeeded',
      latency_ms: 1,
    };
    return { entry, own: () => undefined };
  });
  let inTurn = 0;
  let most = 0;
  let turns = 0;
  const counted: KeptRecords = {
    *read() {
      for (const line of lines) {
        most = Math.max(most, ++inTurn);
        yield line;
      }
    },
    find: () => [],
  };
  records.join({ records: counted });
  let isOver = false;
  const running = replayed(records, {}).finally(() => (isOver = true));
  const busy = await records.ask('replay', { ...NAMED, policy: TO_BIRCH });
  assert.equal(busy.error?.code, 'service_overloaded');
  while (!isOver) {
    // eslint-disable-next-line no-await-in-loop -- one turn after the other is what is counted
    await new Promise(setImmediate);
    inTurn = 0;
    turns++;
  }
  await running;
  assert.ok(most <= 32, `${most} records in one turn`);
  assert.ok(turns >= 30, `${turns} turns`);
  assert.equal((await replayed(records, {})).is_complete, true);
});
