import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ExecAssignment, execCall } from '../../contracts/assignment.ts';
import { at } from '../../contracts/contract.ts';
import type { DecideRequest } from '../../contracts/decide.ts';
import { attemptOutcome } from '../../contracts/outcome.ts';
import { execResult } from '../../contracts/result.ts';
import { BeamlineError } from '../../core/errors.ts';
import { CORRELATION } from '../router-fixture.ts';
import { failure, type JobsOptions, openJobs, orderOf, rest } from './jobs-fixture.ts';

const POLICY = {
  providers: [
    { name: 'alder', weight: 1 },
    { name: 'birch', model: 'new-1' },
  ],
  fallbacks: [{ when: {}, retry: 1, to: 'alder' }],
  shadow: { to: 'birch', share: 100, max_in_flight: 2 },
};
const USAGE = { model: 'new-1', input_tokens: 3, output_tokens: 1, cost_micro_usd: 5 };

async function open(options: JobsOptions = {}, document: object = POLICY) {
  const jobs = await openJobs(document, options);
  const copies: ExecAssignment[] = [];
  jobs.bus.serve(at(execCall, { pool: 'default' }), {}, (copy) => {
    copies.push(copy);
    return { assignment_id: copy.assignment_id, status: 'accepted' as const, worker_id: 'w-2' };
  });
  /** How a copy ended, as its worker tells it. */
  const ended = async ({ assignment_id, request_id, tenant_id, executor, metadata = {} }: ExecAssignment) => {
    const { provider_id } = executor;
    const of = { assignment_id, attempt: 1, request_id, tenant_id, provider_id, worker_id: 'w-2', shadow: true };
    const outcome = { latency_ms: 5, timestamp_ms: 1, state: 'succeeded', committed: false } as const;
    jobs.bus.publish(at(attemptOutcome), { version: '2', ...of, ...outcome }, CORRELATION);
    const result = {
      status: 'success',
      output: 'of the copy',
      usage: USAGE,
      job: { type: 'ai.chat', metadata },
    } as const;
    const options = { messageId: `res:${assignment_id}`, timeoutMs: 1_000, correlation: CORRELATION };
    await jobs.bus.append(at(execResult), { version: '1', ...of, ...result }, options);
    await rest();
  };
  const order = (n: number, more: Partial<DecideRequest> = {}) =>
    jobs.ask(orderOf({ request_id: `rq-${n}`, idempotency_key: `k-${n}`, ...more }, { id: `job_${n}` }));
  return { ...jobs, copies, ended, order };
}

test('the first attempt of a job is copied as a call, and its retries are not', async () => {
  const { start, ask, orders, script, copies, pass, stop } = await open();
  await start();
  script.push(failure('PROVIDER_UNAVAILABLE'));
  await ask(orderOf());
  await pass(3_000);
  assert.deepEqual(
    orders.map(({ executor, shadow }) => [executor.provider_id, shadow]),
    [
      ['alder', undefined],
      ['alder', undefined],
    ],
  );
  const [copy] = copies;
  assert.deepEqual(
    copies.map(({ executor, shadow, stream, request_id }) => [
      executor.provider_id,
      executor.model,
      shadow,
      stream,
      request_id,
    ]),
    [['birch', 'new-1', true, false, 'rq-1']],
  );
  assert.deepEqual(copy?.job, orders[0]?.job);
  assert.notEqual(copy?.assignment_id, orders[0]?.assignment_id);
  assert.deepEqual([copy?.deliver_to, copy?.expires_at_ms, copy?.attempt], [undefined, undefined, 1]);
  await stop();
});

test('what a copy says is not the result of the job, and its usage is never billed', async () => {
  const { start, ask, held, script, copies, ended, state, usage, pass, stop } = await open();
  await start();
  script.push('hold');
  await ask(orderOf());
  const [copy] = copies;
  assert.ok(copy);
  await ended(copy);
  await pass(500);
  assert.deepEqual([(await state())?.status, (await state())?.cost_micro_usd], ['running', 0]);
  await held[0]?.finish({ output: 'of the job' });
  await rest();
  const over = await state();
  assert.deepEqual([over?.status, over?.result?.output, over?.attempts.length], ['succeeded', 'of the job', 1]);
  assert.deepEqual(
    (await usage()).map(({ provider_id, shadow, billable, cost_micro_usd }) => [
      provider_id,
      shadow,
      billable,
      cost_micro_usd,
    ]),
    [
      ['birch', true, false, 5],
      ['alder', undefined, true, 7],
    ],
  );
  await stop();
});

test('copies of jobs are bounded as those of requests, and one that ended makes room', async () => {
  const { start, order, copies, ended, orders, stop } = await open();
  await start();
  for (let n = 0; n < 4; n++) await order(n); // eslint-disable-line no-await-in-loop -- one after the other
  assert.deepEqual([orders.length, copies.length], [4, 2]);
  const [copy] = copies;
  assert.ok(copy);
  await ended(copy);
  await order(5);
  assert.equal(copies.length, 3);
  await stop();
});

test('blocks, payloads that are kept elsewhere and jobs of who may not ask a model are not copied', async () => {
  const { start, order, orders, copies, stop } = await open();
  await start();
  await order(1, { task: { type: 'transform', payload: { a: 1 } } });
  await order(2, { task: { type: 'ai.chat', model: 'small', payload_ref: 'blob://acme/1' } });
  await order(3, { principal: { key_id: 'key_1', scopes: ['jobs:write'] } });
  assert.deepEqual([orders.length, copies.length], [3, 0]);
  await order(4, { principal: { key_id: 'key_1', scopes: ['ai:invoke'] } });
  assert.equal(copies.length, 1);
  await stop();
});

test('a job that is sent again, because its state could not be written, is copied once', async () => {
  const { bus, start, ask, orders, copies, script, pass, state, stop } = await open();
  let failures = 1;
  const openBucket = bus.openBucket.bind(bus);
  bus.openBucket = async (spec) => {
    const bucket = await openBucket(spec);
    const update = bucket.update.bind(bucket);
    bucket.update = async (key, value, revision) => {
      if (key.endsWith('.state') && failures-- > 0) throw new BeamlineError('unavailable', 'away for a moment');
      return update(key, value, revision);
    };
    return bucket;
  };
  await start();
  script.push('hold');
  await ask(orderOf());
  await pass(5_000);
  assert.ok(failures <= 0);
  assert.deepEqual([orders.length, copies.length, (await state())?.attempts.length], [1, 1, 1]);
  await stop();
});
