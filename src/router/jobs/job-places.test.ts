// What jobs take of `max_concurrent`, which bounds what runs of a policy at a time.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type DecideRequest } from '../../contracts/decide.ts';
import { attemptOutcome } from '../../contracts/outcome.ts';
import { at } from '../../contracts/contract.ts';
import { ManualClock } from '../../core/clock.ts';
import { Timers } from '../../core/timers.ts';
import type { Facts } from '../../policy/facts.ts';
import { builtInPolicy } from '../../policy/parse.ts';
import { Metrics } from '../../telemetry/metrics.ts';
import { RateLimits } from '../rate-limits.ts';
import { CORRELATION } from '../router-fixture.ts';
import { JobPlaces } from './job-places.ts';
import { begun } from './job-state.ts';
import { failure, jobRequestOf, openJobs, orderOf, rest } from './jobs-fixture.ts';

const limited = (max: number, more: object = {}, scope = 'policy') => ({
  providers: [{ name: 'alder', weight: 1 }],
  rate_limit: { enabled: true, scope, requests_per_second: 1_000, burst: 1_000, max_concurrent: max },
  ...more,
});

const INTERACTIVE: Partial<DecideRequest> = {
  stream: true,
  deliver_to: 'beamline.exec.v2.frames.gw.s1',
  dialect: 'openai.chat',
};

async function open(document: object = limited(1)) {
  const jobs = await openJobs(document);
  const order = (n: number, more: Partial<DecideRequest> = {}, job: Partial<NonNullable<DecideRequest['job']>> = {}) =>
    jobs.ask(orderOf({ request_id: `rq-${n}`, idempotency_key: `job_${n}`, ...more }, { ...job, id: `job_${n}` }));
  const { job: _, idempotency_key: __, ...bare } = orderOf(INTERACTIVE);
  const interact = (n: number) => jobs.ask({ ...bare, request_id: `ia-${n}` });
  return { ...jobs, order, interact };
}

test('as many jobs run as the policy allows; the others are accepted, wait, and go on in their order', async () => {
  const { start, order, orders, held, script, state, pass, stop } = await open(limited(2));
  await start();
  script.push('hold', 'hold', 'hold', 'hold');
  for (let n = 1; n <= 4; n++) assert.equal((await order(n)).ok, true); // eslint-disable-line no-await-in-loop -- in order
  await pass(3_000);
  assert.deepEqual(
    orders.map(({ request_id }) => request_id),
    ['rq-1', 'rq-2'],
  );
  assert.equal(await state('job_3'), undefined);
  await held[0]?.finish();
  await rest();
  assert.deepEqual(
    orders.map(({ request_id }) => request_id),
    ['rq-1', 'rq-2', 'rq-3'],
  );
  await held[1]?.finish();
  await held[2]?.finish();
  await pass(1_500);
  await held[3]?.finish();
  await rest();
  assert.deepEqual([orders.length, (await state('job_4'))?.status], [4, 'succeeded']);
  await stop();
});

test('a job that runs takes the place of a request, and one that waits for its next attempt does not', async () => {
  const backoff = { strategy: 'fixed', base_ms: 10_000, max_ms: 10_000, jitter: false };
  const { bus, start, order, interact, held, orders, script, state, pass, stop } = await open(
    limited(1, { fallbacks: [{ when: {}, retry: 3, to: 'alder', backoff }] }),
  );
  await start();
  script.push('hold');
  await order(1);
  assert.equal((await interact(1)).error?.code, 'quota_exceeded');
  await held[0]?.finish(failure('PROVIDER_UNAVAILABLE'));
  await pass(500);
  assert.equal((await state('job_1'))?.status, 'retry_wait');
  const { ok, assignment } = await interact(2);
  assert.equal(ok, true);
  await pass(12_000);
  assert.equal(orders.length, 1, 'the request has the place');
  const outcome = { attempt: 1, request_id: 'ia-2', tenant_id: 'acme', provider_id: 'alder', worker_id: 'w-1' };
  const of = { version: '2', latency_ms: 5, timestamp_ms: 1, state: 'succeeded', committed: false } as const;
  bus.publish(at(attemptOutcome), { ...of, ...outcome, assignment_id: assignment?.assignment_id ?? '' }, CORRELATION);
  await pass(1_500);
  assert.deepEqual([orders.length, (await state('job_1'))?.status], [2, 'succeeded']);
  await stop();
});

test('the outcome of an attempt frees its place before its result is there, and a lost one when it is due', async () => {
  const { bus, start, order, orders, script, pass, stop } = await open(limited(1, { timeout_ms: 5_000 }));
  await start();
  script.push('vanish', 'vanish');
  await order(1);
  await order(2);
  const of = { version: '2', latency_ms: 5, timestamp_ms: 1, state: 'failed', committed: false } as const;
  const [first] = orders;
  const { assignment_id = '', request_id = '', tenant_id = '' } = first ?? {};
  const who = { assignment_id, request_id, tenant_id, provider_id: 'alder', worker_id: 'w-1' };
  bus.publish(at(attemptOutcome), { ...of, ...who, attempt: 2 }, CORRELATION);
  await rest();
  assert.equal(orders.length, 1, 'that is of another attempt');
  bus.publish(at(attemptOutcome), { ...of, ...who, attempt: 1 }, CORRELATION);
  await rest();
  assert.deepEqual(
    orders.map(({ request_id: id }) => id),
    ['rq-1', 'rq-2'],
  );
  await order(3);
  await pass(3_000);
  assert.equal(orders.length, 2, 'the second has the place');
  await pass(80_000);
  assert.ok(orders.some(({ request_id: id }) => id === 'rq-3'));
  await stop();
});

test('a router that starts anew counts what runs already', async () => {
  const { start, order, interact, held, orders, script, pass, stop } = await open();
  const first = await start();
  script.push('hold', 'hold');
  await order(1);
  await order(2);
  await pass(500);
  const stopped = first[Symbol.asyncDispose]();
  await pass(500);
  await stopped;
  await start();
  await pass(2_000);
  assert.deepEqual([orders.length, (await interact(1)).error?.code], [1, 'quota_exceeded']);
  await held[0]?.finish();
  await rest();
  assert.deepEqual(
    orders.map(({ request_id }) => request_id),
    ['rq-1', 'rq-2'],
  );
  await stop();
});

test('who waits ends in time, by a cancel too, and holds up nobody behind it', async () => {
  const { start, order, control, held, orders, script, state, pass, stop } = await open();
  await start();
  script.push('hold');
  await order(1);
  await order(2);
  await order(3);
  await control('cancel', { job_id: 'job_2' });
  assert.equal((await state('job_2'))?.status, 'cancelled');
  await held[0]?.finish();
  await rest();
  assert.deepEqual(
    orders.map(({ request_id }) => request_id),
    ['rq-1', 'rq-3'],
  );
  script.push('vanish');
  await order(4);
  await order(5, {}, { expires_at_ms: 1_790_000_010_000 });
  await pass(15_000);
  assert.equal((await state('job_5'))?.status, 'timed_out');
  await stop();
});

test('each key has places of its own where the policy says so, and blocks need none', async () => {
  const { start, order, orders, script, stop } = await open(limited(1, {}, 'key'));
  await start();
  script.push('hold', 'hold', 'hold');
  await order(1);
  await order(2, { principal: { key_id: 'key_2' } });
  await order(3);
  await order(4, { task: { type: 'transform', payload: { a: 1 } } });
  assert.deepEqual(
    orders.map(({ request_id }) => request_id),
    ['rq-1', 'rq-2', 'rq-4'],
  );
  await stop();
});

test('among several routers only what was sent earlier under its own name is counted by one that starts', () => {
  const timers = new Timers(new ManualClock(1_790_000_000_000));
  const policy = builtInPolicy('default', [{ name: 'alder' }]);
  const rateLimit = { requestsPerSecond: 10, burst: 10, scope: 'policy', tokensPerMinute: undefined } as const;
  const limit = { policy: { ...policy, rateLimit: { ...rateLimit, maxConcurrent: 2 } }, facts: FACTS };
  const rateLimits = new RateLimits(new Metrics(), () => ({ count: 2, rank: 0 }));
  const planner = { limitOf: () => limit, outMs: () => 1_000 };
  const keeper = { look: () => undefined, wakeAt: () => undefined };
  const live = { hasRoom: () => true, begin: () => undefined, end: () => undefined };
  using places = new JobPlaces({ timers, routerId: 'r-1', planner, keeper, rateLimits, live });
  const isFree = (): boolean => {
    const place = rateLimits.place(limit.policy, FACTS, 0);
    place?.end(undefined);
    return place !== undefined;
  };
  const out = (router_id: string, published_at_ms: number) => {
    const request = jobRequestOf(1_789_999_990_000);
    const state = begun(request);
    const attempt = {
      attempt: 1,
      provider_id: 'alder',
      pool: 'default',
      reason: 'weighted',
      status: 'published',
    } as const;
    const attempts = [{ ...attempt, published_at_ms, due_at_ms: 1_790_000_005_000 }];
    return { request, state: { ...state, attempt: 1, attempts, history: { router_id } }, revision: 1 };
  };
  places.adopt(out('r-2', 1_789_999_999_000));
  places.adopt(out('r-1', 1_790_000_000_001));
  assert.equal(isFree(), true);
  places.adopt(out('r-1', 1_789_999_999_000));
  assert.equal(isFree(), false);
  places.leave(out('r-1', 0).request.assignment_id);
  assert.equal(isFree(), true);
  timers[Symbol.dispose]();
});

const FACTS: Facts = { tenantId: 'acme', requestId: 'rq-1', taskType: 'ai.chat', stream: false, context: {} };
