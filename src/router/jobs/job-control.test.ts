import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assignmentIdOf, jobKey } from '../../contracts/job.ts';
import { JOB_OPERATIONS } from '../../contracts/job-control.ts';
import { failure, JOB_ID, openJobs, orderOf, rest } from './jobs-fixture.ts';

const WAITS = {
  weights: { alder: 1 },
  fallbacks: [
    { when: { status: '5xx' }, retry: 3, to: 'alder', backoff: { strategy: 'fixed', base_ms: 10_000, jitter: false } },
  ],
};
const DOWN = failure('PROVIDER_UNAVAILABLE', { error: { class: 'unavailable', retryable: true, http_status: 503 } });
const RUN_AT = { run_at_ms: 1_790_000_060_000 };
const QUESTION = { type: 'human.approval', payload: { title: 'Pay?', approvers: ['key:key_2'] } };

type Opened = Awaited<ReturnType<typeof openJobs>>;

// Where no attempt is out a cancel is the end.
const IDLE: readonly (readonly [string, (opened: Opened) => Promise<unknown>])[] = [
  ['waits for its moment', ({ ask }) => ask(orderOf({}, RUN_AT))],
  ['waits for people', ({ ask }) => ask(orderOf({ task: QUESTION }))],
  [
    'waits for another try',
    ({ ask, script }) => {
      script.push(DOWN);
      return ask(orderOf());
    },
  ],
];

for (const [where, prepare] of IDLE) {
  test(`a job that ${where} is cancelled at once, and never runs again`, async () => {
    const opened = await openJobs(WAITS);
    const { start, control, state, orders, cancels, open, pass, stop } = opened;
    await start();
    await prepare(opened);
    const { ok, status, changed } = await control('cancel');
    assert.deepEqual([ok, status, changed], [true, 'cancelled', true]);
    const again = await control('cancel');
    assert.deepEqual([again.ok, again.status, again.changed], [true, 'cancelled', false]);
    const before = orders.length;
    await pass(90_000);
    assert.deepEqual([orders.length, cancels.length, await open()], [before, 0, 0]);
    assert.equal((await state())?.error?.code, 'cancelled');
    await stop();
  });
}

test('an attempt that is out is told to stop, and its own end is the end of the job', async () => {
  const { start, ask, script, held, control, state, cancels, pass, stop } = await openJobs();
  await start();
  script.push('hold');
  await ask(orderOf());
  await pass(500);
  const asked = await control('cancel');
  assert.deepEqual([asked.status, asked.changed], ['running', true]);
  assert.deepEqual(
    cancels.map(({ attempt, reason }) => [attempt, reason]),
    [[1, 'client_cancel']],
  );
  await held[0]?.finish(failure('CANCELLED_BY_USER', { status: 'cancelled' }));
  await rest();
  assert.deepEqual([(await state())?.status, (await state())?.cost_micro_usd], ['cancelled', 7]);
  await stop();
});

test('a cancel that comes before the worker took the attempt is asked of whoever will', async () => {
  const { start, ask, control, state, cancels, stop } = await openJobs(undefined, { hasWorker: false });
  await start();
  await ask(orderOf());
  const asked = await control('cancel');
  assert.deepEqual([asked.status, cancels.length], ['queued', 1]);
  assert.equal((await state())?.cancel?.reason, 'client_cancel');
  await stop();
});

test('a job that has ended cannot be cancelled', async () => {
  const { start, ask, control, stop } = await openJobs();
  await start();
  await ask(orderOf());
  const { error } = await control('cancel');
  assert.deepEqual([error?.code, error?.details], ['conflict', { status: 'succeeded' }]);
  await stop();
});

test('metadata and tags are replaced, before the first attempt and after the end', async () => {
  const { start, ask, control, state, pass, stop } = await openJobs();
  await start();
  await ask(orderOf({ metadata: { a: 1 } }, RUN_AT));
  assert.equal((await control('annotate', { tags: ['x'] })).status, 'queued');
  await pass(61_000);
  assert.deepEqual([(await state())?.status, (await state())?.tags], ['succeeded', ['x']]);
  await control('annotate', { metadata: { b: 2 } });
  const { metadata, tags, status, transitions } = (await state()) ?? {};
  assert.deepEqual([metadata, tags, status, transitions?.length], [{ b: 2 }, ['x'], 'succeeded', 2]);
  await stop();
});

test('a job that has ended can be deleted; what it was is gone, and its key stays used', async () => {
  const { bucket, start, ask, script, held, control, state, orders, stop } = await openJobs();
  await start();
  script.push('hold');
  await ask(orderOf());
  assert.equal((await control('delete')).error?.code, 'conflict');
  await held[0]?.finish({ output: 'secret' });
  await rest();
  assert.equal((await control('delete')).ok, true);
  assert.equal(await bucket.get(jobKey('acme', assignmentIdOf('acme', JOB_ID), 'req')), undefined);
  assert.equal((await state())?.result, undefined);
  for (const op of JOB_OPERATIONS) {
    const { error } = await control(op, { option: 'approve', principal: { key_id: 'key_2' } });
    assert.equal(error?.code, 'not_found');
  }
  assert.equal((await ask(orderOf())).error?.code, 'idempotency_conflict');
  assert.equal(orders.length, 1);
  await stop();
});

for (const op of JOB_OPERATIONS) {
  test(`to ${op} the job of another tenant is to find nothing`, async () => {
    const { start, ask, control, state, stop } = await openJobs();
    await start();
    await ask(orderOf({ task: QUESTION }));
    const before = await state();
    const { error } = await control(op, { tenant_id: 'umbra', option: 'approve', principal: { key_id: 'key_2' } });
    assert.equal(error?.code, 'not_found');
    assert.deepEqual(await state(), before);
    await stop();
  });
}
