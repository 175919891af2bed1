// What a fold must do on every SQL store.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { UsageEvent } from '../contracts/usage.ts';
import type { SqlStore } from '../store/sql.ts';
import { AT_MS, rowsOf, usageEvent } from './ledger-fixture.ts';
import { providerCosts } from './provider-costs.ts';
import { sumOldSpend } from './spend.ts';
import { foldUsage } from './usage-fold.ts';

const HOUR_MS = 3_600_000;

export type Open = () => Promise<{ readonly store: SqlStore } & AsyncDisposable>;

export const fold = (store: SqlStore, events: readonly UsageEvent[]) => foldUsage(store, rowsOf(events), AT_MS);

export interface Account {
  readonly rows: number;
  readonly cost: number;
  readonly spent: number;
}

/** The cost of all rows, and what `spend` says of it. */
export async function accountOf(store: SqlStore): Promise<Account | undefined> {
  const [account] = await store.all<Account>(
    `SELECT COUNT(*) AS rows, CAST(SUM(cost_micro_usd) AS BIGINT) AS cost, (SELECT CAST(SUM(amount) AS BIGINT) FROM spend
     WHERE unit = 'micro_usd' AND scope = 'tenant') AS spent FROM usage_events`,
  );
  return account === undefined ? undefined : { ...account };
}

const estimated = usageEvent({ estimated: true, input_tokens: 10, output_tokens: 10, status: 'timeout' });
const measured = usageEvent({ status: 'cancelled', tags: [] });

const CASES: readonly (readonly [name: string, run: (store: SqlStore) => Promise<void>])[] = [
  [
    'counts an event once, and knows its repeat',
    async (store) => {
      assert.equal((await fold(store, [usageEvent(), usageEvent()])).results.repeated, 1);
      assert.deepEqual((await fold(store, [usageEvent()])).results, {
        folded: 0,
        repeated: 1,
        adjusted: 0,
        superseded: 0,
        conflict: 0,
      });
      assert.deepEqual(await accountOf(store), { rows: 1, cost: 4, spent: 4 });
    },
  ],
  [
    'knows an event of an old sender by its assignment and attempt',
    async (store) => {
      const { usage_id: _, ...old } = usageEvent();
      await fold(store, [old]);
      const { results } = await fold(store, [old, usageEvent({ attempt: 2 })]);
      assert.deepEqual([results.repeated, results.folded], [1, 1]);
    },
  ],
  [
    'puts old hours of what was spent together, however often, and goes on counting',
    async (store) => {
      const hoursAgo = (hours: number) =>
        usageEvent({ assignment_id: `a-${hours}`, timestamp: AT_MS - hours * HOUR_MS });
      const hours = async () =>
        (
          await store.all<{ window_start: number | bigint; amount: number | bigint }>(
            "SELECT window_start, amount FROM spend WHERE scope = 'tenant' AND unit = 'micro_usd' ORDER BY window_start",
          )
        ).map(({ window_start: start, amount }) => [
          start === 0 ? 0 : (AT_MS - Number(start)) / HOUR_MS,
          Number(amount),
        ]);
      await fold(store, [0, 1, 2, 3, 4].map(hoursAgo));
      await sumOldSpend(store, AT_MS - 2 * HOUR_MS);
      assert.deepEqual(await hours(), [
        [0, 12],
        [1.5, 4],
        [0.5, 4],
      ]);
      await fold(store, [hoursAgo(5)]);
      await sumOldSpend(store, AT_MS - 2 * HOUR_MS);
      await sumOldSpend(store, AT_MS - 2 * HOUR_MS);
      assert.deepEqual(await hours(), [
        [0, 16],
        [1.5, 4],
        [0.5, 4],
      ]);
      assert.deepEqual(await accountOf(store), { rows: 6, cost: 24, spent: 24 });
    },
  ],
  [
    'corrects an estimate by what was measured, as a row of the differences',
    async (store) => {
      await fold(store, [estimated]);
      assert.deepEqual(await accountOf(store), { rows: 1, cost: 30, spent: 30 });
      const { results } = await fold(store, [measured, measured]);
      assert.deepEqual([results.adjusted, results.repeated], [1, 1]);
      assert.equal((await fold(store, [measured, estimated])).results.repeated, 2);
      assert.deepEqual(await accountOf(store), { rows: 2, cost: 4, spent: 4 });
      const [row] = await store.all(
        'SELECT usage_id, adjusts, input_tokens FROM usage_events WHERE adjusts IS NOT NULL',
      );
      assert.deepEqual({ ...row }, { usage_id: 'acme:a-1:1:adj:1', adjusts: 'acme:a-1:1', input_tokens: -8 });
    },
  ],
  [
    'lets no estimate change what is known',
    async (store) => {
      await fold(store, [measured]);
      assert.equal((await fold(store, [estimated])).results.superseded, 1);
      assert.deepEqual(await accountOf(store), { rows: 1, cost: 4, spent: 4 });
    },
  ],
  [
    'keeps another event under a known key as a conflict, once, and changes no sum',
    async (store) => {
      const other = usageEvent({ input_tokens: 500 });
      await fold(store, [usageEvent()]);
      assert.equal((await fold(store, [other])).results.conflict, 1);
      assert.equal((await fold(store, [other, usageEvent()])).results.conflict, 0);
      await fold(store, [estimated]);
      const third = await fold(store, [
        usageEvent({ assignment_id: 'b', estimated: true }),
        usageEvent({ assignment_id: 'b' }),
      ]);
      assert.equal(third.results.adjusted, 1);
      assert.equal((await fold(store, [usageEvent({ assignment_id: 'b', output_tokens: 9 })])).results.conflict, 1);
      assert.deepEqual(await accountOf(store), { rows: 3, cost: 8, spent: 8 });
    },
  ],
  [
    'takes a correction that came from outside as the row that it is',
    async (store) => {
      const invoice = usageEvent({ usage_id: 'acme:a-1:1:adj:1', adjusts: 'acme:a-1:1', cost_micro_usd: 3 });
      await fold(store, [invoice, estimated]);
      assert.equal((await fold(store, [measured])).results.adjusted, 1);
      assert.deepEqual(await accountOf(store), { rows: 3, cost: 7, spent: 7 });
    },
  ],
  [
    'counts by tenant, provider, key, policy, both, user and tag, and leaves out what nobody is billed for',
    async (store) => {
      const named = { key_id: 'k', policy_id: 'p', user_id: 'u\u0000\n', tags: ['t', 't'] };
      await fold(store, [usageEvent(named), usageEvent({ assignment_id: 'b', shadow: true })]);
      const rows = await store.all<{ scope: string; amount: number }>(
        "SELECT scope, amount FROM spend WHERE unit = 'tokens' ORDER BY scope",
      );
      const within = ['policy:p', 'policy:p key:k', 'policy:p user:u\uFFFD\n'];
      const scopes = ['key:k', ...within, 'provider:alder', 'tag:t', 'tenant', 'user:u\uFFFD\n'];
      assert.deepEqual(
        rows.map(({ scope, amount }) => [scope, amount]),
        scopes.map((scope) => [scope, 3]),
      );
    },
  ],
  [
    'sums by provider and model what rows of all tenants cost, also what nobody is billed for, in pages',
    async (store) => {
      const named = (n: number) => usageEvent({ assignment_id: `m-${n}`, model: `M-${n % 310}`, cost_micro_usd: 5 });
      await fold(store, [estimated, usageEvent({ assignment_id: 'b', shadow: true, tenant_id: 'zeta' })]);
      await fold(store, [measured]);
      await fold(
        store,
        Array.from({ length: 320 }, (_, n) => named(n)),
      );
      const period = { since: 0, until: Date.UTC(2100, 0, 1) };
      await assert.rejects(providerCosts(store, period), { code: 'invalid_request' });
      const seen: (readonly unknown[])[] = [];
      const asked = { since: estimated.timestamp, until: estimated.timestamp + 1 };
      for (let after: Awaited<ReturnType<typeof providerCosts>>['next']; ;) {
        // eslint-disable-next-line no-await-in-loop -- page after page
        const { costs, next } = await providerCosts(store, after === undefined ? asked : { ...asked, after });
        seen.push(...costs.map(({ provider, model, cost_micro_usd: cost }) => [provider, model, cost]));
        if (next === undefined) break;
        after = next;
      }
      const models = new Map(seen.map(([, model, cost]) => [model, cost]));
      assert.deepEqual([seen.length, models.size], [311, 311]);
      assert.deepEqual([models.get('small'), models.get('M-3'), models.get('M-309')], [8, 10, 5]);
    },
  ],
  [
    'counts a text that no database holds as it is once, too',
    async (store) => {
      const odd = usageEvent({ usage_id: 'a\u0000b\uD800', user_id: '\uDC00' });
      assert.equal((await fold(store, [odd])).results.folded, 1);
      assert.equal((await fold(store, [odd])).results.repeated, 1);
      assert.deepEqual(await accountOf(store), { rows: 1, cost: 4, spent: 4 });
    },
  ],
  [
    'folds in two ledgers at once what each hears twice',
    async (store) => {
      const events = Array.from({ length: 230 }, (_, n) => usageEvent({ assignment_id: `a-${n}` }));
      const folds = await Promise.all([fold(store, events), fold(store, events.toReversed())]);
      assert.equal(
        folds.reduce((sum, { results }) => sum + results.folded, 0),
        230,
      );
      assert.deepEqual(await accountOf(store), { rows: 230, cost: 920, spent: 920 });
    },
  ],
];

export function testFold(name: string, open: Open): void {
  for (const [what, run] of CASES) {
    test(`${name} ${what}`, async () => {
      await using opened = await open();
      await run(opened.store);
    });
  }
}
