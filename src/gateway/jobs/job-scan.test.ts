import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openMemoryBus } from '../../bus/memory.ts';
import type { KeyValue } from '../../bus/bus.ts';
import { assignmentIdOf, jobBucket, jobKey, type JobRequest, type JobState } from '../../contracts/job.ts';
import { ManualClock } from '../../core/clock.ts';
import { Timers } from '../../core/timers.ts';
import { openLog } from '../../telemetry/log.ts';
import { Metrics } from '../../telemetry/metrics.ts';
import { readJobFilter } from './job-filter.ts';
import { scanJobs } from './job-scan.ts';

const START_MS = 1_790_000_000_000;
const JOBS = 300;

/** So many jobs of a tenant, the odd ones done with a large result, and one of another tenant. */
async function open() {
  const timers = new Timers(new ManualClock(START_MS));
  const bus = openMemoryBus({
    timers,
    telemetry: { log: openLog('silent', { write: () => undefined }), metrics: new Metrics() },
  });
  const bucket = await bus.openBucket(jobBucket);
  let reads = 0;
  const counted = new Proxy(bucket, {
    get(target, name: keyof KeyValue) {
      assert.ok(name === 'get' || name === 'keys', `${name} reads more than a page needs`);
      if (name === 'get') reads++;
      return target[name].bind(target) as unknown;
    },
  });
  for (let n = 0; n < JOBS; n++) {
    // eslint-disable-next-line no-await-in-loop -- in order
    await put(bucket, 'acme', n);
  }
  await put(bucket, 'umbrella', 0);
  return { bus, timers, jobs: counted, reads: () => reads };
}

async function put(bucket: KeyValue, tenant: string, n: number): Promise<void> {
  const assignment_id = assignmentIdOf(tenant, `job_${n}`);
  const common = {
    version: '2',
    job_id: `job_${n}`,
    assignment_id,
    tenant_id: tenant,
    created_at_ms: START_MS + n,
  } as const;
  const request: JobRequest = {
    ...common,
    request: { version: '2', request_id: 'r', tenant_id: tenant, task: { type: 'test.echo' } },
    digest: '0'.repeat(64),
    router_id: 'r-1',
    expires_at_ms: START_MS + 1_000_000,
  };
  await bucket.put(jobKey(tenant, assignment_id, 'req'), JSON.stringify(request));
  if (n % 2 === 0) return;
  const state: JobState = {
    ...common,
    status: 'succeeded',
    attempt: 1,
    attempts: [],
    result: { output: 'x'.repeat(10_000) },
    cost_micro_usd: 0,
    transitions: [],
    updated_at_ms: START_MS,
  };
  await bucket.put(jobKey(tenant, assignment_id, 'state'), JSON.stringify(state));
}

test('a page of jobs reads what it shows and a few more, newest first, and the next one goes on behind it', async () => {
  const { bus, timers, jobs, reads } = await open();
  const filter = readJobFilter({});
  const found: string[] = [];
  let cursor: string | undefined;
  for (let page = 0; page < 3; page++) {
    let count = 0;
    // eslint-disable-next-line no-await-in-loop -- one page after the other
    for await (const scanned of scanJobs(jobs, 'acme', filter, cursor)) {
      cursor = scanned.cursor;
      found.push(scanned.record?.request.job_id ?? '');
      assert.equal(scanned.record?.state?.result, undefined);
      if (++count === 10) break;
    }
  }
  assert.deepEqual(
    found,
    Array.from({ length: 30 }, (_, n) => `job_${JOBS - 1 - n}`),
  );
  assert.ok(reads() <= 3 * 64, `${reads()} reads`);
  await bus.drain();
  timers[Symbol.dispose]();
});

test('the state of a job rules it out before its request is read, and times are those of the request', async () => {
  const { bus, timers, jobs, reads } = await open();
  const done = readJobFilter({
    status: 'completed',
    since: new Date(START_MS + 101).toISOString(),
    until: new Date(START_MS + 105).toISOString(),
  });
  const found: string[] = [];
  for await (const { record } of scanJobs(jobs, 'acme', done))
    if (record !== undefined) found.push(record.request.job_id);
  assert.deepEqual(found, ['job_103', 'job_101']);
  assert.equal(reads(), JOBS + JOBS / 2);
  await bus.drain();
  timers[Symbol.dispose]();
});
