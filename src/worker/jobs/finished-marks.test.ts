import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Bus, BusState } from '../../bus/bus.ts';
import type { ExecAssignment } from '../../contracts/assignment.ts';
import { keyOf } from '../../contracts/bucket.ts';
import type { JobState } from '../../contracts/job.ts';
import { openJobs, settled, START_MS, writeState } from './job-fixture.ts';

const external: Partial<ExecAssignment> = { job: { type: 'test.hand', payload: { effect: 'external' } } };
const MARK = keyOf('acme', 'a-1', '1');

const over: Partial<JobState> = {
  status: 'succeeded',
  attempts: [
    {
      attempt: 1,
      provider_id: 'worker',
      pool: 'default',
      reason: 'selected',
      status: 'succeeded',
      published_at_ms: START_MS,
      due_at_ms: START_MS,
    },
  ],
};

async function pass(jobs: Awaited<ReturnType<typeof openJobs>>, seconds: number): Promise<void> {
  for (let second = 0; second < seconds; second++) {
    jobs.pass(1_000);
    // eslint-disable-next-line no-await-in-loop -- time goes by
    await settled();
  }
}

test('a mark goes when a router has taken the result, which it does after it wrote the record', async () => {
  await using jobs = await openJobs();
  jobs.heard.keepsResults = true;
  await jobs.assign(external);
  await settled();
  jobs.executions[0]?.resolve({ output: { made: 1 } });
  await settled();
  await pass(jobs, 4);
  assert.match((await jobs.markers.get(MARK))?.value ?? '', /"done"/);
  jobs.heard.kept[0]?.ack();
  await pass(jobs, 3);
  assert.deepEqual(await jobs.markers.entries(), []);
});

test('the number of a result says nothing once the connection was lost over which it was confirmed', async () => {
  const states = new Set<(state: BusState) => void>();
  const through = (bus: Bus): Bus =>
    new Proxy(bus, {
      get(target, name) {
        if (name === 'onState') return (listener: (state: BusState) => void) => void states.add(listener);
        const own: unknown = Reflect.get(target, name, target);
        return typeof own === 'function' ? (own.bind(target) as unknown) : own;
      },
    });
  await using jobs = await openJobs({ through });
  await jobs.assign(external);
  await settled();
  jobs.executions[0]?.resolve({ output: { made: 1 } });
  await settled();
  for (const state of ['reconnecting', 'connected'] as const) for (const tell of states) tell(state);
  await pass(jobs, 10);
  assert.match((await jobs.markers.get(MARK))?.value ?? '', /"done"/);
  await writeState(jobs.records, over);
  await pass(jobs, 20);
  assert.equal(await jobs.markers.get(MARK), undefined);
});

test('while no router takes results a mark stands until the record of the job says that its attempt is over', async () => {
  await using jobs = await openJobs();
  jobs.heard.keepsResults = true;
  await jobs.assign(external);
  await settled();
  jobs.executions[0]?.resolve({ output: { made: 1 } });
  await settled();
  await pass(jobs, 10);
  assert.match((await jobs.markers.get(MARK))?.value ?? '', /"done"/);
  await writeState(jobs.records, over);
  await pass(jobs, 20);
  assert.equal(await jobs.markers.get(MARK), undefined);
  assert.deepEqual(await jobs.markers.entries(), []);
});

test('what is delivered again after its mark is gone does not run again', async () => {
  await using jobs = await openJobs();
  await writeState(jobs.records, over);
  await jobs.start({ id: 'w-2' });
  await jobs.assign(external);
  await settled();
  assert.equal(jobs.executions.length, 0);
  assert.equal(await jobs.unacknowledged(), 0);
});

test('a delivery that waited while another worker ran its attempt does not run it again, though the mark is gone', async () => {
  await using jobs = await openJobs({ settings: { slots: { io: 1, cpu: 1 } } });
  await jobs.assign({ ...external, assignment_id: 'before' });
  await jobs.assign(external);
  await settled();
  assert.equal(jobs.executions.length, 1);
  // Meanwhile it ran elsewhere, and its mark has been taken away.
  await pass(jobs, 6);
  await writeState(jobs.records, over);
  jobs.executions[0]?.resolve({ output: { made: 1 } });
  await settled();
  assert.equal(jobs.executions.length, 1);
  assert.equal(await jobs.unacknowledged(), 0);
  await pass(jobs, 7);
  assert.equal(await jobs.markers.get(MARK), undefined);
});
