import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KeyValue } from '../../bus/bus.ts';
import { openMemoryBus } from '../../bus/memory.ts';
import { jobBucket, jobKey, type JobRequest } from '../../contracts/job.ts';
import { ManualClock } from '../../core/clock.ts';
import { Timers } from '../../core/timers.ts';
import { openLog } from '../../telemetry/log.ts';
import { Metrics } from '../../telemetry/metrics.ts';
import { annotated, begun, cancelAsked } from './job-state.ts';
import { type FoundJob, JobStore, refOf } from './job-store.ts';

async function open() {
  const timers = new Timers(new ManualClock(1_790_000_000_000));
  const telemetry = { log: openLog('silent', { write: () => undefined }), metrics: new Metrics() };
  const bus = openMemoryBus({ timers, telemetry });
  const bucket = await bus.openBucket(jobBucket);
  const close = async () => {
    await bus[Symbol.asyncDispose]();
    timers[Symbol.dispose]();
  };
  return { bucket, store: new JobStore(bucket), close };
}

const requestOf = (more: Partial<JobRequest> = {}): JobRequest => ({
  version: '2',
  job_id: 'job_1',
  assignment_id: 'a-1',
  tenant_id: 'acme',
  request: { version: '2', request_id: 'rq-1', tenant_id: 'acme', task: { type: 'ai.chat' } },
  digest: 'a'.repeat(64),
  router_id: 'r-1',
  created_at_ms: 1_000,
  expires_at_ms: 100_000,
  ...more,
});
const REF = refOf(requestOf());

test('a job is accepted once; a repeat finds the first, and another body is a conflict', async () => {
  const { store, close } = await open();
  assert.equal((await store.accept(requestOf())).isNew, true);
  const again = await store.accept(requestOf({ router_id: 'r-2', created_at_ms: 2_000 }));
  assert.deepEqual([again.isNew, again.request.router_id], [false, 'r-1']);
  await assert.rejects(store.accept(requestOf({ digest: 'b'.repeat(64) })), { code: 'idempotency_conflict' });
  assert.equal((await store.openJobs()).length, 1);
  await close();
});

test('a job that was just written is changed without being read; where another router was faster it is read', async () => {
  const { bucket, close } = await open();
  let reads = 0;
  const counting: KeyValue = Object.assign(Object.create(bucket) as KeyValue, {
    get: (key: string) => (reads++, bucket.get(key)),
    put: (key: string, value: string) => bucket.put(key, value),
    update: (key: string, value: string, revision: number) => bucket.update(key, value, revision),
  });
  const store = new JobStore(counting);
  const { request } = await store.accept(requestOf());
  const tagged = (tag: string) => (found: FoundJob) => {
    const state = found.state ?? begun(found.request);
    return state.tags?.includes(tag) === true
      ? undefined
      : annotated(state, { tags: [...(state.tags ?? []), tag] }, 5_000);
  };
  await store.change(REF, tagged('a'), { request, state: undefined, revision: 0 });
  const second = await store.change(REF, tagged('b'));
  assert.deepEqual([second?.state?.tags, reads], [['a', 'b'], 0]);

  const other = new JobStore(bucket);
  await other.change(REF, tagged('c'));
  const third = await store.change(REF, tagged('d'));
  assert.deepEqual([third?.state?.tags, reads], [['a', 'b', 'c', 'd'], 2]);

  await other.change(REF, tagged('e'));
  const none = await store.change(REF, tagged('d'));
  assert.deepEqual([none?.isChanged, none?.state?.tags], [false, ['a', 'b', 'c', 'd', 'e']], 'it was read first');
  await close();
});

test('changes that meet are all made, one after the other', async () => {
  const { store, close } = await open();
  await store.accept(requestOf());
  const tag = (name: string) =>
    store.change(REF, ({ request, state }) => {
      const now = state ?? begun(request);
      return annotated(now, { tags: [...(now.tags ?? []), name] }, 5_000);
    });
  const names = ['a', 'b', 'c', 'd', 'e'];
  await Promise.all(names.map(tag));
  assert.deepEqual((await store.read(REF))?.state?.tags?.toSorted(), names);
  await close();
});

test('a change that does not apply writes nothing', async () => {
  const { store, close } = await open();
  await store.accept(requestOf());
  const cancel = () => store.change(REF, ({ request, state }) => cancelAsked(state ?? begun(request), 'admin', 5_000));
  const [first, second] = [await cancel(), await cancel()];
  assert.deepEqual([first?.isChanged, second?.isChanged], [true, false]);
  assert.equal(second?.revision, first?.revision);
  assert.equal(await store.change({ ...REF, tenantId: 'umbra' }, () => undefined), undefined);
  await close();
});

test('the state of a job that was deleted is not that of the next one under its key', async () => {
  const { bucket, store, close } = await open();
  await store.accept(requestOf());
  await store.change(REF, ({ request }) => cancelAsked(begun(request), 'admin', 5_000));
  // As a router leaves it that dies while it deletes.
  await bucket.delete(jobKey('acme', 'a-1', 'req'));
  await store.accept(requestOf({ created_at_ms: 9_000 }));
  assert.equal((await store.read(REF))?.state, undefined);
  const next = await store.change(REF, ({ request }) => begun(request));
  assert.equal(next?.state?.created_at_ms, 9_000);
  await close();
});

test('an entry that nobody can read hides no other', async () => {
  const { bucket, store, close } = await open();
  await store.accept(requestOf());
  await bucket.put(jobKey('acme', 'broken', 'open'), '{');
  assert.deepEqual(
    (await store.openJobs()).map(({ assignmentId }) => assignmentId),
    ['a-1'],
  );
  await store.close(REF);
  assert.deepEqual(await store.openJobs(), []);
  await close();
});
