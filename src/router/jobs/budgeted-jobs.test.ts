import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openPriceBook } from '../../catalog/price-book.ts';
import { budgetBucket, budgetEntry } from '../../contracts/budget.ts';
import { at } from '../../contracts/contract.ts';
import { assignmentIdOf } from '../../contracts/job.ts';
import { type AttemptOutcome, attemptOutcome } from '../../contracts/outcome.ts';
import { CORRELATION } from '../router-fixture.ts';
import { failure, openJobs, orderOf, rest } from './jobs-fixture.ts';

const prices = openPriceBook([
  { provider: 'alder', model: 'small', prices: { input: 0, output: 1_000_000 } },
  { provider: 'birch', model: 'small', prices: { input: 0, output: 0 } },
]);
const JOBS = ['A', 'B', 'C', 'D'].map((letter) => `job_01JD7ZPK2M4N6P8R0T2V4X6Z8${letter}`);

test('the work orders of a job say what each attempt was expected to cost', async () => {
  const fallbacks = [{ when: { status: 'unavailable' }, retry: 1, to: 'birch', backoff: { base_ms: 100 } }];
  const world = await openJobs({ weights: { alder: 1 }, fallbacks }, { prices });
  await world.start();
  world.script.push(failure('PROVIDER_UNAVAILABLE'), failure('PROVIDER_UNAVAILABLE'));
  await world.ask(orderOf({ estimate: { input_tokens: 0, max_output_tokens: 100 } }));
  await world.pass(2_000);
  assert.deepEqual(
    world.orders.map(({ decision, metadata }) => [
      decision?.provider_id,
      decision?.expected_cost,
      metadata?.['expected_cost_micro_usd'],
    ]),
    [
      ['alder', 0.0001, 100],
      ['alder', 0.0001, 100],
      ['birch', 0, 0],
    ],
  );
  await world.stop();
});

/** Jobs that cost 100 at alder and nothing at birch. */
async function open(budget: object, more: object = {}) {
  const budgets = [{ id: 'month', ...budget }];
  const world = await openJobs({ weights: { alder: 1 }, budgets, ...more }, { prices });
  await world.start();
  const order = (n: number) =>
    world.ask(
      orderOf(
        { estimate: { input_tokens: 0, max_output_tokens: 100 }, options: { retry: { max_attempts: 2 } } },
        { id: JOBS[n] ?? '' },
      ),
    );
  const outcome = async (n: number, told: Partial<AttemptOutcome>): Promise<void> => {
    world.bus.publish(
      at(attemptOutcome),
      {
        version: '2',
        assignment_id: assignmentIdOf('acme', JOBS[n] ?? ''),
        attempt: 1,
        request_id: 'rq-1',
        tenant_id: 'acme',
        provider_id: 'alder',
        worker_id: 'w-1',
        latency_ms: 5,
        timestamp_ms: 1,
        state: 'succeeded',
        committed: false,
        ...told,
      },
      CORRELATION,
    );
    await rest();
  };
  const held = async (): Promise<number> => {
    const bucket = await world.bus.openBucket(budgetBucket);
    let sum = 0;
    for (const { value } of await bucket.entries()) {
      const entry: unknown = JSON.parse(value);
      assert.ok(budgetEntry.check(entry));
      for (const { amount } of Object.values(entry.leases)) sum += amount;
    }
    return sum;
  };
  return { ...world, order, outcome, held };
}

test('an attempt of a job is held for until it has ended; a job that does not fit fails, one that comes later is refused', async () => {
  const world = await open({ limit_micro_usd: 150 });
  const { script, order, orders, outcome, state, stop } = world;
  script.push('hold', 'hold');
  assert.equal((await order(0)).ok, true);
  // There is something left, so it is accepted, and when it is sent it is too much.
  assert.equal((await order(1)).ok, true);
  const failed = await state(JOBS[1]);
  assert.deepEqual([failed?.status, failed?.error?.code], ['failed', 'budget_exceeded']);
  assert.equal(orders.length, 1);
  await outcome(0, { state: 'succeeded', output_tokens: 10 });
  assert.equal((await order(2)).ok, true);
  assert.equal(orders.length, 2);
  await stop();
  const spent = await open({ limit_micro_usd: 100 });
  spent.script.push('hold');
  await spent.order(0);
  assert.deepEqual([(await spent.order(1)).error?.code, spent.orders.length], ['budget_exceeded', 1]);
  await spent.stop();
});

test('what a spent budget restricts to gets the jobs', async () => {
  const restricted = { on_exceed: 'restrict', restrict_to: ['birch'] };
  const providers = ['alder', 'birch'].map((name, n) => ({ name, weight: 1, priority: 9 - n }));
  const world = await open(
    { limit_micro_usd: 150, ...restricted },
    { weights: undefined, providers, strategy: 'priority' },
  );
  world.script.push('hold', 'hold');
  await world.order(0);
  await world.order(1);
  assert.deepEqual(
    world.orders.map(({ executor }) => executor.provider_id),
    ['alder', 'birch'],
  );
  await world.stop();
});

test('a retry is held for anew, and an attempt of which nobody hears is held for until it is due', async () => {
  const again = { fallbacks: [{ when: { status: ['network_error'] }, retry: 1, to: 'alder' }] };
  const world = await open({ limit_micro_usd: 1_000 }, again);
  const { script, order, outcome, pass, held, orders, clock, stop } = world;
  script.push(failure('NETWORK_ERROR'), 'vanish');
  await order(0);
  await outcome(0, { state: 'failed' });
  await pass(1_000);
  assert.equal(orders.length, 2);
  assert.ok((await held()) >= 200, 'the failed one counts until it is folded, the other runs');
  // It is due after the time of the policy and that of a worker who does not come.
  await pass(30_000);
  assert.ok((await held()) >= 200);
  clock.advance(1_000_000);
  await pass(15_000);
  assert.equal(orders.length, 3);
  assert.equal(await held(), 300, 'two count as they were estimated until the ledger has them, and one runs');
  await stop();
});
