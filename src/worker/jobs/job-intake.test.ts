import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Bus } from '../../bus/bus.ts';
import type { ExecAssignment } from '../../contracts/assignment.ts';
import { keyOf } from '../../contracts/bucket.ts';
import { jobBucket, type JobState } from '../../contracts/job.ts';
import { deadLetterStream } from '../../contracts/streams.ts';
import { BeamlineError } from '../../core/errors.ts';
import { BlockFailure, type Effect } from '../blocks/block.ts';
import { handBlock, openJobs, settled, START_MS, writeState } from './job-fixture.ts';

const EFFECTS: readonly Effect[] = ['none', 'idempotent', 'external'];
const order = (effect: Effect): Partial<ExecAssignment> => ({ job: { type: 'test.hand', payload: { effect } } });
const MARKER = keyOf('acme', 'a-1', '1');

for (const effect of EFFECTS) {
  test(`a job of effect ${effect} runs once, and is acknowledged when its result is stored`, async () => {
    await using jobs = await openJobs();
    await jobs.assign({ ...order(effect), run_id: 'run-1', idempotency_key: 'k-1' });
    await settled();
    const { executions, heard, markers } = jobs;
    assert.equal(executions.length, 1);
    assert.deepEqual([executions[0]?.context.idempotencyKey, executions[0]?.context.deadlineMs], ['k-1', 60_000]);
    assert.deepEqual(
      heard.acks.map(({ status, worker_id }) => [status, worker_id]),
      [['accepted', 'w-1']],
    );
    const running = await markers.get(MARKER);
    assert.equal(running === undefined, effect !== 'external');
    assert.equal(await jobs.unacknowledged(), 1);
    executions[0]?.resolve({ output: { made: 1 }, usage: { requests: 2 }, finishReason: 'done' });
    await settled();
    const [result] = heard.results;
    assert.deepEqual(
      [result?.status, result?.output, result?.attempt, result?.finish_reason, result?.run_id, result?.provider_id],
      ['success', { made: 1 }, 1, 'done', 'run-1', 'worker'],
    );
    assert.deepEqual(result?.usage, {
      model: 'test.hand',
      input_tokens: 0,
      output_tokens: 0,
      cost_micro_usd: 0,
      requests: 2,
      unpriced: true,
    });
    assert.deepEqual(
      heard.outcomes.map(({ state }) => state),
      ['succeeded'],
    );
    assert.equal(await jobs.unacknowledged(), 0);
    if (effect === 'external') assert.match((await markers.get(MARKER))?.value ?? '', /"done"/);
  });

  test(`what is delivered again while it runs is not run again (${effect})`, async () => {
    await using jobs = await openJobs();
    await jobs.assign(order(effect));
    await settled();
    await jobs.assign(order(effect));
    await settled();
    assert.equal(jobs.executions.length, 1);
    jobs.executions[0]?.resolve({ output: { made: 1 } });
    await settled();
    assert.equal(jobs.heard.results.length, 1);
    jobs.pass(31_000);
    jobs.pass(1_000);
    await settled();
    assert.equal(jobs.executions.length, 1, 'the copy comes again, and is known as finished');
    assert.equal(await jobs.unacknowledged(), 0);
  });

  const lost = effect === 'external';
  test(`an attempt that another process began is ${lost ? 'lost' : 'run'} (${effect})`, async () => {
    await using jobs = await openJobs();
    await jobs.markers.put(MARKER, JSON.stringify({ process: 'w-0:1', state: 'running' }));
    await jobs.assign(order(effect));
    await settled();
    assert.equal(jobs.executions.length, lost ? 0 : 1);
    jobs.executions[0]?.resolve({ output: { made: 1 } });
    await settled();
    assert.deepEqual(
      jobs.heard.results.map(({ error_code }) => error_code),
      [lost ? 'WORKER_LOST' : undefined],
    );
    assert.match((await jobs.markers.get(MARKER))?.value ?? '', lost ? /"done"/ : /"running"/);
    assert.equal(await jobs.unacknowledged(), 0);
  });
}

test('a mark that says done means that there is nothing left to do', async () => {
  await using jobs = await openJobs();
  await jobs.markers.put(MARKER, JSON.stringify({ process: 'w-0:1', state: 'done' }));
  await jobs.assign(order('external'));
  await settled();
  assert.deepEqual([jobs.executions.length, jobs.heard.results.length], [0, 0]);
  assert.equal(await jobs.unacknowledged(), 0);
});

const attempt = (status: 'published' | 'failed' | 'lost') => ({
  attempt: 1,
  provider_id: 'worker',
  pool: 'default',
  reason: 'block',
  status,
  published_at_ms: START_MS,
  due_at_ms: START_MS,
});
const STANDINGS: readonly (readonly [string, Partial<JobState>, boolean])[] = [
  ['queued', { attempts: [attempt('published')] }, true],
  ['running its first attempt', { status: 'running', attempts: [attempt('published')] }, true],
  ['succeeded', { status: 'succeeded' }, false],
  ['failed', { status: 'failed' }, false],
  ['timed out', { status: 'timed_out' }, false],
  ['cancelled', { status: 'cancelled' }, false],
  ['at a newer attempt', { status: 'running', attempt: 2 }, false],
  ['waiting to try again', { status: 'retry_wait', attempts: [attempt('failed')] }, false],
  ['without that attempt, which is lost', { status: 'retry_wait', attempts: [attempt('lost')] }, false],
];

for (const [what, state, runs] of STANDINGS) {
  for (const effect of EFFECTS) {
    test(`an attempt at a job that is ${what} is ${runs ? 'run' : 'only acknowledged'} (${effect})`, async () => {
      await using jobs = await openJobs();
      await writeState(jobs.records, state);
      await jobs.assign(order(effect));
      await settled();
      assert.equal(jobs.executions.length, runs ? 1 : 0);
      assert.equal(jobs.heard.results.length, 0);
      assert.equal(await jobs.unacknowledged(), runs ? 1 : 0);
    });
  }
}

const UNFIT: readonly (readonly [string, Partial<ExecAssignment>, string, string])[] = [
  ['an unknown type', { job: { type: 'test.other', payload: { a: 1 } } }, 'unknown_job_type', 'UNKNOWN_JOB_TYPE'],
  [
    'an input that its block refuses',
    { job: { type: 'test.hand', payload: { a: 1 } } },
    'invalid_request',
    'INVALID_INPUT',
  ],
  [
    'a payload elsewhere',
    { job: { type: 'test.hand', payload_ref: 'blob://acme/b1' } },
    'invalid_request',
    'INVALID_INPUT',
  ],
  [
    'a scope that is missing',
    { job: { type: 'test.scoped', payload: { effect: 'none' } } },
    'tenant_forbidden',
    'PERMISSION_DENIED',
  ],
];

for (const [what, more, reason, code] of UNFIT) {
  test(`an order with ${what} is rejected, ends as ${code} and is acknowledged`, async () => {
    const scoped = handBlock([], { type: 'test.scoped', scopes: ['sql:read'] });
    await using jobs = await openJobs({ worker: { blocks: [handBlock([]), scoped] } });
    await jobs.assign({ scopes: ['ai:invoke'], ...more });
    await settled();
    assert.deepEqual(
      jobs.heard.acks.map((ack) => [ack.status, ack.reason]),
      [['rejected', reason]],
    );
    assert.deepEqual(
      jobs.heard.results.map(({ status, error_code, usage }) => [status, error_code, usage]),
      [['error', code, undefined]],
    );
    assert.equal(await jobs.unacknowledged(), 0);
  });
}

test('a scope that the order has opens the block', async () => {
  const opened: unknown[] = [];
  const scoped = handBlock([], {
    scopes: ['sql:read'],
    execute: async (input) => ({ output: { seen: opened.push(input) } }),
  });
  await using jobs = await openJobs({ worker: { blocks: [scoped] } });
  await jobs.assign({ scopes: ['sql:read'] });
  await settled();
  assert.equal(opened.length, 1);
});

const ENDS: readonly (readonly [
  string,
  (end: Awaited<ReturnType<typeof openJobs>>['executions'][0]) => void,
  string,
])[] = [
  [
    'fails',
    ({ reject }) => reject(new BlockFailure('PROVIDER_UNAVAILABLE', 'down', { usage: { requests: 1 } })),
    'PROVIDER_UNAVAILABLE',
  ],
  ['throws something else', ({ reject }) => reject(new Error('secret text')), 'INTERNAL_ERROR'],
  ['makes what it does not say', ({ resolve }) => resolve({ output: 'text' }), 'INTERNAL_ERROR'],
  ['makes too much', ({ resolve }) => resolve({ output: { text: 'x'.repeat(300_000) } }), 'OUTPUT_TOO_LARGE'],
];

for (const [what, how, code] of ENDS) {
  test(`a block that ${what} ends as ${code}`, async () => {
    await using jobs = await openJobs();
    await jobs.assign();
    await settled();
    const [execution] = jobs.executions;
    assert.ok(execution);
    how(execution);
    await settled();
    const [result] = jobs.heard.results;
    assert.deepEqual([result?.status, result?.error_code, result?.output], ['error', code, undefined]);
    assert.equal(result?.usage?.requests, what === 'fails' ? 1 : undefined);
    assert.ok(!JSON.stringify(result).includes('secret text'));
    assert.equal(await jobs.unacknowledged(), 0);
  });
}

test('a cancel that comes first, or stands in the record, is remembered', async () => {
  await using jobs = await openJobs();
  jobs.cancel();
  await jobs.assign();
  await settled();
  await writeState(jobs.records, { assignment_id: 'a-1', cancel: { reason: 'client_cancel', at_ms: START_MS } });
  await jobs.assign({ attempt: 2 });
  await settled();
  assert.equal(jobs.executions.length, 0);
  assert.deepEqual(
    jobs.heard.results.map(({ status, attempt: number }) => [status, number]),
    [
      ['cancelled', 1],
      ['cancelled', 2],
    ],
  );
  assert.equal(await jobs.unacknowledged(), 0);
});

test('a cancel ends what waits without starting it, and what runs through its signal', async () => {
  await using jobs = await openJobs({ settings: { slots: { io: 1, cpu: 1 } } });
  await jobs.assign();
  await settled();
  await jobs.assign({ assignment_id: 'a-2' });
  await settled();
  jobs.cancel({ assignment_id: 'a-2' });
  jobs.cancel({ tenant_id: 'other' });
  await settled();
  assert.equal(jobs.executions[0]?.context.signal.aborted, false, 'another tenant cannot cancel');
  jobs.cancel();
  jobs.cancel();
  await settled();
  assert.equal(jobs.executions.length, 1);
  assert.deepEqual(
    jobs.heard.results.map(({ assignment_id, status }) => [assignment_id, status]),
    [
      ['a-2', 'cancelled'],
      ['a-1', 'cancelled'],
    ],
  );
  jobs.cancel();
  await settled();
  assert.equal(jobs.heard.results.length, 2, 'after the end there is nothing to cancel');
  assert.equal(await jobs.unacknowledged(), 0);
});

test('a cancel while its record is read ends it before it starts', async () => {
  const gate = Promise.withResolvers<void>();
  const through = (bus: Bus): Bus => withRecords(bus, () => gate.promise);
  await using jobs = await openJobs({ through });
  await jobs.assign();
  await settled();
  jobs.cancel();
  gate.resolve();
  await settled();
  assert.equal(jobs.executions.length, 0);
  assert.deepEqual(
    jobs.heard.results.map(({ status }) => status),
    ['cancelled'],
  );
});

test('what does not unwind is abandoned after the grace, and its place is free again', async () => {
  const started: unknown[] = [];
  const stubborn = handBlock([], { execute: (input) => (started.push(input), new Promise(() => undefined)) });
  await using jobs = await openJobs({ settings: { slots: { io: 1, cpu: 1 } }, worker: { blocks: [stubborn] } });
  await jobs.assign();
  await jobs.assign({ assignment_id: 'a-2' });
  await settled();
  jobs.cancel();
  await settled();
  assert.equal(jobs.heard.results.length, 0);
  jobs.pass(2_020);
  await settled();
  assert.deepEqual(
    jobs.heard.results.map(({ status }) => status),
    ['cancelled'],
  );
  assert.equal(started.length, 2);
});

test('the deadline ends what runs and what waits as timed out', async () => {
  await using jobs = await openJobs({ settings: { slots: { io: 1, cpu: 1 } } });
  await jobs.assign({ options: { deadline_ms: 1_000 } });
  await jobs.assign({ assignment_id: 'a-2', options: { deadline_ms: 500 } });
  await settled();
  jobs.pass(600);
  await settled();
  jobs.pass(600);
  await settled();
  assert.deepEqual(
    jobs.heard.results.map(({ assignment_id, status, error_code }) => [assignment_id, status, error_code]),
    [
      ['a-2', 'timeout', 'CANCELLED_BY_TIMEOUT'],
      ['a-1', 'timeout', 'CANCELLED_BY_TIMEOUT'],
    ],
  );
  assert.equal(jobs.executions.length, 1);
});

test('what has expired is not started, be it at once or after its wait; clocks may differ a little', async () => {
  await using jobs = await openJobs({ settings: { slots: { io: 1, cpu: 1 } } });
  await jobs.assign({ expires_at_ms: START_MS - 2_001 });
  await jobs.assign({ assignment_id: 'a-2', expires_at_ms: START_MS - 1_999 });
  await jobs.assign({ assignment_id: 'a-3', expires_at_ms: START_MS });
  await settled();
  jobs.pass(3_000);
  jobs.executions[0]?.resolve({ output: { made: 1 } });
  await settled();
  assert.equal(jobs.executions.length, 1);
  assert.deepEqual(
    jobs.heard.results.map(({ assignment_id, status, error }) => [assignment_id, status, error?.detail_code]),
    [
      ['a-1', 'timeout', 'expired'],
      ['a-2', 'success', undefined],
      ['a-3', 'timeout', 'expired'],
    ],
  );
});

test('a newer attempt ends an older one', async () => {
  await using jobs = await openJobs();
  await jobs.assign();
  await settled();
  await jobs.assign({ attempt: 2 });
  await settled();
  assert.equal(jobs.executions[0]?.context.signal.aborted, true);
  jobs.executions[1]?.resolve({ output: { made: 2 } });
  await settled();
  assert.deepEqual(
    jobs.heard.results.map(({ attempt: number, status }) => [number, status]),
    [
      [1, 'cancelled'],
      [2, 'success'],
    ],
  );
});

test('a long run is not delivered to anybody else', async () => {
  await using jobs = await openJobs();
  const other = await jobs.start({ id: 'w-2' });
  await jobs.assign({ options: { deadline_ms: 600_000 } });
  await settled();
  for (let second = 0; second < 120; second++) jobs.pass(1_000);
  await settled();
  assert.equal(jobs.executions.length, 1);
  jobs.executions[0]?.resolve({ output: { made: 1 } });
  await settled();
  assert.equal(await jobs.unacknowledged(), 0);
  void other;
});

test('while the records cannot be read nothing is fetched, and then it goes on', async () => {
  let isDown = true;
  let reads = 0;
  const through = (bus: Bus): Bus =>
    withRecords(bus, async () => {
      reads++;
      if (isDown) throw new BeamlineError('unavailable', 'no store');
    });
  await using jobs = await openJobs({ through });
  await jobs.assign();
  await settled();
  for (const id of ['a-2', 'a-3', 'a-4']) await jobs.assign({ assignment_id: id });
  for (let turn = 0; turn < 30; turn++) {
    jobs.pass(1_000);
    // eslint-disable-next-line no-await-in-loop -- time goes by
    await settled();
  }
  assert.ok(reads <= 31, `one look each second, not one for each delivery: ${reads}`);
  assert.equal(jobs.executions.length, 0);
  isDown = false;
  for (let turn = 0; turn < 3; turn++) {
    jobs.pass(1_000);
    // eslint-disable-next-line no-await-in-loop -- as above
    await settled();
  }
  assert.equal(jobs.executions.length, 3, 'as many as there are places for jobs');
});

test('jobs hold at most their share of the places, and no more are fetched', async () => {
  await using jobs = await openJobs();
  for (let n = 0; n < 10; n++) await jobs.assign({ assignment_id: `a-${n}` });
  await settled();
  assert.deepEqual([jobs.executions.length, jobs.heard.acks.length], [3, 4], 'one more for the class cpu');
});

test('an overloaded worker fetches nothing until it is well again, and says so', async () => {
  await using jobs = await openJobs();
  jobs.measured.memory = 0.9;
  for (let n = 0; n < 2; n++) jobs.pass(1_000);
  await settled();
  await jobs.assign();
  await settled();
  assert.equal(jobs.executions.length, 0);
  assert.equal(jobs.heard.beats.at(-1), 'overloaded');
  jobs.measured.memory = 0.1;
  for (let n = 0; n < 5; n++) jobs.pass(1_000);
  await settled();
  assert.equal(jobs.executions.length, 1);
  assert.equal(jobs.heard.beats.at(-1), 'degraded');
});

test('what was delivered too often is a dead letter, and its attempt has failed', async () => {
  // What is asked for to see whether the store is there does answer.
  const broken = async (key: string): Promise<void> => {
    if (key !== 'probe') throw new Error('a defect');
  };
  await using jobs = await openJobs({ through: (bus) => withRecords(bus, broken) });
  await jobs.assign();
  for (let second = 0; second < 40; second++) {
    jobs.pass(1_000);
    // eslint-disable-next-line no-await-in-loop -- time goes by
    await settled();
  }
  assert.deepEqual(
    jobs.heard.results.map(({ error_code, attempt: number }) => [error_code, number]),
    [['DELIVERY_EXHAUSTED', 1]],
  );
  assert.equal((await jobs.bus.read(deadLetterStream, { fromSeq: 0, limit: 10 })).length, 1);
  assert.match(jobs.metrics.render(), /worker_deadletters_total\{reason="exhausted"\} 1\n/);
  assert.equal(await jobs.unacknowledged(), 0);
});

/** The bus, but with something in the way of whoever reads the records of jobs. */
function withRecords(bus: Bus, before: (key: string) => Promise<void>): Bus {
  return new Proxy(bus, {
    get(target, name: keyof Bus) {
      const value: unknown = target[name];
      if (name === 'openBucket') {
        return async (spec: { name: string }) => {
          const bucket = await target.openBucket(jobBucket.name === spec.name ? jobBucket : { ...spec, bytesMax: 1e6 });
          if (spec.name !== jobBucket.name) return bucket;
          return { get: (key: string) => before(key).then(() => bucket.get(key)) };
        };
      }
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}
