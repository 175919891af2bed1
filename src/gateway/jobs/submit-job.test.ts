import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Bus, KeyValue } from '../../bus/bus.ts';
import { openMemoryBus } from '../../bus/memory.ts';
import { at } from '../../contracts/contract.ts';
import { decideV2 } from '../../contracts/decide.ts';
import { jobBucket } from '../../contracts/job.ts';
import { ManualClock } from '../../core/clock.ts';
import { BeamlineError } from '../../core/errors.ts';
import { Timers } from '../../core/timers.ts';
import { openLog } from '../../telemetry/log.ts';
import { Metrics } from '../../telemetry/metrics.ts';
import { type Accepted, type JobDecide, submitOver } from './submit-job.ts';

const DEADLINE_MS = 5_000;
const REQUEST: JobDecide = {
  version: '2',
  request_id: 'rq-1',
  tenant_id: 'acme',
  task: { type: 'ai.chat', model: 'small', payload: { messages: [] } },
  push_assignment: true,
  job: { id: 'job_01JD7ZPK2M4N6P8R0T2V4X6Z8B', expires_at_ms: 1_000_000 },
};
const settled = () => new Promise<void>((resolve) => setImmediate(resolve));
const never = <T>(): Promise<T> => new Promise<T>(() => undefined);

/** A gateway whose store never answers. */
async function openSilent(serve: (bus: Bus, over: Promise<never>) => void) {
  const over = Promise.withResolvers<never>();
  over.promise.catch(() => undefined);
  const clock = new ManualClock();
  const timers = new Timers(clock);
  const bus = openMemoryBus({
    timers,
    telemetry: { log: openLog('silent', { write: () => undefined }), metrics: new Metrics() },
  });
  serve(bus, over.promise);
  const bucket = await bus.openBucket(jobBucket);
  let reads = 0;
  const asked = (): Promise<never> => {
    reads++;
    return never();
  };
  const jobs: KeyValue = new Proxy(bucket, { get: () => asked });
  const submit = submitOver({ bus, jobs, timers, decideTimeoutMs: 2_000 });
  return {
    reads: () => reads,
    /** How it ended, and when. */
    async submitted(): Promise<{ readonly ms: number; readonly end: Accepted | BeamlineError }> {
      let ended: { readonly ms: number; readonly end: Accepted | BeamlineError } | undefined;
      const told = (end: Accepted | BeamlineError): void => void (ended = { ms: clock.nowMs(), end });
      submit(REQUEST, { deadlineMs: DEADLINE_MS, isAbandoned: () => false }).then(told, told);
      while (ended === undefined) {
        clock.advance(50);
        timers.tick();
        // eslint-disable-next-line no-await-in-loop -- what a step of the clock causes comes before the next one
        await settled();
        assert.ok(clock.nowMs() < 60_000, 'it ends');
      }
      return ended;
    },
    async [Symbol.asyncDispose]() {
      over.reject(new BeamlineError('unavailable', 'the test is over'));
      await bus.drain();
      timers[Symbol.dispose]();
    },
  };
}

test('where neither the router nor the store answers, the caller is told by the deadline that nothing is known', async () => {
  await using gateway = await openSilent((bus, over) => void bus.serve(at(decideV2), { queue: 'router' }, () => over));
  const { ms, end } = await gateway.submitted();
  assert.ok(end instanceof BeamlineError);
  assert.deepEqual([end.code, end.details['job_id']], ['timeout', REQUEST.job.id]);
  assert.ok(ms <= DEADLINE_MS, `${ms} ms`);
});

test('a job that was accepted is told although the store does not answer', async () => {
  await using gateway = await openSilent((bus) => {
    bus.serve(at(decideV2), { queue: 'router' }, () => ({
      version: '2' as const,
      ok: true,
      context: { request_id: 'rq-1', tenant_id: 'acme' },
    }));
  });
  const { ms, end } = await gateway.submitted();
  assert.ok(!(end instanceof BeamlineError));
  assert.equal(end.record.request.job_id, REQUEST.job.id);
  assert.ok(ms <= 1_000, `${ms} ms`);
});

test('a new job whose moment the router tells is not read again', async () => {
  await using gateway = await openSilent((bus) => {
    bus.serve(at(decideV2), { queue: 'router' }, () => ({
      version: '2' as const,
      ok: true,
      accepted_at_ms: 7,
      context: { request_id: 'rq-1', tenant_id: 'acme' },
    }));
  });
  const { end } = await gateway.submitted();
  assert.ok(!(end instanceof BeamlineError));
  const { request, state } = end.record;
  const { job_id, tenant_id, created_at_ms, expires_at_ms } = request;
  assert.deepEqual([job_id, tenant_id, created_at_ms, expires_at_ms], [REQUEST.job.id, 'acme', 7, 1_000_000]);
  assert.deepEqual([state, end.isDuplicate, gateway.reads()], [undefined, false, 0]);
});
