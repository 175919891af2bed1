// What a worker does with an attempt that has ended and that a router sends again, because it misses the result.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { until } from '../../../test/until.ts';
import { keyOf } from '../../contracts/bucket.ts';
import { ManualClock } from '../../core/clock.ts';
import { Timers } from '../../core/timers.ts';
import { openLog } from '../../telemetry/log.ts';
import { Metrics } from '../../telemetry/metrics.ts';
import { Outbox } from '../outbox.ts';
import { handBlock, openJobs, settled, writeState } from './job-fixture.ts';

const ORDER = { job: { type: 'test.hand', payload: { effect: 'external' } } };
const MARKER = keyOf('acme', 'a-1', '1');
const estimate = () => ({ input_tokens: 7, cost_micro_usd: 70 });

async function openOutbox() {
  const folder = mkdtempSync(join(tmpdir(), 'beamline-told-again-'));
  const timers = new Timers(new ManualClock(0));
  const telemetry = { log: openLog('silent', { write: () => undefined }), metrics: new Metrics() };
  const outbox = await Outbox.open({ folder, bytesMax: 1e6, syncMs: 1e6, timers, telemetry });
  return {
    outbox,
    async [Symbol.asyncDispose]() {
      await outbox[Symbol.asyncDispose]();
      timers[Symbol.dispose]();
      rmSync(folder, { recursive: true });
    },
  };
}

test('the result of what ended here is told again, and nothing runs', async () => {
  await using kept = await openOutbox();
  await using jobs = await openJobs({ worker: { outbox: kept.outbox } });
  await jobs.assign(ORDER);
  await settled();
  jobs.executions[0]?.resolve({ output: { made: 1 }, usage: { requests: 2 } });
  await until('the result', async () => jobs.heard.results.length === 1 && (await jobs.unacknowledged()) === 0);
  await jobs.assign(ORDER);
  await until('the result again', async () => jobs.heard.results.length === 2 && (await jobs.unacknowledged()) === 0);
  assert.deepEqual(jobs.heard.results[1], jobs.heard.results[0]);
  assert.equal(jobs.executions.length, 1);
});

test('what another process has ended, and whose result nobody can tell any more, is lost and billed', async () => {
  await using jobs = await openJobs({ worker: { blocks: [handBlock([], { estimate })] } });
  await jobs.markers.put(MARKER, JSON.stringify({ process: 'w-0:1', state: 'done' }));
  jobs.pass(60_000);
  await writeState(jobs.records, {});
  await jobs.assign(ORDER);
  await settled();
  assert.equal(jobs.heard.results.length, 0, 'it may be on its way');
  await until('the end', () => {
    jobs.pass(1_000);
    return jobs.heard.results.length === 1;
  });
  assert.deepEqual(
    jobs.heard.results.map(({ error_code, usage }) => [error_code, usage?.cost_micro_usd, usage?.estimated]),
    [['WORKER_LOST', 70, true]],
  );
  await until('its acknowledgement', async () => (await jobs.unacknowledged()) === 0);
});

test('what another process has ended is done with once its job knows the end', async () => {
  await using jobs = await openJobs({ worker: { blocks: [handBlock([], { estimate })] } });
  await jobs.markers.put(MARKER, JSON.stringify({ process: 'w-0:1', state: 'done' }));
  jobs.pass(60_000);
  await jobs.assign(ORDER);
  await settled();
  await writeState(jobs.records, { status: 'succeeded' });
  await until('its acknowledgement', async () => {
    jobs.pass(1_000);
    return (await jobs.unacknowledged()) === 0;
  });
  assert.deepEqual(jobs.heard.results, []);
});
