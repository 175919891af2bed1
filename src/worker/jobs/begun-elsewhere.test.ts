// Attempts that another process began, and that end here for another reason than its death: each is billed.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Bus, KeyValue } from '../../bus/bus.ts';
import type { ExecAssignment } from '../../contracts/assignment.ts';
import { type BucketSpec, keyOf } from '../../contracts/bucket.ts';
import type { JobState } from '../../contracts/job.ts';
import { BeamlineError } from '../../core/errors.ts';
import { attemptBucket } from './attempt-markers.ts';
import { handBlock, type JobsOptions, openJobs, settled, START_MS, writeState } from './job-fixture.ts';

type Jobs = Awaited<ReturnType<typeof openJobs>>;

const ORDER: Partial<ExecAssignment> = { job: { type: 'test.hand', payload: { effect: 'external' } } };
const MARKER = keyOf('acme', 'a-1', '1');
const open = (more: JobsOptions = {}): Promise<Jobs> =>
  openJobs({
    ...more,
    settings: { slots: { io: 1, cpu: 1 } },
    worker: { blocks: [handBlock([], { estimate: () => ({ input_tokens: 7, cost_micro_usd: 70 }) })] },
  });
const cancelled = { reason: 'client_cancel', at_ms: START_MS };
const ended = (more: Partial<JobState['attempts'][number]>): Partial<JobState> => ({
  status: 'timed_out',
  attempts: [
    {
      attempt: 1,
      provider_id: 'worker',
      pool: 'default',
      reason: 'block',
      status: 'timed_out',
      published_at_ms: START_MS,
      due_at_ms: START_MS,
      ...more,
    },
  ],
});

const ENDS: readonly (readonly [string, string, (jobs: Jobs) => unknown])[] = [
  ['has expired', 'CANCELLED_BY_TIMEOUT', (jobs) => jobs.assign({ ...ORDER, expires_at_ms: START_MS - 2_001 })],
  [
    'is cancelled in its record',
    'CANCELLED_BY_USER',
    async (jobs) => {
      await writeState(jobs.records, { cancel: cancelled });
      await jobs.assign(ORDER);
    },
  ],
  [
    'was cancelled before it came',
    'CANCELLED_BY_USER',
    async (jobs) => {
      jobs.cancel();
      await jobs.assign(ORDER);
    },
  ],
  [
    'passes its deadline while it waits',
    'CANCELLED_BY_TIMEOUT',
    async (jobs) => {
      await jobs.assign({ ...ORDER, assignment_id: 'a-2' });
      await jobs.assign({ ...ORDER, options: { deadline_ms: 1_000 } });
      await settled();
      jobs.pass(1_100);
    },
  ],
  [
    'was given up by routers',
    'WORKER_LOST',
    async (jobs) => {
      await writeState(jobs.records, ended({}));
      await jobs.assign(ORDER);
    },
  ],
  [
    'is behind a newer one',
    'WORKER_LOST',
    async (jobs) => {
      await writeState(jobs.records, { status: 'running', attempt: 2 });
      await jobs.assign(ORDER);
    },
  ],
];

for (const [what, code, end] of ENDS) {
  test(`a begun attempt that ${what} has one result, and is billed as an estimate`, async () => {
    await using jobs = await open();
    await jobs.markers.put(MARKER, JSON.stringify({ process: 'w-0:1', state: 'running' }));
    await end(jobs);
    await settled();
    const own = jobs.heard.results.filter(({ assignment_id: id }) => id === 'a-1');
    assert.deepEqual(
      own.map(({ error_code, usage }) => [error_code, usage?.estimated, usage?.input_tokens, usage?.cost_micro_usd]),
      [[code, true, 7, 70]],
    );
    assert.match((await jobs.markers.get(MARKER))?.value ?? '', /"done"/);
  });

  test(`an attempt that nobody began and that ${what} is not billed`, async () => {
    await using jobs = await open();
    await end(jobs);
    await settled();
    const own = jobs.heard.results.filter(({ assignment_id: id }) => id === 'a-1');
    assert.deepEqual(
      own.map(({ usage }) => usage),
      code === 'WORKER_LOST' ? [] : [undefined],
    );
  });
}

test('an attempt whose end is told is not told again, whatever its mark says', async () => {
  await using jobs = await open();
  await jobs.markers.put(MARKER, JSON.stringify({ process: 'w-0:1', state: 'running' }));
  await writeState(jobs.records, ended({ cost_micro_usd: 9 }));
  await jobs.assign(ORDER);
  await settled();
  assert.deepEqual([jobs.heard.results.length, await jobs.unacknowledged()], [0, 0]);
});

test('marks that cannot be read are waited for', async () => {
  let isAway = true;
  const through = (bus: Bus): Bus => withBuckets(bus, () => isAway);
  await using jobs = await open({ through });
  await jobs.markers.put(MARKER, JSON.stringify({ process: 'w-0:1', state: 'running' }));
  await jobs.assign({ ...ORDER, expires_at_ms: START_MS - 2_001 });
  await settled();
  assert.deepEqual([jobs.heard.results.length, await jobs.unacknowledged()], [0, 1]);
  isAway = false;
  for (let second = 0; second < 3; second++) {
    jobs.pass(1_000);
    // eslint-disable-next-line no-await-in-loop -- time goes by
    await settled();
  }
  assert.deepEqual(
    jobs.heard.results.map(({ usage }) => usage?.estimated),
    [true],
  );
});

/** The bus, whose marks are away while the test says so. */
function withBuckets(bus: Bus, isAway: () => boolean): Bus {
  return new Proxy(bus, {
    get(target, name: keyof Bus) {
      const value: unknown = target[name];
      if (name === 'openBucket') {
        return async (spec: BucketSpec) => {
          const bucket = await target.openBucket(spec);
          if (spec.name !== attemptBucket.name) return bucket;
          const get: KeyValue['get'] = async (key) => {
            if (isAway()) throw new BeamlineError('unavailable', 'away');
            return bucket.get(key);
          };
          return { ...methodsOf(bucket), get };
        };
      }
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}

const methodsOf = (bucket: KeyValue): Pick<KeyValue, 'put' | 'update'> => ({
  put: (key, value) => bucket.put(key, value),
  update: (key, value, revision) => bucket.update(key, value, revision),
});
