// Where the next attempt of a job goes, and when: what the state of workers and providers makes of it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { at } from '../../contracts/contract.ts';
import { workerHeartbeat } from '../../contracts/heartbeat.ts';
import { assignmentIdOf } from '../../contracts/job.ts';
import { type AttemptOutcome, attemptOutcome } from '../../contracts/outcome.ts';
import { CORRELATION } from '../router-fixture.ts';
import { openJobs, orderOf, rest } from './jobs-fixture.ts';

const outcomeOf = (
  assignment_id: string,
  provider_id: string,
  error: NonNullable<AttemptOutcome['error']>,
): AttemptOutcome => ({
  version: '2',
  assignment_id,
  attempt: 1,
  request_id: 'rq-1',
  tenant_id: 'acme',
  provider_id,
  worker_id: 'w-1',
  latency_ms: 5,
  timestamp_ms: 1,
  state: 'failed',
  committed: false,
  error,
});

test('a job is accepted and put on its stream while no worker of its pool is there', async () => {
  const { bus, start, ask, orders, state, pass, stop } = await openJobs();
  await start();
  for (let n = 0; n < 3; n++) {
    bus.publish(at(workerHeartbeat), {
      version: '1',
      worker_id: 'w-1',
      timestamp: '2026-11-21T10:00:00.000Z',
      status: 'draining',
      resources: { cpu: 0, gpu: 0, mem_bytes: 1, jobs_in_flight: 0 },
    });
    await pass(2_000);
  }
  const { ok } = await ask(orderOf());
  assert.deepEqual([ok, orders.length, (await state())?.status], [true, 1, 'succeeded']);
  await stop();
});

test('a job that nobody can serve now waits, and goes on when somebody can', async () => {
  const { bus, start, ask, orders, state, pass, stop } = await openJobs();
  await start();
  await ask(orderOf({}, { run_at_ms: 1_790_000_010_000 }));
  await pass(9_000);
  const limit = { class: 'limit' as const, code: 'PROVIDER_RATE_LIMITED', retryable: true, message: 'no' };
  const outcome = outcomeOf('as_1', 'alder', { ...limit, retry_after_ms: 4_000 });
  bus.publish(at(attemptOutcome), outcome, CORRELATION);
  await pass(3_000);
  assert.deepEqual([orders.length, (await state())?.status], [0, 'queued']);
  await pass(5_000);
  assert.equal((await state())?.status, 'succeeded');
  await stop();
});

test('the ends of jobs that a canary got count for it, and it is stopped for jobs as for requests', async () => {
  const { bus, start, ask, script, orders, stop } = await openJobs({
    providers: [
      { name: 'alder', weight: 1 },
      { name: 'birch', weight: 0 },
    ],
    retry: { max_attempts: 1 },
    canary: { to: 'birch', share: 100, abort_on: { error_rate: 0.5, min_requests: 3 } },
  });
  await start();
  for (const id of ['job_1', 'job_2', 'job_3']) {
    script.push('hold');
    await ask(orderOf({}, { id }));
    const error = { class: 'unavailable' as const, code: 'PROVIDER_UNAVAILABLE', retryable: true, message: 'no' };
    bus.publish(at(attemptOutcome), outcomeOf(assignmentIdOf('acme', id), 'birch', error), CORRELATION);
    await rest();
  }
  await ask(orderOf({}, { id: 'job_4' }));
  assert.deepEqual(
    orders.map(({ executor }) => executor.provider_id),
    ['birch', 'birch', 'birch', 'alder'],
  );
  await stop();
});
