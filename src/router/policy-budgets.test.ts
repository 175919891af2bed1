import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { openMemoryBus } from '../bus/memory.ts';
import { type BudgetScope, type BudgetWindow, budgetBucket, policyBudgetId } from '../contracts/budget.ts';
import { ManualClock } from '../core/clock.ts';
import { BeamlineError } from '../core/errors.ts';
import { Timers } from '../core/timers.ts';
import type { BudgetBucket } from '../limit/leased-budget.ts';
import { parsePolicy } from '../policy/parse.ts';
import { openLog } from '../telemetry/log.ts';
import { Metrics } from '../telemetry/metrics.ts';
import { PolicyBudgets } from './policy-budgets.ts';

const facts = { tenantId: 'acme', requestId: 'r', taskType: 'ai.chat', stream: false, context: {} };

const alder = { name: 'alder', model: undefined };
const birch = { name: 'birch', model: undefined };

const running: Timers[] = [];
after(() => {
  for (const timers of running) timers[Symbol.dispose]();
});

async function open(budgets: readonly object[]) {
  const clock = new ManualClock(1_790_000_000_000);
  const timers = new Timers(clock);
  running.push(timers);
  const lines: string[] = [];
  const metrics = new Metrics();
  const telemetry = { log: openLog('warn', { write: (line) => void lines.push(line) }), metrics };
  const bucket = await openMemoryBus({ timers, telemetry }).openBucket(budgetBucket);
  let isAway = false;
  const away = () => Promise.reject(new BeamlineError('unavailable', 'away'));
  const fragile: BudgetBucket = {
    get: (key) => (isAway ? away() : bucket.get(key)),
    update: (key, value, at) => (isAway ? away() : bucket.update(key, value, at)),
  };
  const parsed = parsePolicy(
    { version: '2.0', weights: { alder: 1, birch: 1 }, budgets },
    { tenantId: 'acme', policyId: 'p', revision: 1, knownProviders: new Set(['alder', 'birch']) },
  );
  assert.ok(parsed.kind === 'valid', JSON.stringify(parsed));
  const { policy } = parsed;
  const all = new PolicyBudgets({ bucket: fragile, timers, telemetry, holder: 'router-1' });
  const request = () => {
    const found = all.of(policy, facts, 60_000);
    assert.ok(found);
    return found;
  };
  const pass = (ms: number): void => {
    clock.advance(ms);
    timers.tick();
  };
  return { all, policy, request, goAway: () => (isAway = true), pass, lines, metrics };
}

test('a budget that is used as far as its share says warns once, in a line and in a count', async () => {
  const { request, pass, lines, metrics } = await open([
    { id: 'near', limit_micro_usd: 100, warn_at: 0.5 },
    { id: 'far', limit_micro_usd: 1_000 },
  ]);
  const warned = (): readonly string[] => lines.filter((line) => line.includes('budget_warning'));
  const tended = async (): Promise<void> => {
    pass(5_000);
    // A look at the leases goes over the bus.
    for (let turn = 0; turn < 10; turn++) await new Promise(setImmediate); // eslint-disable-line no-await-in-loop -- turns
  };
  const one = request();
  await one.hold(alder, 40);
  await tended();
  assert.deepEqual(warned(), []);
  await request().hold(alder, 20);
  await tended();
  await tended();
  assert.equal(warned().length, 1);
  assert.match(metrics.render(), /^budget_warnings_total 1$/m);
});

const codeOf = (fault: unknown): string => BeamlineError.from(fault).code;

test('a bucket that is away refuses, restricts or lets pass, as the budget says', async () => {
  const rejects = await open([{ id: 'b', limit_micro_usd: 100 }]);
  rejects.goAway();
  const one = rejects.request();
  await one.known();
  assert.deepEqual(await Promise.resolve(one.hold(alder, 10)).catch(codeOf), 'unavailable');

  const restricts = await open([{ id: 'b', limit_micro_usd: 100, on_exceed: 'restrict', restrict_to: ['birch'] }]);
  restricts.goAway();
  const two = restricts.request();
  await two.known();
  assert.equal(await two.hold(alder, 10), false);
  assert.deepEqual(two.standing().over, new Set(['alder']));
  assert.equal(await two.hold(birch, 10), true);

  const warns = await open([{ id: 'b', limit_micro_usd: 100, on_exceed: 'warn' }]);
  warns.goAway();
  assert.equal(await warns.request().hold(alder, 10), true);
});

test('a request holds in all of its budgets or in none', async () => {
  const { request } = await open([
    { id: 'wide', limit_micro_usd: 100 },
    { id: 'tight', limit_micro_usd: 50, window: 'day' },
  ]);
  const first = request();
  assert.equal(await first.hold(alder, 50), true);
  const second = request();
  assert.equal(await second.hold(alder, 50), false);
  first.settle();
  // The wide one would be full if the refused request had kept its part.
  const third = request();
  assert.equal(await third.hold(alder, 50), true);
  assert.equal(second.exceeded().details['budget'], 'tight');
});

test('what is held grows with a dearer attempt, and ends once', async () => {
  const { request } = await open([{ id: 'b', limit_micro_usd: 100 }]);
  const one = request();
  assert.equal(await one.hold(alder, 30), true);
  assert.equal(await one.hold(birch, 100), true);
  assert.equal(await one.hold(alder, 20), true);
  assert.equal(await request().hold(alder, 1), false);
  one.sent(100);
  one.ended(40);
  one.settle();
  one.settle();
  const two = request();
  assert.equal(await two.hold(alder, 60), true);
  assert.equal(await request().hold(alder, 1), false);
});

test('a request that ends while it waits for a budget holds nothing afterwards', async () => {
  const { request } = await open([{ id: 'b', limit_micro_usd: 100 }]);
  const one = request();
  const holding = one.hold(alder, 100);
  one.settle();
  assert.equal(await holding, false);
  assert.equal(await request().hold(alder, 100), true);
});

test('ids of the budgets of policies are those of no gateway, and fit whatever the names', () => {
  const of = (id: string, scope: BudgetScope = 'policy', window: BudgetWindow = 'month') =>
    policyBudgetId('p'.repeat(128), { id, scope, window });
  const ids = [of('b'.repeat(128)), of('c'.repeat(128)), of('b'.repeat(128), 'key'), of('b'.repeat(128), 'key', 'day')];
  assert.equal(new Set(ids).size, ids.length);
  for (const id of ids) assert.match(id, /^policy\/[\x21-\x7e]{1,121}$/);
  assert.equal(policyBudgetId('p', { id: 'b', scope: 'user', window: 'hour' }), 'policy/p/b/user-hour');
});

test('a policy without budgets asks nobody', async () => {
  const { all, policy } = await open([]);
  assert.equal(all.of(policy, facts, 1), undefined);
});

test('a look at what is spent reads anew, counts what this router holds too, and leaves no trace', async () => {
  const { all, policy, request } = await open([{ id: 'b', limit_micro_usd: 100 }]);
  const fresh = await all.lookedAt(policy, facts);
  assert.deepEqual([fresh?.standing().over, fresh?.standing().tightest?.reservedMicroUsd], [undefined, 0]);
  assert.equal(await request().hold(alder, 100), true);
  const spent = await all.lookedAt({ ...policy, revision: 9 }, facts);
  assert.deepEqual(spent?.standing().over, new Set(['alder', 'birch']));
  assert.equal(spent?.standing().tightest?.reservedMicroUsd, 100);
  assert.equal(await all.lookedAt({ ...policy, budgets: [] }, facts), undefined);
});
