import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ExecAssignment } from '../../contracts/assignment.ts';
import { keyOf } from '../../contracts/bucket.ts';
import type { Effect } from '../blocks/block.ts';
import { handBlock, openJobs, settled } from './job-fixture.ts';

const order = (effect: Effect): Partial<ExecAssignment> => ({ job: { type: 'test.hand', payload: { effect } } });

test('a stopping worker gives back what did not start, at once, and finishes what runs', async () => {
  await using jobs = await openJobs({ settings: { slots: { io: 1, cpu: 1 } } });
  await jobs.assign();
  await jobs.assign({ assignment_id: 'a-2' });
  await settled();
  const stopped = jobs.worker[Symbol.asyncDispose]();
  await settled();
  const elsewhere: string[] = [];
  const block = handBlock([], {
    execute: async (_, { assignmentId }) => ({ output: { n: elsewhere.push(assignmentId) } }),
  });
  await jobs.start({ id: 'w-2' }, { blocks: [block] });
  await settled();
  assert.deepEqual(elsewhere, ['a-2']);
  assert.equal(jobs.executions[0]?.context.signal.aborted, false);
  jobs.executions[0]?.resolve({ output: { made: 1 } });
  await stopped;
  await settled();
  assert.equal(jobs.worker.abandoned, 0);
  assert.equal(await jobs.unacknowledged(), 0);
});

for (const effect of ['none', 'idempotent'] as const) {
  test(`what runs a second before the limit is given back, and runs elsewhere (${effect})`, async () => {
    await using jobs = await openJobs();
    await jobs.assign(order(effect));
    await settled();
    const stopped = jobs.worker[Symbol.asyncDispose]();
    await settled();
    jobs.pass(3_900);
    await settled();
    assert.equal(jobs.executions[0]?.context.signal.aborted, false);
    jobs.pass(200);
    await stopped;
    assert.equal(jobs.executions[0]?.context.signal.aborted, true);
    assert.equal(jobs.worker.abandoned, 1);
    assert.equal(jobs.heard.results.length, 0);
    await jobs.start({ id: 'w-2' });
    await settled();
    assert.equal(jobs.executions.length, 2);
  });
}

test('what has an external effect is lost at the limit: it is not run again, and its result says so', async () => {
  await using jobs = await openJobs();
  await jobs.assign(order('external'));
  await settled();
  const stopped = jobs.worker[Symbol.asyncDispose]();
  await settled();
  jobs.pass(4_100);
  await settled();
  await stopped;
  assert.deepEqual(
    jobs.heard.results.map(({ status, error_code }) => [status, error_code]),
    [['error', 'WORKER_LOST']],
  );
  assert.equal(jobs.worker.abandoned, 1);
  assert.equal(await jobs.unacknowledged(), 0);
  assert.match((await jobs.markers.get(keyOf('acme', 'a-1', '1')))?.value ?? '', /"done"/);
});

test('a worker that comes while another one drains gets the new work', async () => {
  await using jobs = await openJobs();
  const stopped = jobs.worker[Symbol.asyncDispose]();
  await stopped;
  await jobs.assign();
  await settled();
  assert.equal(jobs.executions.length, 0);
  await jobs.start({ id: 'w-2' });
  await settled();
  assert.equal(jobs.executions.length, 1);
});
