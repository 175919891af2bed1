import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { ExecResult } from '../contracts/result.ts';
import { systemClock } from '../core/clock.ts';
import { Timers } from '../core/timers.ts';
import { openLog } from '../telemetry/log.ts';
import { Metrics } from '../telemetry/metrics.ts';
import { Outbox, type OutboxRecord } from './outbox.ts';

const result = (id: string, text = ''): ExecResult => ({
  assignment_id: id,
  tenant_id: 'acme',
  status: 'success',
  attempt: 1,
  output: { text },
});

function openFolder() {
  const folder = mkdtempSync(join(tmpdir(), 'beamline-outbox-'));
  const timers = new Timers(systemClock, { tickMs: 5 });
  const metrics = new Metrics();
  const telemetry = { log: openLog('silent', { write: () => undefined }), metrics };
  return {
    folder,
    metrics,
    open: (more: { bytesMax?: number; syncMs?: number } = {}) =>
      Outbox.open({ folder, bytesMax: 2 ** 20, syncMs: 5, timers, telemetry, ...more }),
    [Symbol.dispose]() {
      timers[Symbol.dispose]();
      rmSync(folder, { recursive: true });
    },
  };
}

const put = (outbox: Outbox, id: string, text?: string): Promise<OutboxRecord> =>
  new Promise((resolve) => outbox.put(result(id, text), 'trace-1', resolve));
const ids = (left: readonly OutboxRecord[]): unknown[] => left.map(({ result: { assignment_id } }) => assignment_id);

test('what was not confirmed is there for the next process, oldest first, and what was confirmed is not', async () => {
  using folder = openFolder();
  const first = await folder.open();
  const records = [await put(first, 'a'), await put(first, 'b'), await put(first, 'c')];
  assert.ok(records[1]);
  first.published(records[1]);
  await first[Symbol.asyncDispose]();

  const second = await folder.open();
  const left = second.takeLeft();
  assert.deepEqual(ids(left), ['a', 'c']);
  assert.deepEqual(second.takeLeft(), [], 'it is kept in the file alone');
  assert.deepEqual(left[0]?.result, result('a'));
  assert.equal(left[0]?.traceId, 'trace-1');
  for (const record of left) second.published(record);
  await put(second, 'd');
  await second[Symbol.asyncDispose]();

  await using third = await folder.open();
  assert.deepEqual(ids(third.takeLeft()), ['d']);
  assert.match(folder.metrics.render(), /worker_outbox_records 1\n/);
});

test('a torn tail is cut and counted; what stands before it is there', async () => {
  using folder = openFolder();
  const first = await folder.open();
  await put(first, 'a');
  await first[Symbol.asyncDispose]();
  appendFileSync(join(folder.folder, 'outbox', 'journal'), 'half a record');
  await using second = await folder.open();
  assert.deepEqual(ids(second.takeLeft()), ['a']);
  assert.match(folder.metrics.render(), /journal_cut_bytes_total 13\n/);
});

test('a full outbox says so, still keeps what comes, and has room again once results are confirmed', async () => {
  using folder = openFolder();
  await using outbox = await folder.open({ bytesMax: 2 ** 20 });
  const text = 'x'.repeat(200_000);
  const records: OutboxRecord[] = [];
  while (!outbox.isFull) records.push(await put(outbox, 'a', text));
  assert.ok(records.length >= 5 && records.length <= 6, String(records.length));
  records.push(await put(outbox, 'late', text));
  for (const record of records) outbox.published(record);
  while (outbox.isFull) await new Promise((resolve) => setImmediate(resolve));
});

test('with no time to wait each record is on the disk before it is told', async () => {
  using folder = openFolder();
  const first = await folder.open({ syncMs: 0 });
  await put(first, 'a');
  await first[Symbol.asyncDispose]();
  await using second = await folder.open({ syncMs: 0 });
  assert.deepEqual(ids(second.takeLeft()), ['a']);
});

test('a disk that fails stops new work, and what ends is told all the same', async () => {
  using folder = openFolder();
  const outbox = await folder.open();
  await outbox[Symbol.asyncDispose]();
  assert.equal((await put(outbox, 'a')).result.assignment_id, 'a');
  assert.equal(outbox.isFull, true);
});

test('the age of the oldest result is that of its end, and nothing that waits has none', async () => {
  using folder = openFolder();
  await using outbox = await folder.open();
  const ageS = (): number => Number(/^worker_outbox_oldest_seconds (\S+)$/m.exec(folder.metrics.render())?.[1]);
  assert.equal(ageS(), 0);
  const putAt = (timestamp: number): Promise<OutboxRecord> =>
    new Promise((resolve) => outbox.put({ ...result('a'), timestamp }, 'trace-1', resolve));
  const oldest = await putAt(systemClock.epochMs() - 3_600_000);
  await putAt(systemClock.epochMs() + 3_600_000);
  assert.ok(ageS() >= 3_600);
  outbox.published(oldest);
  assert.equal(ageS(), 0, 'a clock that went back makes no negative age');
});
