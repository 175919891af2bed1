// What tests of the ledger share: events, prices, and a database that has its tables.
import { openPriceBook, type PriceBook } from '../catalog/price-book.ts';
import type { UsageEvent } from '../contracts/usage.ts';
import { systemClock } from '../core/clock.ts';
import { Timers } from '../core/timers.ts';
import { migrate } from '../store/migrations.ts';
import type { SqlStore } from '../store/sql.ts';
import { openSqlite } from '../store/sqlite.ts';
import { LEDGER_MIGRATIONS } from './schema.ts';
import { type FoldedUsage, usageRowOf } from './usage-row.ts';

/** 2026-11-01T10:30:00Z. */
export const AT_MS = Date.UTC(2026, 10, 1, 10, 30);

export const PRICES: PriceBook = openPriceBook([
  { provider: 'alder', model: 'small', prices: { input: 1_000_000, output: 2_000_000 }, version: 'v1' },
  { provider: 'birch', model: 'small', prices: { input: 3_000_000, output: 5_000_000 }, version: 'v1' },
]);

/** 2 tokens in and 1 out, which cost 4 micro-USD at alder. */
export const usageEvent = (more: Partial<UsageEvent> = {}): UsageEvent => ({
  version: '1',
  usage_id: `${more.tenant_id ?? 'acme'}:${more.assignment_id ?? 'a-1'}:${more.attempt ?? 1}`,
  tenant_id: 'acme',
  provider_id: 'alder',
  event_type: 'ai.chat',
  status: 'success',
  latency_ms: 1,
  cost: 0.000004,
  timestamp: AT_MS,
  assignment_id: 'a-1',
  request_id: 'req-1',
  attempt: 1,
  model: 'small',
  input_tokens: 2,
  output_tokens: 1,
  cost_micro_usd: 4,
  ...more,
});

export const rowsOf = (events: readonly UsageEvent[], epochMs = AT_MS): readonly FoldedUsage[] =>
  events.map((event) => usageRowOf(event, PRICES, epochMs));

export interface OpenedLedgerStore extends AsyncDisposable {
  readonly store: SqlStore;
}

/** An empty ledger in memory, or in the file. */
export async function openLedgerStore(path = ':memory:'): Promise<OpenedLedgerStore> {
  const timers = new Timers(systemClock, { tickMs: 5 });
  const store = openSqlite({ path, timers });
  await migrate(store, LEDGER_MIGRATIONS, AT_MS);
  return {
    store,
    async [Symbol.asyncDispose]() {
      await store[Symbol.asyncDispose]();
      timers[Symbol.dispose]();
    },
  };
}

/** Everything that the ledger knows, but for the moments at which it was told. */
export async function contentOf(store: SqlStore): Promise<object> {
  const [rows, tags, spend, conflicts] = await Promise.all([
    store.all('SELECT * FROM usage_events ORDER BY usage_id'),
    store.all('SELECT * FROM usage_tags ORDER BY usage_id, tag'),
    store.all('SELECT * FROM spend ORDER BY tenant_id, scope, unit, window_start'),
    store.all('SELECT usage_id, digest FROM usage_conflicts ORDER BY usage_id, digest'),
  ]);
  for (const row of rows) Object.assign(row, { folded_at: 0 });
  return { rows, tags, spend, conflicts };
}
