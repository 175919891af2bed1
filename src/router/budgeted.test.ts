import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Bus } from '../bus/bus.ts';
import { openPriceBook } from '../catalog/price-book.ts';
import { type BudgetEntry, budgetBucket, budgetEntry } from '../contracts/budget.ts';
import { at } from '../contracts/contract.ts';
import { decideV1, type DecideRequest } from '../contracts/decide.ts';
import { CORRELATION, openRouter } from './router-fixture.ts';

/** One micro-USD for an output token of alder, ten of birch, nothing known of cedar. */
const prices = openPriceBook([
  { provider: 'alder', model: 'small', prices: { input: 0, output: 1_000_000 } },
  { provider: 'birch', model: 'small', prices: { input: 0, output: 10_000_000 } },
]);
const ALDER_FIRST = { providers: [{ name: 'alder', weight: 1 }, { name: 'birch' }, { name: 'cedar' }] };
/** Costs 100 at alder and 1000 at birch. */
const HUNDRED = { estimate: { input_tokens: 0, max_output_tokens: 100 } };
const IN_A_MONTH_MS = Date.UTC(2026, 9, 1) - 1_790_000_000_000;

const open = (budget: object, more: object = {}) =>
  openRouter({ ...ALDER_FIRST, ...more, budgets: [{ id: 'month', ...budget }] }, { prices });

const FALLING = {
  fallbacks: [
    { when: { status: '5xx' }, retry: 0, to: 'birch' },
    { when: { status: '5xx' }, retry: 0, to: 'cedar' },
  ],
};
const BROKEN = { class: 'unavailable', code: 'PROVIDER_UNAVAILABLE', retryable: true, http_status: 503 };

async function entriesOf(bus: Bus): Promise<readonly BudgetEntry[]> {
  const bucket = await bus.openBucket(budgetBucket);
  return (await bucket.entries()).map(({ value }) => {
    const entry: unknown = JSON.parse(value);
    assert.ok(budgetEntry.check(entry));
    return entry;
  });
}

/** What is left in the only budget. */
async function leftIn(bus: Bus): Promise<number | undefined> {
  const [entry] = await entriesOf(bus);
  const held = Object.values(entry?.leases ?? {}).reduce((sum, { amount }) => sum + amount, 0);
  return entry && entry.limit - entry.settled - held;
}

test('what a request may cost is held before it is pushed; without room it is refused until the window ends', async () => {
  const { bus, decide, outcome, heard, metrics, stop } = await open({ limit_micro_usd: 250 });
  assert.deepEqual([(await decide(HUNDRED)).ok, (await decide(HUNDRED)).ok], [true, true]);
  const refused = await decide(HUNDRED);
  assert.deepEqual([refused.ok, refused.error?.code], [false, 'budget_exceeded']);
  assert.deepEqual([refused.error?.retry_after_ms, refused.error?.details?.['budget']], [IN_A_MONTH_MS, 'month']);
  assert.equal(heard.pushed.length, 2);
  // It cost 10: the rest is free at once.
  await outcome({ state: 'succeeded', output_tokens: 10 });
  assert.equal((await decide(HUNDRED)).ok, true);
  assert.equal((await decide(HUNDRED)).error?.code, 'budget_exceeded');
  assert.match(metrics.render(), /router_budget_reservations_total\{result="refused"\} 2/);
  const [entry] = await entriesOf(bus);
  assert.deepEqual(
    [entry?.tenant_id, entry?.budget_id, entry?.scope, entry?.subject, entry?.policy_id],
    ['acme', 'policy/test/month/policy-month', 'policy', 'test', 'test'],
  );
  await stop();
});

test('a work order says what its attempt was expected to cost, a fallback too', async () => {
  const { decide, fail, pass, heard, outcome, stop } = await openRouter({ ...ALDER_FIRST, ...FALLING }, { prices });
  await decide(HUNDRED);
  await outcome({ state: 'succeeded', latency_ms: 40, ttft_ms: 7 });
  await decide(HUNDRED);
  await fail('PROVIDER_UNAVAILABLE', BROKEN);
  await pass(500);
  assert.deepEqual(
    heard.pushed.map(({ decision, metadata }) => [
      decision?.provider_id,
      decision?.expected_latency_ms,
      decision?.expected_cost,
      metadata?.['expected_cost_micro_usd'],
    ]),
    [
      ['alder', undefined, 0.0001, 100],
      ['alder', 7, 0.0001, 100],
      ['birch', undefined, 0.001, 1_000],
    ],
  );
  await outcome({ state: 'succeeded' });
  await stop();
});

test('where a budget does not bear the chosen one, a fallback that waits for that is taken at once', async () => {
  const fallbacks = [{ when: { status: 'budget_exceeded' }, to: 'cedar' }];
  const { decide, heard, stop } = await open({ limit_micro_usd: 50 }, { fallbacks });
  const { ok, decision } = await decide(HUNDRED);
  assert.deepEqual([ok, decision?.provider_id, decision?.reason], [true, 'cedar', 'fallback']);
  assert.equal(heard.pushed.length, 1);
  await stop();
});

test('an end of which nobody knows the cost counts as it was estimated', async () => {
  const { decide, outcome, stop } = await open({ limit_micro_usd: 150 });
  await decide(HUNDRED);
  await outcome({ state: 'cancelled' });
  assert.equal((await decide(HUNDRED)).error?.code, 'budget_exceeded');
  await stop();
});

test('a spent budget that restricts leaves those whom it names, and they are not held back', async () => {
  const { decide, providers, stop } = await open(
    { limit_micro_usd: 150, on_exceed: 'restrict', restrict_to: ['cedar', 'birch'] },
    {
      strategy: 'priority',
      providers: ['alder', 'birch', 'cedar'].map((name, n) => ({ name, weight: 1, priority: 9 - n })),
    },
  );
  for (let n = 0; n < 3; n++) assert.equal((await decide(HUNDRED)).ok, true);
  assert.deepEqual(providers(), ['alder', 'birch', 'birch']);
  await stop();
});

test('a budget that warns lets pass, and what is spent beyond it is told', async () => {
  const { decide, providers, metrics, stop } = await open({ limit_micro_usd: 50, on_exceed: 'warn' });
  assert.equal((await decide(HUNDRED)).ok, true);
  assert.deepEqual(providers(), ['alder']);
  assert.match(metrics.render(), /router_budget_reservations_total\{result="warned"\} 1/);
  await stop();
});

test('each key has a budget of its own; whoever names no user has none', async () => {
  const by = (principal: DecideRequest['principal']) => ({ ...HUNDRED, ...(principal && { principal }) });
  const keys = await open({ limit_micro_usd: 100, scope: 'key' });
  const ofKey = async (key_id: string) => (await keys.decide(by({ key_id }))).ok;
  assert.deepEqual([await ofKey('k-1'), await ofKey('k-1'), await ofKey('k-2')], [true, false, true]);
  await keys.stop();
  const users = await open({ limit_micro_usd: 100, scope: 'user' });
  const ofUser = async (user_id?: string) =>
    (await users.decide(by({ key_id: 'k', ...(user_id === undefined ? {} : { user_id }) }))).ok;
  assert.deepEqual(
    [await ofUser('ann b'), await ofUser('ann b'), await ofUser(), await ofUser()],
    [true, false, true, true],
  );
  await users.stop();
});

for (const [limit, next] of [
  [2_000, 'birch'],
  [900, 'cedar'],
] as const) {
  test(`with ${limit} left, a failed attempt at alder is followed by ${next}`, async () => {
    const { decide, fail, pass, providers, stop } = await open({ limit_micro_usd: limit }, FALLING);
    await decide(HUNDRED);
    await fail('PROVIDER_UNAVAILABLE', BROKEN);
    // The wait of a fallback, and once more after one that was refused.
    for (let n = 0; n < 4; n++) await pass(500);
    assert.deepEqual(providers(), ['alder', next]);
    await stop();
  });
}

test('a failover that the budget does not bear is decided anew', async () => {
  const two = { providers: ['alder', 'birch'].map((name) => ({ name, weight: name === 'alder' ? 1 : 0.001 })) };
  const { decide, fail, pass, heard, stop } = await open({ limit_micro_usd: 900 }, two);
  await decide(HUNDRED);
  await fail('PROVIDER_UNAVAILABLE', BROKEN);
  await pass(500);
  await pass(50);
  assert.equal(heard.pushed.length, 1);
  assert.deepEqual(
    heard.frames.map((frame) => frame.type === 'error' && frame.error.code),
    ['provider_unavailable'],
  );
  await stop();
});

test('dry runs and plain decisions hold nothing, and are told what is spent', async () => {
  const { bus, decide, stop } = await open({ limit_micro_usd: 100 });
  const dry = { ...HUNDRED, options: { dry_run: true, explain: 'detailed' as const } };
  const { push_assignment: _, ...plain } = { ...HUNDRED, push_assignment: undefined };
  assert.equal((await decide(dry)).ok, true);
  assert.equal((await decide({ ...plain, push_assignment: false })).ok, true);
  assert.deepEqual(await entriesOf(bus), []);
  await decide(HUNDRED);
  const told = await decide(dry);
  assert.equal(told.error?.code, 'budget_exceeded');
  const explained = told.error?.details?.['explanation'] as { steps: { stage: string; detail: string }[] } | undefined;
  assert.equal(explained?.steps.find(({ stage }) => stage === 'budget')?.detail, 'alder, birch, cedar: over budget');
  const v1 = { version: '1' as const, request_id: 'r-v1', tenant_id: 'acme', policy_id: 'test' };
  const task = { type: 'ai.chat', model: 'small', payload: { a: 1 } };
  const old = await bus.request(at(decideV1), { ...v1, task }, { timeoutMs: 1_000, correlation: CORRELATION });
  assert.equal(old.error?.code, 'budget_exceeded');
  await stop();
});

test('conditions see the tightest budget', async () => {
  // eslint-disable-next-line unicorn/no-thenable -- the word of the language
  const rules = [{ id: 'thrift', when: 'budget.used_ratio >= 0.5', then: { only: ['cedar'] } }];
  const all = ['alder', 'cedar'].map((name) => ({ name, weight: name === 'alder' ? 1 : 0.0001 }));
  const { decide, providers, pass, stop } = await openRouter(
    {
      providers: all,
      rules,
      budgets: [
        { id: 'wide', limit_micro_usd: 1_000_000 },
        { id: 'tight', limit_micro_usd: 200, window: 'day' },
      ],
    },
    { prices },
  );
  await decide(HUNDRED);
  await pass(2_100);
  await decide(HUNDRED);
  assert.deepEqual(providers(), ['alder', 'cedar']);
  await stop();
});

test('what has no price passes and is counted, until the budget is spent', async () => {
  const { decide, metrics, stop } = await open(
    { limit_micro_usd: 100 },
    { providers: [{ name: 'cedar', weight: 1 }, { name: 'alder' }] },
  );
  assert.equal((await decide(HUNDRED)).ok, true);
  assert.match(metrics.render(), /router_budget_reservations_total\{result="unpriced"\} 1/);
  await stop();
  const nothing = await open({ limit_micro_usd: 0 }, { providers: [{ name: 'cedar', weight: 1 }] });
  assert.equal((await nothing.decide(HUNDRED)).error?.code, 'budget_exceeded');
  await nothing.stop();
});

test('two routers at the edge admit what the limit allows, and nothing stays held after they have drained', async () => {
  const { bus, decide, join, heard, stop } = await open({ limit_micro_usd: 5_000 });
  await join();
  const answers = await Promise.all(Array.from({ length: 200 }, () => decide(HUNDRED)));
  const admitted = answers.filter(({ ok }) => ok).length;
  assert.ok(admitted <= 50, `${admitted} admitted`);
  assert.ok(admitted >= 40, `${admitted} admitted`);
  assert.equal(heard.pushed.length, admitted);
  assert.deepEqual(new Set(answers.flatMap(({ error }) => error?.code ?? [])), new Set(['budget_exceeded']));
  assert.ok(((await leftIn(bus)) ?? -1) >= 0);
  await stop();
});

test('one that is never sent holds nothing', async () => {
  const { bus, decide, pass, stop } = await open({ limit_micro_usd: 100 }, { timeout_ms: 5 });
  assert.equal((await decide(HUNDRED)).error?.code, 'deadline_exceeded');
  for (let n = 0; n < 8; n++) await pass(2_000);
  assert.equal(await leftIn(bus), 100);
  await stop();
});
