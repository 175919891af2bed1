// What jobs take of `max_in_flight`, which bounds what runs at a provider at a time.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type DecideRequest } from '../../contracts/decide.ts';
import { attemptOutcome } from '../../contracts/outcome.ts';
import { at } from '../../contracts/contract.ts';
import { ManualClock } from '../../core/clock.ts';
import { Timers } from '../../core/timers.ts';
import { CORRELATION } from '../router-fixture.ts';
import { JobFlights } from './job-flights.ts';
import { begun, published } from './job-state.ts';
import { failure, jobRequestOf, openJobs, orderOf, rest, START_MS } from './jobs-fixture.ts';

const bounded = (max: number, more: object = {}) => ({
  providers: [{ name: 'alder', weight: 1, max_in_flight: max }],
  ...more,
});

async function open(document: object = bounded(1)) {
  const jobs = await openJobs(document);
  const order = (n: number, more: Partial<DecideRequest> = {}) =>
    jobs.ask(orderOf({ request_id: `rq-${n}`, idempotency_key: `job_${n}`, ...more }, { id: `job_${n}` }));
  const sent = (): readonly string[] => jobs.orders.map(({ request_id: id }) => id ?? '');
  return { ...jobs, order, sent };
}

test('as many attempts run at a provider as it may have; the other jobs wait, and go on in their order', async () => {
  const { start, order, sent, held, script, state, pass, stop } = await open(bounded(2));
  await start();
  script.push('hold', 'hold', 'hold', 'hold');
  // All are accepted, and decided, while nothing runs yet.
  await Promise.all([1, 2, 3, 4].map((n) => order(n)));
  await pass(2_000);
  assert.deepEqual(sent(), ['rq-1', 'rq-2']);
  await held[0]?.finish();
  await rest();
  assert.deepEqual(sent(), ['rq-1', 'rq-2', 'rq-3']);
  await held[1]?.finish();
  await held[2]?.finish();
  await pass(1_500);
  await held[3]?.finish();
  await rest();
  assert.deepEqual([sent().length, (await state('job_4'))?.status], [4, 'succeeded']);
  await stop();
});

test('a job takes the place of a request, and goes elsewhere where another provider has one', async () => {
  const { start, ask, order, orders, held, script, pass, stop } = await open({
    providers: [
      { name: 'alder', priority: 9, weight: 1, max_in_flight: 1 },
      { name: 'birch', weight: 1, max_in_flight: 1 },
    ],
    strategy: 'priority',
  });
  await start();
  script.push('hold', 'hold', 'hold');
  await Promise.all([1, 2, 3].map((n) => order(n)));
  await pass(2_000);
  assert.deepEqual(
    orders.map(({ executor }) => executor.provider_id),
    ['alder', 'birch'],
  );
  const { job: _, idempotency_key: __, ...bare } = orderOf({ stream: true, dialect: 'openai.chat' });
  const interact = () =>
    ask({ ...bare, request_id: 'ia-1', push_assignment: false, deliver_to: 'beamline.exec.v2.frames.gw.s1' });
  assert.equal((await interact()).error?.code, 'no_provider_available');
  await held[1]?.finish();
  await pass(500);
  assert.deepEqual(
    orders.map(({ executor }) => executor.provider_id),
    ['alder', 'birch', 'birch'],
  );
  await stop();
});

test('a job that waits for its next attempt has no place, and takes one for it', async () => {
  const backoff = { strategy: 'fixed', base_ms: 10_000, max_ms: 10_000, jitter: false };
  const { start, order, sent, held, script, state, pass, stop } = await open(
    bounded(1, { fallbacks: [{ when: {}, retry: 3, to: 'alder', backoff }] }),
  );
  await start();
  script.push('hold', 'hold', 'hold');
  await order(1);
  await held[0]?.finish(failure('PROVIDER_UNAVAILABLE'));
  await pass(500);
  assert.equal((await state('job_1'))?.status, 'retry_wait');
  await order(2);
  await pass(12_000);
  assert.deepEqual(sent(), ['rq-1', 'rq-2'], 'the second job has the place');
  await held[1]?.finish();
  await pass(1_500);
  assert.deepEqual(sent(), ['rq-1', 'rq-2', 'rq-1']);
  await stop();
});

test('the outcome of an attempt frees its place before its result is there', async () => {
  const { bus, start, order, orders, sent, script, pass, stop } = await open();
  await start();
  script.push('vanish', 'vanish');
  await order(1);
  assert.equal((await order(2)).decision?.provider_id, 'alder', 'it is accepted, and waits');
  await pass(500);
  assert.deepEqual(sent(), ['rq-1']);
  const [first] = orders;
  const { assignment_id = '', request_id = '', tenant_id = '' } = first ?? {};
  const who = { assignment_id, request_id, tenant_id, provider_id: 'alder', worker_id: 'w-1', attempt: 1 };
  const of = { version: '2', latency_ms: 5, timestamp_ms: 1, state: 'failed', committed: false } as const;
  bus.publish(at(attemptOutcome), { ...of, ...who }, CORRELATION);
  await rest();
  assert.deepEqual(sent(), ['rq-1', 'rq-2']);
  await stop();
});

test('a router that starts anew counts what runs already, and blocks need no place', async () => {
  const { start, order, sent, held, script, pass, stop } = await open();
  const first = await start();
  script.push('hold', 'hold', 'hold');
  await order(1);
  await order(2);
  await pass(500);
  const stopped = first[Symbol.asyncDispose]();
  await pass(500);
  await stopped;
  await start();
  await pass(2_000);
  await order(3, { task: { type: 'transform', payload: { a: 1 } } });
  await pass(6_000);
  assert.deepEqual(sent(), ['rq-1', 'rq-3']);
  await held[0]?.finish();
  await rest();
  assert.deepEqual(sent(), ['rq-1', 'rq-3', 'rq-2']);
  await stop();
});

test('an attempt is counted once, and let go once, whoever tells its end', () => {
  const timers = new Timers(new ManualClock(START_MS));
  const counts: number[] = [];
  const live = { hasRoom: () => true, begin: () => void counts.push(1), end: () => void counts.push(-1) };
  const keeper = { look: () => undefined, wakeAt: () => undefined };
  using flights = new JobFlights({ timers, keeper, live });
  const job = foundJob();
  const id = job.request.assignment_id;
  flights.adopt(job);
  flights.adopt(job);
  flights.ended(id, 0);
  assert.deepEqual(counts, [1]);
  flights.ended(id, 2);
  flights.leave(id);
  assert.deepEqual(counts, [1, -1]);
  flights.adopt(job);
  flights.keepOnly(new Set());
  assert.deepEqual(counts, [1, -1, 1, -1]);
  timers[Symbol.dispose]();
});

function foundJob() {
  const request = jobRequestOf(START_MS);
  const out = { attempt: 1, providerId: 'alder', model: undefined, pool: 'default', reason: 'weighted' };
  const of = { ...out, storedSeq: undefined, dueAtMs: START_MS + 5_000, policy: undefined, history: undefined };
  return { request, state: published(begun(request), of, START_MS), revision: 1 };
}
