import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openMemoryBus } from '../bus/memory.ts';
import { jobBucket, jobKey, type JobState } from '../contracts/job.ts';
import { ManualClock } from '../core/clock.ts';
import { Timers } from '../core/timers.ts';
import { openLog } from '../telemetry/log.ts';
import { Metrics } from '../telemetry/metrics.ts';
import { jobWitness } from './ledger-witness.ts';

const attempt = (n: number, more: Partial<JobState['attempts'][number]>): JobState['attempts'][number] => ({
  attempt: n,
  provider_id: 'alder',
  pool: 'default',
  reason: 'weighted',
  status: 'succeeded',
  published_at_ms: 1_000,
  due_at_ms: 9_000,
  ended_at_ms: 2_000,
  ...more,
});

test('a job tells what its attempts cost, but for those whose worker was lost: that is a guess', async () => {
  using timers = new Timers(new ManualClock(1_000));
  const telemetry = { log: openLog('silent', { write: () => undefined }), metrics: new Metrics() };
  await using bus = openMemoryBus({ timers, telemetry });
  const lost = { code: 'worker_lost', error_code: 'WORKER_LOST', message: 'lost', retryable: true };
  const state: JobState = {
    version: '2',
    job_id: 'job_1',
    assignment_id: 'a-1',
    tenant_id: 'acme',
    status: 'succeeded',
    attempt: 3,
    attempts: [
      attempt(1, { status: 'failed', error: lost, cost_micro_usd: 22 }),
      attempt(2, { status: 'lost', error: lost }),
      attempt(3, { cost_micro_usd: 46 }),
    ],
    cost_micro_usd: 68,
    transitions: [],
    created_at_ms: 1_000,
    updated_at_ms: 2_000,
  };
  const bucket = await bus.openBucket(jobBucket);
  await bucket.put(jobKey('acme', 'a-1', 'state'), JSON.stringify(state));
  const { attempts, isComplete } = await jobWitness(bus, { since: 0, until: 5_000 });
  const of = { tenantId: 'acme', assignmentId: 'a-1' };
  const known: unknown[] = [];
  for await (const one of attempts) known.push(one);
  assert.deepEqual(known, [
    { ...of, attempt: 1, isMetered: true },
    { ...of, attempt: 2, isMetered: false },
    { ...of, attempt: 3, isMetered: true, costMicroUsd: 46 },
  ]);
  const row = { provider: 'alder', isEstimate: false };
  assert.deepEqual(
    ['a-1', 'a-2'].map((assignmentId) => isComplete({ ...row, assignmentId })),
    [true, false],
  );
});
