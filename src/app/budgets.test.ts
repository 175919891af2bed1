import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { openMemoryBus } from '../bus/memory.ts';
import { type Budget, budgetBucket, budgetEntry, budgetKey } from '../contracts/budget.ts';
import { ManualClock } from '../core/clock.ts';
import { BeamlineError } from '../core/errors.ts';
import { Timers } from '../core/timers.ts';
import { openLog } from '../telemetry/log.ts';
import { Metrics } from '../telemetry/metrics.ts';
import { withSettled } from '../limit/budget-entry.ts';
import { BudgetDefinitions } from '../limit/budget-definitions.ts';
import { type Amounts, Budgets, type Reservation, type Spender } from '../limit/budgets.ts';
import type { BudgetBucket } from '../limit/leased-budget.ts';
import { windowEndMs, windowStartMs } from '../limit/window.ts';

const START_MS = Date.UTC(2026, 10, 21, 10, 59, 50);
const spender = { tenantId: 'acme', keyId: 'k-1', userId: undefined, policyId: 'default' };
const usd = (micro_usd: number): Amounts => ({ micro_usd, tokens: 0, requests: 0 });
const budgetOf = (limit: number, more: Partial<Budget> = {}): Budget => ({
  id: 'monthly',
  tenant_id: 'acme',
  scope: 'tenant',
  subject: '-',
  unit: 'micro_usd',
  limit,
  window: 'month',
  action: 'block',
  warn_at: 0.8,
  ...more,
});

/** Gateways that share a bucket, and a ledger that folds what was spent. */
async function open(definitions: readonly Budget[], gateways = 1, wrap = (bucket: BudgetBucket) => bucket) {
  const clock = new ManualClock(START_MS);
  const timers = new Timers(clock);
  const telemetry = { log: openLog('silent', { write: () => undefined }), metrics: new Metrics() };
  const bus = openMemoryBus({ timers, telemetry });
  const bucket = await bus.openBucket(budgetBucket);
  const stored = new BudgetDefinitions();
  for (const budget of definitions) stored.set(budget);
  const each = Array.from({ length: gateways }, (_, n) => {
    const deps = { bucket: wrap(bucket), timers, telemetry, holder: `gw-${n}` };
    return new Budgets({ ...deps, definitions: stored });
  });
  const entries = async () =>
    (await bucket.entries()).map(({ key, value, revision }) => {
      const entry: unknown = JSON.parse(value);
      assert.ok(budgetEntry.check(entry), value);
      return { key, entry, revision };
    });
  return {
    [Symbol.dispose]: () => timers[Symbol.dispose](),
    clock,
    timers,
    each,
    stored,
    metrics: telemetry.metrics,
    entries,
    fold: async (settled: number, watermarkMs = clock.epochMs()): Promise<void> => {
      for (const { key, entry, revision } of await entries()) {
        const next = withSettled(entry, {
          settled,
          watermarkMs,
          isHeld: (holder) => (entry.leases[holder]?.hold_until_ms ?? 0) > clock.epochMs(),
        });
        // oxlint-disable-next-line no-await-in-loop -- one after the other
        await bucket.update(key, JSON.stringify(next), revision);
      }
    },
  };
}

const refusal = async (asked: Reservation | Promise<Reservation>): Promise<string> => {
  try {
    await asked;
    return 'reserved';
  } catch (fault) {
    return BeamlineError.from(fault).code;
  }
};

test('a tenant without budgets reserves nothing and waits for nothing', async () => {
  using opened = await open([budgetOf(10)]);
  const { each } = opened;
  assert.ok(!(each[0]?.reserve({ ...spender, tenantId: 'umbra' }, usd(99), START_MS) instanceof Promise));
});

test('two hundred at once at the edge, through four gateways: exactly what the limit allows', async () => {
  using opened = await open([budgetOf(1_000)], 4);
  const { each } = opened;
  const asked = Array.from({ length: 200 }, (_, n) => {
    const gateway = each[n % 4];
    assert.ok(gateway);
    return refusal(gateway.reserve(spender, usd(10), START_MS + 60_000));
  });
  const answers = await Promise.all(asked);
  assert.ok(answers.filter((answer) => answer === 'reserved').length <= 100);
  assert.deepEqual(new Set(answers), new Set(['reserved', 'budget_exceeded']));
});

test('what was not spent is free at once; what was spent stays until the ledger has it, and after', async () => {
  using opened = await open([budgetOf(100)]);
  const { each, fold, timers, clock, entries } = opened;
  const [gateway] = each;
  assert.ok(gateway);
  const first = await gateway.reserve(spender, usd(100), START_MS + 1_000);
  assert.equal(await refusal(gateway.reserve(spender, usd(1), START_MS + 1_000)), 'budget_exceeded');
  first.settle(usd(40));
  first.settle(usd(0));
  const second = await gateway.reserve(spender, usd(60), START_MS + 1_000);
  second.settle(usd(0));
  assert.equal(await refusal(gateway.reserve(spender, usd(61), START_MS + 1_000)), 'budget_exceeded');

  clock.advance(20_000);
  await fold(40);
  for (let n = 0; n < 3; n++) {
    clock.advance(5_000);
    timers.tick();
    // oxlint-disable-next-line no-await-in-loop -- lets the tending finish
    await new Promise(setImmediate);
  }
  const [held] = await entries();
  assert.deepEqual([held?.entry.settled, held?.entry.leases], [40, {}]);
  assert.equal(await refusal(gateway.reserve(spender, usd(60), clock.epochMs() + 1_000)), 'reserved');
});

test('what was spent while the wall clock was wrong goes back once it is right and the ledger has it', async () => {
  using opened = await open([budgetOf(100, { window: 'total' })]);
  const { each, fold, timers, clock, entries } = opened;
  const [gateway] = each;
  assert.ok(gateway);
  const tended = async (): Promise<void> => {
    for (let n = 0; n < 3; n++) {
      clock.advance(5_000);
      timers.tick();
      // oxlint-disable-next-line no-await-in-loop -- lets the tending finish
      await new Promise(setImmediate);
    }
  };
  clock.set(START_MS + 3_600_000);
  (await gateway.reserve(spender, usd(100), clock.epochMs() + 1_000)).settle(usd(40));
  clock.set(START_MS);
  await tended();
  assert.deepEqual(Object.keys((await entries())[0]?.entry.leases ?? {}), ['gw-0'], 'not folded');
  await fold(40);
  await tended();
  const [held] = await entries();
  assert.deepEqual([held?.entry.settled, held?.entry.leases], [40, {}]);
});

test('a request falls under every budget that is about it, in all or in none', async () => {
  const money = budgetOf(1_000);
  const quota = budgetOf(2, { id: 'requests', scope: 'key', subject: '*', unit: 'requests', window: 'hour' });
  using opened = await open([money, quota]);
  const { each, clock } = opened;
  const [gateway] = each;
  assert.ok(gateway);
  const amounts = { micro_usd: 300, tokens: 0, requests: 1 };
  const ask = (keyId: string) => refusal(gateway.reserve({ ...spender, keyId }, amounts, clock.epochMs() + 1_000));
  assert.deepEqual([await ask('k-1'), await ask('k-1'), await ask('k-1')], ['reserved', 'reserved', 'budget_exceeded']);
  // The third took nothing of the money: there is room for one more of another key.
  assert.deepEqual([await ask('k-2'), await ask('k-2')], ['reserved', 'budget_exceeded']);
  clock.advance(20_000);
  assert.equal(await refusal(gateway.reserve(spender, { ...amounts, micro_usd: 1 }, clock.epochMs())), 'reserved');
});

test('each tag has a budget of its own, in all or in none; whoever has no tag falls under none', async () => {
  using opened = await open([budgetOf(20, { id: 'tags', scope: 'tag', subject: '*' })]);
  const [gateway] = opened.each;
  assert.ok(gateway);
  const ask = (...tags: readonly string[]) =>
    refusal(gateway.reserve({ ...spender, tags }, usd(10), START_MS + 60_000));
  assert.deepEqual([await ask('a', 'b'), await ask('a'), await ask('a')], ['reserved', 'reserved', 'budget_exceeded']);
  // Nothing of `b` is taken by one whose other tag has nothing left.
  assert.deepEqual(
    [await ask('b', 'a'), await ask('b'), await ask('b')],
    ['budget_exceeded', 'reserved', 'budget_exceeded'],
  );
  assert.deepEqual([await ask(), await refusal(gateway.reserve(spender, usd(99), START_MS))], ['reserved', 'reserved']);
  const held = (await opened.entries()).map(({ entry }) => [entry.scope, entry.subject, entry.leases['gw-0']?.amount]);
  assert.deepEqual(new Set(held.map(String)), new Set(['tag,a,20', 'tag,b,20']));
});

test('a budget of one tag or provider is about nobody else; two hundred at once through four get what it allows', async () => {
  const tag = budgetOf(500, { id: 'tag', scope: 'tag', subject: 'batch' });
  const provider = budgetOf(1_000, { id: 'provider', scope: 'provider', subject: 'alder' });
  using opened = await open([tag, provider], 4);
  const many = async (more: Partial<Spender>): Promise<number> => {
    const asked = Array.from({ length: 200 }, (_, n) => {
      const holder = opened.each[n % 4];
      assert.ok(holder);
      return refusal(holder.reserve({ tenantId: 'acme', ...more }, usd(10), START_MS + 60_000));
    });
    return (await Promise.all(asked)).filter((answer) => answer === 'reserved').length;
  };
  assert.equal(await many({ providerId: 'birch', tags: ['other'] }), 200);
  const tagged = await many({ providerId: 'birch', tags: ['other', 'batch'] });
  assert.ok(tagged > 0 && tagged <= 50, `${tagged} of 50`);
  const provided = await many({ providerId: 'alder' });
  assert.ok(provided > 0 && provided <= 100, `${provided} of 100`);
});

test('a budget that warns lets pass; one that cannot be asked refuses only where it blocks', async () => {
  const broken = (): BudgetBucket => ({
    get: () => Promise.reject(new BeamlineError('unavailable', 'away')),
    update: () => Promise.reject(new BeamlineError('unavailable', 'away')),
  });
  using warning = await open([budgetOf(1, { action: 'warn' })]);
  assert.equal(await refusal(warning.each[0]?.reserve(spender, usd(9), START_MS) ?? Promise.reject()), 'reserved');
  assert.match(warning.metrics.render(), /budget_reservations_total\{result="warned"\} 1/);
  using away = await open([budgetOf(100)], 1, broken);
  assert.equal(await refusal(away.each[0]?.reserve(spender, usd(9), START_MS) ?? Promise.reject()), 'unavailable');
  using both = await open([budgetOf(100, { action: 'warn' })], 1, broken);
  assert.equal(await refusal(both.each[0]?.reserve(spender, usd(9), START_MS) ?? Promise.reject()), 'reserved');
});

test('a lease is held while its process lives, and at least as long as what is reserved in it', async () => {
  using opened = await open([budgetOf(1_600)]);
  const { each, fold, timers, clock, entries } = opened;
  const [gateway] = each;
  assert.ok(gateway);
  const reserve = (ms: number) => gateway.reserve(spender, usd(10), clock.epochMs() + ms);
  const holdUntilMs = async () => (await entries())[0]?.entry.leases['gw-0']?.hold_until_ms ?? 0;
  const first = await reserve(500);
  for (let n = 0; n < 20; n++) {
    // One of a short time each second: served by the lease that is there.
    const short = await reserve(500);
    short.settle(usd(0));
    clock.advance(1_000);
    timers.tick();
    await new Promise(setImmediate);
    await fold(0);
    assert.ok((await holdUntilMs()) > clock.epochMs(), `dropped after ${n} seconds`);
  }
  const long = await reserve(300_000);
  assert.ok((await holdUntilMs()) >= clock.epochMs() + 300_000);
  long.settle(usd(0));
  first.settle(usd(0));
  await gateway[Symbol.asyncDispose]();
  assert.deepEqual((await entries())[0]?.entry.leases, {});
});

test('a process that goes leaves what it spent for as long as the ledger may need to fold it', async () => {
  using opened = await open([budgetOf(100)]);
  const { each, fold, clock, entries } = opened;
  const [gateway] = each;
  assert.ok(gateway);
  (await gateway.reserve(spender, usd(100), START_MS + 300_000)).settle(usd(30));
  await gateway[Symbol.asyncDispose]();
  assert.equal((await entries())[0]?.entry.leases['gw-0']?.amount, 30);
  clock.advance(16_000);
  await fold(30);
  assert.deepEqual((await entries())[0]?.entry.leases, {});
});

test('definitions come, change and go while requests run', async () => {
  using opened = await open([]);
  const { each, stored, entries, clock, timers } = opened;
  const [gateway] = each;
  assert.ok(gateway);
  assert.equal(gateway.covers('acme'), false);
  stored.set(budgetOf(100));
  const held = await gateway.reserve(spender, usd(100), START_MS + 1_000);
  assert.equal(await refusal(gateway.reserve(spender, usd(1), START_MS + 1_000)), 'budget_exceeded');
  stored.set(budgetOf(150));
  assert.equal(await refusal(gateway.reserve(spender, usd(50), START_MS + 1_000)), 'reserved');
  stored.set(budgetOf(20));
  assert.equal(await refusal(gateway.reserve(spender, usd(1), START_MS + 1_000)), 'budget_exceeded');
  stored.remove('acme', 'monthly');
  assert.equal(gateway.covers('acme'), false);
  held.settle(usd(100));
  const written = (await entries()).map(({ revision }) => revision);
  clock.advance(2_000);
  timers.tick();
  await new Promise(setImmediate);
  assert.deepEqual(
    (await entries()).map(({ revision }) => revision),
    written,
    'nobody tends what is gone',
  );
});

test('a lower limit holds at once where it is heard, and others give back what is free beyond it', async () => {
  using opened = await open([budgetOf(1_600)], 2);
  const { each, stored, entries, clock, timers, fold } = opened;
  const ask = (n: number) => refusal(each[n]?.reserve(spender, usd(1), clock.epochMs() + 60_000) ?? Promise.reject());
  assert.deepEqual([await ask(0), await ask(0), await ask(1)], ['reserved', 'reserved', 'reserved']);
  stored.set(budgetOf(3));
  assert.equal(await ask(0), 'budget_exceeded');
  clock.advance(2_000);
  timers.tick();
  await new Promise(setImmediate);
  const leased = async () => Object.values((await entries())[0]?.entry.leases ?? {}).map(({ amount }) => amount);
  assert.deepEqual(
    (await leased()).toSorted((a, b) => a - b),
    [1, 2],
    'only what is open',
  );
  // What nobody expected to cost so much leaves nothing free either.
  stored.set(budgetOf(1_600));
  assert.equal(await ask(0), 'reserved');
  await fold(1_600);
  for (let n = 0; n < 2; n++) {
    clock.advance(2_000);
    timers.tick();
    await new Promise(setImmediate);
  }
  assert.deepEqual(
    (await leased()).toSorted((a, b) => a - b),
    [1, 3],
  );
  assert.equal(await ask(0), 'budget_exceeded');
});

test('an entry that counted something else under the same id is written anew', async () => {
  using opened = await open([budgetOf(100)]);
  const { each, stored, entries } = opened;
  const [gateway] = each;
  assert.ok(gateway);
  await gateway.reserve(spender, usd(90), START_MS + 60_000);
  stored.remove('acme', 'monthly');
  stored.set(budgetOf(50, { unit: 'tokens' }));
  await gateway.reserve(spender, { micro_usd: 0, tokens: 50, requests: 1 }, START_MS + 60_000);
  const [{ entry } = assert.fail()] = await entries();
  assert.deepEqual([entry.unit, entry.leases['gw-0']?.amount], ['tokens', 50]);
});

test('an entry that nobody could read is not written, and one that nobody can read gives nothing', async () => {
  const unreadable = (): BudgetBucket => ({
    get: () => Promise.resolve({ value: '{"settled":', revision: 1 }),
    update: () => Promise.resolve(2),
  });
  using opened = await open([budgetOf(100)]);
  const [gateway] = opened.each;
  assert.ok(gateway);
  assert.equal(await refusal(gateway.reserve(spender, usd(9), START_MS + 0.5)), 'unavailable');
  assert.deepEqual(await opened.entries(), []);
  assert.equal(await refusal(gateway.reserve(spender, usd(9), START_MS + 1)), 'reserved');
  using torn = await open([budgetOf(100)], 1, unreadable);
  assert.equal(await refusal(torn.each[0]?.reserve(spender, usd(9), START_MS) ?? Promise.reject()), 'unavailable');
});

test('at the turn of a window requests count where they are reserved, and the new window begins empty', async () => {
  using opened = await open([budgetOf(100, { window: 'hour' })], 4);
  const { each, clock, entries } = opened;
  const ask = (amount: number) =>
    Promise.all(each.map((gateway) => refusal(gateway.reserve(spender, usd(amount), clock.epochMs() + 60_000))));
  assert.deepEqual(new Set(await ask(25)), new Set(['reserved']));
  assert.deepEqual(new Set(await ask(1)), new Set(['budget_exceeded']));
  clock.advance(10_000);
  assert.deepEqual(new Set(await ask(25)), new Set(['reserved']));
  assert.deepEqual(new Set(await ask(1)), new Set(['budget_exceeded']));
  assert.equal((await entries()).length, 2);
});

test('a user of any text has a budget of their own', () => {
  const keys = ['ann', 'ann ', 'a\r\nb', 'é'.repeat(100), 'x'.repeat(200)].map((subject) =>
    budgetKey({ tenant_id: 'acme', budget_id: 'users', subject, from_ms: 0 }),
  );
  assert.equal(new Set(keys).size, keys.length);
  for (const key of keys) assert.match(key, /^[A-Za-z0-9_=.-]+$/);
});

test('windows of the calendar begin and end where the next one does', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 4_102_444_800_000 }),
      fc.constantFrom('hour' as const, 'day' as const, 'month' as const),
      (atMs, window) => {
        const startMs = windowStartMs(window, atMs);
        const endMs = windowEndMs(window, atMs) ?? 0;
        assert.ok(startMs <= atMs && atMs < endMs);
        assert.deepEqual([windowStartMs(window, startMs), windowStartMs(window, endMs)], [startMs, endMs]);
      },
    ),
  );
});

type Step = { readonly gateway: number } & (
  | { readonly kind: 'reserve'; readonly amount: number }
  | { readonly kind: 'settle'; readonly share: number }
  | { readonly kind: 'fold' | 'wait' }
);

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    kind: fc.constant('reserve' as const),
    gateway: fc.nat({ max: 2 }),
    amount: fc.integer({ min: 1, max: 40 }),
  }),
  fc.record({
    kind: fc.constant('settle' as const),
    gateway: fc.nat({ max: 2 }),
    share: fc.double({ min: 0, max: 1, noNaN: true }),
  }),
  fc.record({ kind: fc.constantFrom('fold' as const, 'wait' as const), gateway: fc.constant(0) }),
);

test('whatever gateways reserve, settle and the ledger folds: spent and open never exceed the limit', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      using opened = await open([budgetOf(100)], 3);
      const { each, fold, clock, timers } = opened;
      const reserved: { reservation: Reservation; amount: number; gateway: number }[] = [];
      let spent = 0;
      for (const { gateway, ...of } of steps) {
        if (of.kind === 'reserve') {
          try {
            // oxlint-disable-next-line no-await-in-loop -- the order is the point
            const reservation = await each[gateway]?.reserve(spender, usd(of.amount), clock.epochMs() + 600_000);
            if (reservation !== undefined) reserved.push({ reservation, amount: of.amount, gateway });
          } catch (fault) {
            assert.equal(BeamlineError.from(fault).code, 'budget_exceeded');
          }
        } else if (of.kind === 'settle') {
          const [one] = reserved.splice(0, 1);
          const actual = Math.floor((one?.amount ?? 0) * of.share);
          one?.reservation.settle(usd(actual));
          spent += actual;
        } else if (of.kind === 'fold') {
          // oxlint-disable-next-line no-await-in-loop -- as above
          await fold(spent);
        } else {
          clock.advance(7_000);
          timers.tick();
          // oxlint-disable-next-line no-await-in-loop -- as above
          await new Promise(setImmediate);
        }
        const openSum = reserved.reduce((sum, { amount }) => sum + amount, 0);
        assert.ok(spent + openSum <= 100, `${spent} spent and ${openSum} open of 100`);
      }
    }),
    { numRuns: 300 },
  );
});
