// What goes back to the stream before it began.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Bus } from '../../bus/bus.ts';
import type { ExecAssignment } from '../../contracts/assignment.ts';
import type { BucketSpec } from '../../contracts/bucket.ts';
import { jobBucket } from '../../contracts/job.ts';
import type { SlotClass } from '../../contracts/slot-class.ts';
import { type Execution, handBlock, openJobs, settled } from './job-fixture.ts';

type Jobs = Awaited<ReturnType<typeof openJobs>>;

/** The bus of a worker that never hears of the records of jobs, so that nothing begins. */
const stuck = (bus: Bus): Bus =>
  new Proxy(bus, {
    get(target, name: keyof Bus) {
      const value: unknown = target[name];
      if (name !== 'openBucket') return typeof value === 'function' ? (value.bind(target) as unknown) : value;
      return async (spec: BucketSpec) => {
        const bucket = await target.openBucket(spec);
        return spec.name === jobBucket.name ? { get: () => new Promise(() => undefined) } : bucket;
      };
    },
  });

test('a job that each of many workers gives back when it stops is not given up: it runs at last', async () => {
  await using jobs = await openJobs();
  await jobs.worker[Symbol.asyncDispose]();
  await jobs.assign();
  for (let n = 0; n < 9; n++) {
    // eslint-disable-next-line no-await-in-loop -- one worker after the other
    const worker = await jobs.start({ id: `w-${n}` }, { bus: stuck(jobs.bus) });
    // eslint-disable-next-line no-await-in-loop -- as above
    await settled();
    // eslint-disable-next-line no-await-in-loop -- as above
    await worker[Symbol.asyncDispose]();
  }
  assert.deepEqual(jobs.heard.results, []);
  await jobs.start({ id: 'last' });
  await settled();
  assert.equal(jobs.executions.length, 1);
});

async function pass(jobs: Jobs, seconds: number): Promise<void> {
  for (let tick = 0; tick < seconds * 4; tick++) {
    jobs.pass(250);
    // eslint-disable-next-line no-await-in-loop -- time goes by
    await settled();
  }
}

for (const [flood, other] of [
  ['cpu', 'io'],
  ['io', 'cpu'],
] as const) {
  test(`a flood of jobs of class ${flood} delays none of class ${other}, and is not given up`, async () => {
    const executions: Record<SlotClass, Execution[]> = { io: [], cpu: [] };
    const blocks = (['io', 'cpu'] as const).map((slotClass) =>
      handBlock(executions[slotClass], { type: `test.${slotClass}`, class: slotClass }),
    );
    await using jobs = await openJobs({ worker: { blocks } });
    const order = (slotClass: SlotClass, id: string): Partial<ExecAssignment> => ({
      assignment_id: id,
      job: { type: `test.${slotClass}`, payload: { effect: 'none' } },
      options: { deadline_ms: 3_600_000 },
    });
    for (let n = 0; n < 60; n++) {
      // eslint-disable-next-line no-await-in-loop -- in order
      await jobs.assign(order(flood, `flood-${n}`));
    }
    await jobs.assign(order(other, 'other'));
    await settled();
    await pass(jobs, 2);
    assert.equal(executions[other].length, 1);
    const places = executions[flood].length;
    assert.ok(places > 0 && places < 4);
    await pass(jobs, 60);
    assert.deepEqual(jobs.heard.results, []);
    // All of them run in the end.
    for (let done = 0; done < 60; done++) {
      executions[flood][done]?.resolve({ output: { made: done } });
      // eslint-disable-next-line no-await-in-loop -- one after the other
      await settled();
      // eslint-disable-next-line no-await-in-loop -- as above
      if (executions[flood][done + 1] === undefined) await pass(jobs, 5);
    }
    assert.equal(jobs.heard.results.length, 60);
    assert.ok(jobs.heard.results.every(({ status }) => status === 'success'));
  });
}
