// Whatever comes in whatever order: the same tables, on both stores.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import { type PostgresServer, startPostgresServer } from '../../test/postgres-server.ts';
import type { UsageEvent } from '../contracts/usage.ts';
import { openLog } from '../telemetry/log.ts';
import { migrate } from '../store/migrations.ts';
import { openPostgres } from '../store/postgres.ts';
import { accountOf, fold, type Open } from './conformance.ts';
import { AT_MS, contentOf, openLedgerStore, usageEvent } from './ledger-fixture.ts';
import { LEDGER_MIGRATIONS } from './schema.ts';

const log = openLog('silent', { write: () => undefined });

let server: PostgresServer;
before(async () => {
  server = await startPostgresServer();
});
after(() => server.stop());

const openOnPostgres: Open = async () => {
  const store = openPostgres({ url: server.createDatabase(), log });
  await migrate(store, LEDGER_MIGRATIONS, 0);
  return { store, [Symbol.asyncDispose]: () => store[Symbol.asyncDispose]() };
};

const eventOf = (assignment: number, attempt: number): UsageEvent =>
  usageEvent({
    assignment_id: `a-${assignment}`,
    attempt,
    tenant_id: assignment % 3 === 0 ? 'acme' : 'zeta',
    provider_id: assignment % 2 === 0 ? 'alder' : 'birch',
    input_tokens: assignment,
    timestamp: AT_MS + assignment * 1_000_000,
    ...(assignment % 4 === 0 ? { tags: ['even', `t${assignment}`] } : {}),
    ...(assignment % 5 === 0 ? { billable: false } : {}),
  });

const STORES: readonly (readonly [name: string, open: Open, runs: number])[] = [
  ['SQLite', () => openLedgerStore(), 60],
  ['PostgreSQL', openOnPostgres, 5],
];

for (const [name, open, runs] of STORES) {
  const arrivals = fc.array(fc.tuple(fc.nat({ max: 20 }), fc.integer({ min: 1, max: 3 })), { maxLength: 150 });
  const cuts = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 8 });

  test(`the fold on ${name} has the same tables whatever the order, the repeats and the batches were`, async () => {
    await fc.assert(
      fc.asyncProperty(arrivals, cuts, async (coming, lengths) => {
        await using once = await open();
        await using often = await open();
        const keys = new Map(
          coming.map(([assignment, attempt]) => [`${assignment}:${attempt}`, [assignment, attempt] as const]),
        );
        await fold(
          once.store,
          [...keys.values()].toSorted(([a, n], [b, m]) => a - b || n - m).map(([a, n]) => eventOf(a, n)),
        );
        const events = coming.map(([a, n]) => eventOf(a, n));
        for (let at = 0, turn = 0; at < events.length; turn++) {
          const length = lengths[turn % lengths.length] ?? 1;
          await fold(often.store, events.slice(at, at + length));
          // What a ledger that died after its commit hears again.
          if (turn % 3 === 0) await fold(often.store, events.slice(Math.max(0, at - 5), at + length));
          at += length;
        }
        assert.deepEqual(await contentOf(often.store), await contentOf(once.store));
      }),
      { numRuns: runs },
    );
  });

  test(`the fold on ${name} has the same sums whether the estimate or the measurement came first`, async () => {
    const versions = fc.array(fc.tuple(fc.nat({ max: 6 }), fc.boolean()), { maxLength: 40 });
    await fc.assert(
      fc.asyncProperty(versions, async (coming) => {
        await using opened = await open();
        for (const [assignment, isEstimated] of coming) {
          await fold(opened.store, [
            usageEvent({
              assignment_id: `a-${assignment}`,
              ...(isEstimated ? { estimated: true, input_tokens: 90 } : {}),
            }),
          ]);
        }
        const isMeasured = new Map<number, boolean>();
        for (const [a, isEstimated] of coming) isMeasured.set(a, isMeasured.get(a) === true || !isEstimated);
        const cost = [...isMeasured.values()].reduce((sum, known) => sum + (known ? 4 : 92), 0);
        const account = await accountOf(opened.store);
        assert.deepEqual([account?.cost ?? 0, account?.spent ?? 0], [cost, cost]);
      }),
      { numRuns: runs },
    );
  });
}
