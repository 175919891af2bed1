import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openMemoryBus } from '../../bus/memory.ts';
import { type Budget, budgetBucket, budgetEntry, budgetEntryKeys } from '../../contracts/budget.ts';
import { jobBucket } from '../../contracts/job.ts';
import { systemClock } from '../../core/clock.ts';
import { BeamlineError } from '../../core/errors.ts';
import { Timers } from '../../core/timers.ts';
import { BudgetDefinitions } from '../../limit/budget-definitions.ts';
import { Budgets } from '../../limit/budgets.ts';
import { openLog } from '../../telemetry/log.ts';
import { Metrics } from '../../telemetry/metrics.ts';
import { until } from '../edge-fixture.ts';
import { budgetedJobs } from './budgeted-jobs.ts';
import { newJobId } from './job-id.ts';
import { openJobRouter } from './job-router-fixture.ts';
import { JobWatch } from './job-watch.ts';
import { type JobDecide, submitOver } from './submit-job.ts';

const LIMIT = 100;
const COST = 40;
const budget: Budget = {
  id: 'jobs',
  tenant_id: 'acme',
  scope: 'tenant',
  subject: '-',
  unit: 'micro_usd',
  limit: LIMIT,
  window: 'total',
  action: 'block',
  warn_at: 1,
};

async function open(defined: Budget = budget) {
  const timers = new Timers(systemClock, { tickMs: 5 });
  const telemetry = { log: openLog('silent', { write: () => undefined }), metrics: new Metrics() };
  const bus = openMemoryBus({ timers, telemetry });
  const router = await openJobRouter(bus, systemClock);
  const [jobs, bucket] = await Promise.all([bus.openBucket(jobBucket), bus.openBucket(budgetBucket)]);
  const watch = new JobWatch({ jobs, timers, log: telemetry.log });
  const definitions = new BudgetDefinitions([defined]);
  const gateway = (holder: string) => {
    const budgets = new Budgets({ bucket, timers, telemetry, holder, definitions });
    const deps = { budgets, estimate: () => ({ micro_usd: COST, tokens: 9, requests: 1 }), jobs, watch, timers };
    const budgeted = budgetedJobs(deps, submitOver({ bus, jobs, timers, decideTimeoutMs: 300 }));
    return { budgets, budgeted, submit: budgeted.submit };
  };
  /** What is left for others, by a gateway that has nothing. */
  const free = async (): Promise<number> => {
    let held = 0;
    for (const { value } of await bucket.entries(budgetEntryKeys)) {
      const entry: unknown = JSON.parse(value);
      assert.ok(budgetEntry.check(entry));
      for (const { amount } of Object.values(entry.leases)) held += amount;
    }
    return LIMIT - held;
  };
  return {
    router,
    gateway,
    free,
    async [Symbol.asyncDispose]() {
      await watch[Symbol.asyncDispose]();
      await router[Symbol.asyncDispose]();
      await bus.drain();
      timers[Symbol.dispose]();
    },
  };
}

function jobOf(id = newJobId(systemClock), tags?: string[]): JobDecide {
  return {
    version: '2',
    request_id: id,
    tenant_id: 'acme',
    push_assignment: true,
    idempotency_key: id,
    task: { type: 'ai.chat', model: 'small', payload: { messages: [] } },
    job: { id, expires_at_ms: systemClock.epochMs() + 600_000, ...(tags && { tags }) },
  };
}

const HOW = { deadlineMs: 2_000, isAbandoned: () => false };
const codeOf = (asked: Promise<unknown>): Promise<string> =>
  asked.then(
    () => 'accepted',
    (fault: unknown) => BeamlineError.from(fault).code,
  );

test('a job holds its reservation until it has ended, and then what it took', async () => {
  await using world = await open();
  const { router, gateway, free } = world;
  const { submit, budgets } = gateway('gw-1');
  const one = jobOf();
  const [first, second, third] = [one, jobOf(), jobOf()].map((job) => codeOf(submit(job, HOW)));
  assert.deepEqual([await first, await second, await third], ['accepted', 'accepted', 'budget_exceeded']);
  assert.equal(router.asked.length, 2, 'what is refused never reaches a router');
  await router.move('acme', one.job.id, 'running', { attempt: 1 });
  assert.equal(await codeOf(submit(jobOf(), HOW)), 'budget_exceeded');
  await router.move('acme', one.job.id, 'succeeded', { attempt: 1, cost_micro_usd: 15 });
  // 15 are spent, 40 open: there is room for one more of 40.
  let last = 'budget_exceeded';
  while (last !== 'accepted') last = await codeOf(submit(jobOf(), HOW));
  assert.equal(await codeOf(submit(jobOf(), HOW)), 'budget_exceeded');
  await budgets[Symbol.asyncDispose]();
  assert.equal(await free(), LIMIT - 15 - COST - COST);
});

test('a job that is refused, or cancelled before it began, leaves nothing reserved', async () => {
  await using world = await open();
  const { router, gateway, free } = world;
  const { submit, budgets, budgeted } = gateway('gw-1');
  router.moods.push(new BeamlineError('policy_not_found', 'no'));
  assert.equal(await codeOf(submit(jobOf(), HOW)), 'policy_not_found');
  const job = jobOf();
  assert.equal(await codeOf(submit(job, HOW)), 'accepted');
  await router.move('acme', job.job.id, 'cancelled');
  await until(() => budgeted.held === 0);
  await budgets[Symbol.asyncDispose]();
  assert.equal(await free(), LIMIT);
});

test('repeats of one job reserve once, here and at another gateway', async () => {
  await using world = await open();
  const { gateway, free } = world;
  const [one, other] = [gateway('gw-1'), gateway('gw-2')];
  const job = jobOf();
  assert.equal(await codeOf(one.submit(job, HOW)), 'accepted');
  const repeats = [one, one, other].map(({ submit }) => codeOf(submit(job, HOW)));
  assert.deepEqual(new Set(await Promise.all(repeats)), new Set(['accepted']));
  assert.deepEqual([one.budgeted.held, other.budgeted.held], [1, 0]);
  for (const { budgets } of [one, other]) await budgets[Symbol.asyncDispose]();
  assert.equal(await free(), LIMIT - COST);
});

test('a job of which nobody knows whether it was accepted is held as if it were', async () => {
  await using world = await open();
  const { router, gateway } = world;
  const { submit, budgeted } = gateway('gw-1');
  router.moods.push('silent', 'silent');
  assert.equal(await codeOf(submit(jobOf(), { ...HOW, deadlineMs: 400 })), 'timeout');
  assert.equal(budgeted.held, 1);
  budgeted[Symbol.dispose]();
});

test('a gateway that dies leaves a lease until the job would have expired, and no longer', async () => {
  await using world = await open();
  const { gateway, free } = world;
  const dead = gateway('gw-1');
  const job = jobOf();
  assert.equal(await codeOf(dead.submit(job, HOW)), 'accepted');
  // Nobody tends it any more; the one that follows it reserves beside it, and repeats reserve nothing.
  const next = gateway('gw-2');
  assert.equal(await codeOf(next.submit(job, HOW)), 'accepted');
  assert.equal(await codeOf(next.submit(jobOf(), HOW)), 'accepted');
  assert.equal(await codeOf(next.submit(jobOf(), HOW)), 'budget_exceeded');
  assert.ok((await free()) <= LIMIT - 2 * COST);
});

const byTag: Budget = { ...budget, id: 'tags', scope: 'tag', subject: '*' };
const tagged = (...tags: string[]): JobDecide => jobOf(undefined, tags);

test('a job reserves for each of its tags once, and for those alone that usage is counted by', async () => {
  await using world = await open(byTag);
  const { gateway } = world;
  const [one, other] = [gateway('gw-1'), gateway('gw-2')];
  const ask = ({ submit }: typeof one, ...tags: string[]) => codeOf(submit(tagged(...tags), HOW));
  assert.equal(await ask(one, 'batch', 'batch', 'two words'), 'accepted');
  assert.equal(await ask(other, 'batch', 'night'), 'accepted');
  assert.equal(await ask(other, 'night', 'batch'), 'budget_exceeded');
  assert.equal(await ask(other, 'night'), 'accepted');
  assert.equal(await ask(other, 'night'), 'budget_exceeded');
  for (let n = 0; n < 3; n++) assert.equal(await ask(one, 'two words'), 'accepted', 'it is no tag of usage');
  assert.equal(await codeOf(one.submit(jobOf(), HOW)), 'accepted', 'without a tag nothing is reserved');
});

test('what a tagged job did not take is free when it has ended, and what a dead gateway held for it is not', async () => {
  await using world = await open({ ...byTag, subject: 'batch' });
  const { router, gateway, free } = world;
  const dead = gateway('gw-1');
  const job = tagged('batch', 'other');
  assert.equal(await codeOf(dead.submit(job, HOW)), 'accepted');
  const next = gateway('gw-2');
  const second = tagged('batch');
  assert.equal(await codeOf(next.submit(second, HOW)), 'accepted');
  assert.equal(await codeOf(next.submit(tagged('batch'), HOW)), 'budget_exceeded');
  await router.move('acme', second.job.id, 'running', { attempt: 1 });
  await router.move('acme', second.job.id, 'succeeded', { attempt: 1, cost_micro_usd: 15 });
  await until(() => next.budgeted.held === 0);
  await next.budgets[Symbol.asyncDispose]();
  assert.equal(await free(), LIMIT - COST - 15);
});
