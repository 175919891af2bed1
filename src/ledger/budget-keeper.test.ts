import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openMemoryBus } from '../bus/memory.ts';
import {
  type BudgetAccount,
  type BudgetEntry,
  budgetBucket,
  budgetEntry,
  budgetKey,
  definitionKey,
} from '../contracts/budget.ts';
import { ManualClock } from '../core/clock.ts';
import { Timers } from '../core/timers.ts';
import { newEntry, withLease } from '../limit/budget-entry.ts';
import { openLog } from '../telemetry/log.ts';
import { Metrics } from '../telemetry/metrics.ts';
import { BudgetKeeper } from './budget-keeper.ts';
import { AT_MS, openLedgerStore, rowsOf, usageEvent } from './ledger-fixture.ts';
import { foldUsage } from './usage-fold.ts';

const HOUR_MS = 3_600_000;
const month = { from_ms: Date.UTC(2026, 10, 1), until_ms: Date.UTC(2026, 11, 1) };
const account: BudgetAccount = {
  tenant_id: 'acme',
  budget_id: 'monthly',
  scope: 'tenant',
  subject: '-',
  unit: 'micro_usd',
  ...month,
};

async function open() {
  const clock = new ManualClock(AT_MS);
  const timers = new Timers(clock);
  const lines: string[] = [];
  const log = openLog('info', { write: (line: string) => void lines.push(line) });
  const bus = openMemoryBus({ timers, telemetry: { log, metrics: new Metrics() } });
  const bucket = await bus.openBucket(budgetBucket);
  const ledger = await openLedgerStore();
  const { store } = ledger;
  let isReady = true;
  let behindMs = 0;
  const foldedUntilMs = () => (isReady ? clock.epochMs() - behindMs : undefined);
  const keeper = new BudgetKeeper({ bucket, store, timers, log, foldedUntilMs });
  return {
    clock,
    bucket,
    store,
    keeper,
    lines,
    stall: () => (isReady = false),
    lag: (ms: number) => (behindMs = ms),
    put: (entry: BudgetEntry) => bucket.put(budgetKey(entry), JSON.stringify(entry)),
    read: async (of: BudgetAccount = account): Promise<BudgetEntry | undefined> => {
      const value: unknown = JSON.parse((await bucket.get(budgetKey(of)))?.value ?? 'null');
      return budgetEntry.check(value) ? value : undefined;
    },
    async [Symbol.asyncDispose]() {
      await keeper[Symbol.asyncDispose]();
      await ledger[Symbol.asyncDispose]();
      timers[Symbol.dispose]();
    },
  };
}

const leased = (of: BudgetAccount, holdUntilMs: number): BudgetEntry =>
  withLease(newEntry(of, 1_000), 'gw-1', { amount: 100, holdUntilMs });

test('what is folded in the window is settled, whoever copies it and however often', async () => {
  await using opened = await open();
  const { store, keeper, put, read, clock } = opened;
  await put(leased(account, AT_MS + 60_000));
  const events = [
    usageEvent(),
    usageEvent({ assignment_id: 'a-2', timestamp: AT_MS - 40 * 24 * HOUR_MS }),
    usageEvent({ assignment_id: 'a-3', tenant_id: 'umbra' }),
  ];
  await foldUsage(store, rowsOf(events), AT_MS);
  await keeper.settle();
  await keeper.settle();
  assert.equal(keeper.leases, 1);
  const entry = await read();
  assert.deepEqual([entry?.settled, entry?.watermark_ms, entry?.leases['gw-1']?.amount], [4, clock.epochMs(), 100]);
});

test('keys, users and tokens are settled each by what they took', async () => {
  await using opened = await open();
  const { store, keeper, put, read } = opened;
  const ofKey: BudgetAccount = { ...account, budget_id: 'k', scope: 'key', subject: 'key_1', unit: 'requests' };
  const ofUser: BudgetAccount = { ...account, budget_id: 'u', scope: 'user', subject: 'ann of sales', unit: 'tokens' };
  await put(leased(ofKey, AT_MS + 60_000));
  await put(leased(ofUser, AT_MS + 60_000));
  const events = ['key_1', 'key_1', 'key_2'].map((key_id, n) =>
    usageEvent({ assignment_id: `a-${n}`, key_id, user_id: 'ann of sales' }),
  );
  await foldUsage(store, rowsOf(events), AT_MS);
  await keeper.settle();
  assert.deepEqual([(await read(ofKey))?.settled, (await read(ofUser))?.settled], [2, 9]);
});

test('what a key spends through one policy is settled apart; a definition is no entry', async () => {
  await using opened = await open();
  const { store, keeper, put, read, bucket, lines } = opened;
  const ofKey: BudgetAccount = { ...account, budget_id: 'p', scope: 'key', subject: 'key_1', unit: 'requests' };
  const within: BudgetAccount = { ...ofKey, budget_id: 'policy/p-1/b/key-month', policy_id: 'p-1' };
  for (const one of [ofKey, within]) await put(leased(one, AT_MS + 60_000));
  await bucket.put(definitionKey({ tenant_id: 'acme', id: 'made' }), '{}');
  const events = ['p-1', 'p-1', 'p-2'].map((policy_id, n) =>
    usageEvent({ assignment_id: `a-${n}`, key_id: 'key_1', policy_id }),
  );
  await foldUsage(store, rowsOf(events), AT_MS);
  await keeper.settle();
  assert.deepEqual([(await read(ofKey))?.settled, (await read(within))?.settled], [3, 2]);
  assert.deepEqual(lines, []);
});

test('the lease of a process that fell silent is dropped, and usage alone decides', async () => {
  await using opened = await open();
  const { keeper, put, read, clock } = opened;
  await put(leased(account, AT_MS + 12_000));
  await keeper.settle();
  assert.equal(Object.keys((await read())?.leases ?? {}).length, 1);
  clock.advance(12_001);
  await keeper.settle();
  assert.deepEqual((await read())?.leases, {});
});

test('a lease stands as long as it was to stand, though the wall clock is set meanwhile', async () => {
  await using opened = await open();
  const { keeper, put, read, clock } = opened;
  const held = async (): Promise<number> => {
    await keeper.settle();
    return Object.keys((await read())?.leases ?? {}).length;
  };
  await put(leased(account, AT_MS + 60_000));
  assert.equal(await held(), 1);
  clock.set(AT_MS + HOUR_MS);
  assert.equal(await held(), 1, 'an hour ahead');
  // Of a holder whose clock is behind: as long as one that lives needs to write again.
  await put(leased(account, AT_MS + 61_000));
  assert.equal(await held(), 1);
  clock.advance(9_999);
  assert.equal(await held(), 1);
  clock.advance(2);
  assert.equal(await held(), 0);
  await put(leased(account, clock.epochMs() + 12_000));
  assert.equal(await held(), 1);
  clock.set(AT_MS);
  await keeper.settle();
  assert.equal((await read())?.watermark_ms, AT_MS, 'what is folded follows the clock of who folds');
  clock.advance(12_001);
  assert.equal(await held(), 0, 'an hour back');
});

test('while nobody can say what is folded, nothing moves', async () => {
  await using opened = await open();
  const { keeper, put, read, clock, stall } = opened;
  await put(leased(account, AT_MS + 1));
  stall();
  clock.advance(60_000);
  await keeper.settle();
  assert.deepEqual([(await read())?.watermark_ms, Object.keys((await read())?.leases ?? {}).length], [0, 1]);
});

test('an entry of a window that is over goes when nobody leases from it; garbage is told and passed over', async () => {
  await using opened = await open();
  const { bucket, keeper, put, read, lines } = opened;
  const past: BudgetAccount = { ...account, from_ms: AT_MS - 72 * HOUR_MS, until_ms: AT_MS - 48 * HOUR_MS };
  await put(newEntry(past, 1_000));
  await put(newEntry(account, 1_000));
  await bucket.put('acme.monthly.-.1', '{');
  const stop = new AbortController();
  const marks = (async () => {
    let count = 0;
    for await (const { key, deleted } of bucket.watch(stop.signal)) {
      if (deleted) count++;
      if (key === 'last') return count;
    }
    return count;
  })();
  await keeper.settle();
  await bucket.put('last', '{}');
  assert.equal(await marks, 0, 'nothing is left of it, not even a mark: the bucket has no time to live');
  stop.abort();
  assert.equal(await read(past), undefined);
  assert.equal((await read())?.limit, 1_000);
  assert.match(lines.join(''), /budget_unreadable/);
});

test('the lease of a silent holder stays while what it spent may wait to be folded', async () => {
  await using opened = await open();
  const { keeper, put, read, clock, lag } = opened;
  await put(leased(account, AT_MS + 20_000));
  await keeper.settle();
  clock.advance(60_000);
  lag(50_000);
  await keeper.settle();
  assert.equal(Object.keys((await read())?.leases ?? {}).length, 1);
  lag(10_000);
  await keeper.settle();
  assert.deepEqual((await read())?.leases, {});
});

test('a moment with a fraction is written whole: nobody could read the entry, and what it holds would count nowhere', async () => {
  await using opened = await open();
  const { keeper, put, read, lag } = opened;
  await put(leased(account, AT_MS + 60_000));
  lag(0.25);
  await keeper.settle();
  assert.equal((await read())?.watermark_ms, AT_MS - 1);
});
