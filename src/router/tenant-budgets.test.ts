import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Bus } from '../bus/bus.ts';
import { openPriceBook } from '../catalog/price-book.ts';
import { type Budget, budgetBucket, budgetEntry, budgetEntryKeys, definitionKey } from '../contracts/budget.ts';
import { openMemoryBus } from '../bus/memory.ts';
import { ManualClock } from '../core/clock.ts';
import { BeamlineError } from '../core/errors.ts';
import { Timers } from '../core/timers.ts';
import { NO_AMOUNTS, type Reservation } from '../limit/budgets.ts';
import { openLog } from '../telemetry/log.ts';
import { Metrics } from '../telemetry/metrics.ts';
import { until } from '../../test/until.ts';
import { AttemptHolds } from './attempt-holds.ts';
import { RequestBudgets } from './request-budgets.ts';
import { TenantBudgets } from './tenant-budgets.ts';
import { failure, openJobs, orderOf, rest } from './jobs/jobs-fixture.ts';
import { openRouter, settled } from './router-fixture.ts';

/** One micro-USD for an output token of alder, ten of birch, nothing known of cedar. */
const prices = openPriceBook([
  { provider: 'alder', model: 'small', prices: { input: 0, output: 1_000_000 } },
  { provider: 'birch', model: 'small', prices: { input: 0, output: 10_000_000 } },
]);
/** Costs 100 at alder and 1000 at birch. */
const HUNDRED = { estimate: { input_tokens: 0, max_output_tokens: 100 } };
const IN_A_MONTH_MS = Date.UTC(2026, 9, 1) - 1_790_000_000_000;
/** Alder, then birch, then cedar. */
const IN_ORDER = {
  strategy: 'priority',
  providers: ['alder', 'birch', 'cedar'].map((name, n) => ({ name, weight: 1, priority: 9 - n })),
};
const ALDER = { providers: [{ name: 'alder', weight: 1 }] };
const TAGGING = JSON.parse('[{"id":"r","when":"true","then":{"tag":"long"}}]') as object[];

const CHOSEN = { name: 'alder', model: undefined };
const FACTS = { tenantId: 'acme', requestId: 'r', taskType: 'ai.chat', stream: false, context: {} };

const budgetOf = (limit: number, more: Partial<Budget> = {}): Budget => ({
  id: 'b',
  tenant_id: 'acme',
  scope: 'provider',
  subject: 'alder',
  unit: 'micro_usd',
  limit,
  window: 'month',
  action: 'block',
  warn_at: 1,
  ...more,
});

const open = (document: object, ...budgets: readonly Budget[]) => openRouter(document, { prices, budgets });

/** What processes hold, by who spends. */
async function heldIn(bus: Bus): Promise<Readonly<Record<string, number>>> {
  const bucket = await bus.openBucket(budgetBucket);
  const held: Record<string, number> = {};
  for (const { value } of await bucket.entries(budgetEntryKeys)) {
    const entry: unknown = JSON.parse(value);
    assert.ok(budgetEntry.check(entry));
    held[entry.subject] = Object.values(entry.leases).reduce((sum, { amount }) => sum + amount, 0);
  }
  return held;
}

test('a provider whose budget is spent is left out; without another one the request is refused until the window ends', async () => {
  const { decide, outcome, providers, stop } = await open(
    IN_ORDER,
    budgetOf(250),
    budgetOf(0, { id: 'c', subject: 'birch' }),
  );
  for (let n = 0; n < 3; n++) assert.equal((await decide(HUNDRED)).ok, true);
  assert.deepEqual(providers(), ['alder', 'alder', 'cedar']);
  await outcome({ state: 'succeeded' });
  await stop();
  const alone = await open(ALDER, budgetOf(50));
  const { error } = await alone.decide({ ...HUNDRED, options: { explain: 'detailed' } });
  assert.deepEqual([error?.code, error?.retry_after_ms], ['budget_exceeded', IN_A_MONTH_MS]);
  assert.deepEqual([error?.details?.['budget'], error?.details?.['scope']], ['b', 'provider']);
  assert.equal(alone.heard.pushed.length, 0);
  await alone.stop();
});

test('what an attempt did not take is free at once, and what nobody told counts as it was estimated', async () => {
  const { decide, outcome, stop } = await open(ALDER, budgetOf(210));
  const codes = async (count: number): Promise<readonly (string | undefined)[]> => {
    const told: (string | undefined)[] = [];
    // eslint-disable-next-line no-await-in-loop -- one after the other
    for (let n = 0; n < count; n++) told.push((await decide(HUNDRED)).error?.code);
    return told;
  };
  assert.deepEqual(await codes(3), [undefined, undefined, 'budget_exceeded']);
  await outcome({ state: 'succeeded', output_tokens: 10 });
  assert.deepEqual(await codes(2), [undefined, 'budget_exceeded']);
  await outcome({ state: 'cancelled' });
  assert.deepEqual(await codes(1), ['budget_exceeded']);
  await stop();
});

test('tokens and requests are counted too, and what names no maximum holds what the gateway would', async () => {
  const tokens = await open(ALDER, budgetOf(250, { unit: 'tokens', subject: '*' }));
  const ask = async () => (await tokens.decide({ estimate: { input_tokens: 20 } })).ok;
  assert.deepEqual([await ask(), await ask(), await ask()], [true, true, false]);
  await tokens.outcome({ state: 'succeeded', output_tokens: 0 });
  assert.equal(await ask(), false);
  await tokens.stop();
  const requests = await open(IN_ORDER, budgetOf(1, { unit: 'requests', subject: '*' }));
  for (let n = 0; n < 3; n++) await requests.decide(HUNDRED);
  assert.deepEqual(requests.providers(), ['alder', 'birch', 'cedar']);
  assert.equal((await requests.decide(HUNDRED)).error?.code, 'budget_exceeded');
  await requests.stop();
});

test('a budget that warns lets pass; another tenant, another scope and a policy of its own are not held by it', async () => {
  const tenant = budgetOf(0, { id: 't', scope: 'tenant', subject: '-' });
  const { decide, bus, stop } = await open(
    { ...ALDER, budgets: [{ id: 'month', limit_micro_usd: 100 }] },
    budgetOf(0, { action: 'warn' }),
    budgetOf(0, { tenant_id: 'umbra' }),
    budgetOf(0, { id: 'other', subject: 'birch' }),
    tenant,
  );
  assert.equal((await decide(HUNDRED)).ok, true);
  assert.equal((await decide(HUNDRED)).error?.details?.['budget'], 'month', 'the budget of the policy');
  assert.deepEqual(await heldIn(bus), { test: 100 });
  await stop();
});

test('a failed attempt is followed by one that its provider has a budget for; the same one is held for anew', async () => {
  const fallbacks = [
    { when: { status: 'provider_error' }, retry: 1, to: 'birch', backoff: { base_ms: 10 } },
    { when: {}, to: 'cedar' },
  ];
  const run = async (limit: number): Promise<readonly string[]> => {
    const world = await open(
      {
        ...ALDER,
        providers: [...ALDER.providers, { name: 'birch', weight: 0 }, { name: 'cedar', weight: 0 }],
        fallbacks,
      },
      budgetOf(limit, { subject: '*' }),
    );
    await world.decide(HUNDRED);
    for (let n = 0; n < 3; n++) {
      await world.fail('PROVIDER_ERROR', { class: 'unavailable' });
      for (let turn = 0; turn < 4; turn++) await world.pass(500);
    }
    await world.stop();
    return world.providers();
  };
  assert.deepEqual(await run(10_000), ['alder', 'alder', 'birch', 'birch']);
  // What the first one took nobody told, so there is nothing left for it at alder, and too little at birch.
  assert.deepEqual(await run(150), ['alder', 'cedar', 'cedar', 'cedar']);
});

test('a repeat after a worker that was lost is held for, and one that nobody took holds what it held', async () => {
  const world = await open(ALDER, budgetOf(150));
  const { decide, script, beat, heard, pass, bus, stop } = world;
  script.push({ status: 'rejected', reason: 'queue_full' });
  beat('w-1');
  await decide(HUNDRED);
  await settled();
  assert.deepEqual([heard.pushed.length, (await heldIn(bus))['alder']], [2, 100]);
  for (let n = 0; n < 4; n++) await pass(2_000);
  assert.equal(heard.pushed.length, 2, 'there is no room for what a third may take');
  assert.equal(heard.frames.filter(({ type }) => type === 'error').length, 1);
  await stop();
});

test('a tag that a rule adds is held for, whatever the provider', async () => {
  const { decide, providers, stop } = await open(
    { ...IN_ORDER, rules: TAGGING },
    budgetOf(250, { scope: 'tag', subject: '*' }),
  );
  assert.deepEqual([(await decide(HUNDRED)).ok, (await decide(HUNDRED)).ok], [true, true]);
  const { error } = await decide(HUNDRED);
  assert.deepEqual([error?.code, error?.details?.['scope']], ['budget_exceeded', 'tag']);
  assert.equal((await decide({ ...HUNDRED, policy_id: 'default' })).ok, true, 'it has no such rule');
  assert.deepEqual(providers().slice(0, 2), ['alder', 'alder']);
  await stop();
});

test('two routers at the edge admit what the limit allows, and nothing stays held after they have drained', async () => {
  const { bus, decide, join, heard, stop } = await open(ALDER, budgetOf(5_000));
  await join();
  const answers = await Promise.all(Array.from({ length: 200 }, () => decide(HUNDRED)));
  const admitted = answers.filter(({ ok }) => ok).length;
  assert.ok(admitted >= 40 && admitted <= 50, `${admitted} admitted`);
  assert.equal(heard.pushed.length, admitted);
  assert.deepEqual(new Set(answers.flatMap(({ error }) => error?.code ?? [])), new Set(['budget_exceeded']));
  assert.ok(((await heldIn(bus))['alder'] ?? 0) <= 5_000);
  await stop();
});

test('a budget that is made, changed or deleted while routers run holds for the next request, and for one that starts', async () => {
  const { bus, decide, join, stop } = await open(ALDER);
  const bucket = await bus.openBucket(budgetBucket);
  const put = (budget: Budget) => bucket.put(definitionKey(budget), JSON.stringify(budget));
  const isRefused = async () => (await decide(HUNDRED)).error?.code === 'budget_exceeded';
  assert.equal(await isRefused(), false);
  await put(budgetOf(50));
  await until('it is heard of', isRefused);
  await join();
  for (let n = 0; n < 8; n++) assert.equal(await isRefused(), true);
  await put(budgetOf(50, { scope: 'tenant', subject: '-' }));
  await until('it is about others', async () => !(await isRefused()));
  await put(budgetOf(50));
  await until('it is back', isRefused);
  await bucket.delete(definitionKey(budgetOf(50)));
  await until('it is gone', async () => !(await isRefused()));
  await stop();
});

test('a request of a tenant without such a budget waits for none, and dry runs and plain decisions hold nothing', async () => {
  const { bus, decide, heard, stop } = await open(
    ALDER,
    budgetOf(100),
    budgetOf(0, { tenant_id: 'umbra', subject: 'birch' }),
  );
  await decide({ ...HUNDRED, options: { dry_run: true } });
  await decide({ ...HUNDRED, push_assignment: false });
  assert.deepEqual([await heldIn(bus), heard.pushed.length], [{}, 0]);
  await stop();
});

test('a router that starts knows the budgets that there are', async () => {
  using timers = new Timers(new ManualClock(1_790_000_000_000));
  const telemetry = { log: openLog('silent', { write: () => undefined }), metrics: new Metrics() };
  await using bus = openMemoryBus({ timers, telemetry });
  const bucket = await bus.openBucket(budgetBucket);
  for (const budget of [budgetOf(1), budgetOf(1, { tenant_id: 'umbra', scope: 'key' })]) {
    await bucket.put(definitionKey(budget), JSON.stringify(budget));
  }
  const deps = { bus, timers, telemetry, holder: 'r-1', configured: [], outputTokens: 1 };
  await using tenants = await TenantBudgets.open(deps);
  const isAbout = (tenantId: string) => tenants.of({ ...FACTS, tenantId }, 1) !== undefined;
  assert.deepEqual([isAbout('acme'), isAbout('umbra')], [true, false]);
});

/** One request whose holds are given by hand. */
function requestWith(reserve: () => Promise<Reservation>) {
  const timers = new Timers(new ManualClock(1));
  const attempts = new AttemptHolds({
    budgets: { reserve },
    tenantId: 'acme',
    holdUntilMs: 1,
    amountsOf: (_, outputTokens = 100) => ({ ...NO_AMOUNTS, tokens: outputTokens }),
  });
  const count = () => assert.fail('no budget of a policy is asked');
  const request = new RequestBudgets({ accounts: [], attempts, providers: ['alder'], holdUntilMs: 1, timers, count });
  return { request, [Symbol.dispose]: () => timers[Symbol.dispose]() };
}

test('a budget that cannot be asked leaves nobody out and refuses the request', async () => {
  using given = requestWith(() => Promise.reject(new BeamlineError('unavailable', 'away')));
  const held = Promise.resolve(given.request.hold(CHOSEN, 1));
  await assert.rejects(held, ({ code }: BeamlineError) => code === 'unavailable');
  assert.equal(given.request.standing().over, undefined);
});

test('each hold ends once: with what its attempt took, as estimated, or with nothing', async () => {
  const settled: number[] = [];
  using given = requestWith(() => Promise.resolve({ settle: ({ tokens }) => void settled.push(tokens) }));
  const { request } = given;
  // Not sent, sent and told, sent and not told, and one that the end of the request overtakes.
  await request.hold(CHOSEN, 1);
  await request.hold(CHOSEN, 1);
  request.sent(1);
  request.ended(1, 30);
  request.ended(1, 40);
  assert.deepEqual(settled, [0, 30]);
  await request.hold(CHOSEN, 1);
  request.sent(1);
  const last = request.hold(CHOSEN, 1);
  request.settle();
  request.settle();
  assert.equal(await last, false);
  assert.deepEqual(settled, [0, 30, 100, 0]);
});

const JOBS = ['A', 'B', 'C'].map((letter) => `job_01JD7ZPK2M4N6P8R0T2V4X6Z8${letter}`);

test('attempts of jobs are held for as they are sent: another provider, else the job fails; a router that dies holds on', async () => {
  const world = await openJobs(
    { ...IN_ORDER, providers: IN_ORDER.providers.slice(0, 2) },
    { prices, budgets: [budgetOf(150), budgetOf(1_000, { id: 'c', subject: 'birch' })] },
  );
  const { start, script, ask, orders, state, bus, stop } = world;
  const first = await start();
  const order = (n: number) => ask(orderOf(HUNDRED, { id: JOBS[n] ?? '' }));
  script.push('hold', 'hold');
  for (let n = 0; n < 3; n++) assert.equal((await order(n)).ok, true);
  assert.deepEqual(
    orders.map(({ executor }) => executor.provider_id),
    ['alder', 'birch'],
  );
  const refused = await state(JOBS[2]);
  assert.deepEqual([refused?.status, refused?.error?.code], ['failed', 'budget_exceeded']);
  await first[Symbol.asyncDispose]();
  assert.deepEqual(await heldIn(bus), { alder: 100, birch: 1_000 });
  await stop();
});

test('a job holds for tags of rules and not for those of its order, in which its gateway holds', async () => {
  const { start, ask, bus, stop, script } = await openJobs(
    { ...ALDER, rules: TAGGING },
    { prices, budgets: [budgetOf(1_000, { scope: 'tag', subject: '*' })] },
  );
  await start();
  script.push('hold', 'hold');
  await ask(orderOf(HUNDRED, { id: JOBS[0] ?? '', tags: ['batch'] }));
  await ask(orderOf(HUNDRED, { id: JOBS[1] ?? '', tags: ['long'] }));
  await rest();
  assert.deepEqual(await heldIn(bus), { long: 100 });
  await stop();
});

test('a retry of a job at the same provider is held for anew', async () => {
  const again = { fallbacks: [{ when: { status: ['network_error'] }, retry: 1, to: 'alder' }] };
  const { start, ask, script, pass, orders, state, stop } = await openJobs(
    { ...ALDER, ...again },
    { prices, budgets: [budgetOf(150)] },
  );
  await start();
  script.push(failure('NETWORK_ERROR'));
  await ask(orderOf(HUNDRED, { id: JOBS[0] ?? '' }));
  await pass(2_000);
  assert.deepEqual([orders.length, (await state(JOBS[0]))?.error?.code], [1, 'budget_exceeded']);
  await stop();
});
