// `npm run bench:ledger`: how many usage events a second one process folds, into a file of SQLite and into PostgreSQL, in batches as
// the ledger makes them, each event new. Rows are made of events in the measured time as well: digest, cost and its parts.
// Exit code 0: both targets hold; 1: one is missed.
/* eslint-disable no-console, no-await-in-loop -- a command of its own; batches come one after the other */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openPriceBook } from '../src/catalog/price-book.ts';
import type { UsageEvent } from '../src/contracts/usage.ts';
import { systemClock } from '../src/core/clock.ts';
import { Timers } from '../src/core/timers.ts';
import { LEDGER_MIGRATIONS } from '../src/ledger/schema.ts';
import { foldUsage } from '../src/ledger/usage-fold.ts';
import { usageRowOf } from '../src/ledger/usage-row.ts';
import { migrate } from '../src/store/migrations.ts';
import { openPostgres } from '../src/store/postgres.ts';
import type { SqlStore } from '../src/store/sql.ts';
import { openSqlite } from '../src/store/sqlite.ts';
import { openLog } from '../src/telemetry/log.ts';
import { startPostgresServer } from '../test/postgres-server.ts';
import { describeMachine } from './machine.ts';

const EVENTS = 100_000;
const WARM_UP = 10_000;
const BATCH = 500;
const TENANTS = 20;
const USERS = 500;

const prices = openPriceBook([
  {
    provider: 'alder',
    model: 'small',
    prices: { input: 800_000, cached_input: 80_000, output: 4_000_000 },
    version: 'v1',
  },
]);

const eventOf = (n: number): UsageEvent => ({
  version: '1',
  usage_id: `tenant-${n % TENANTS}:3f0c7c2e-0000-4000-8000-${String(n).padStart(12, '0')}:1`,
  tenant_id: `tenant-${n % TENANTS}`,
  provider_id: 'alder',
  event_type: 'ai.chat',
  status: 'success',
  latency_ms: 812,
  cost: 0.001,
  timestamp: 1_795_000_000_000 + n,
  assignment_id: `3f0c7c2e-0000-4000-8000-${String(n).padStart(12, '0')}`,
  attempt: 1,
  request_id: `req_${String(n).padStart(26, '0')}`,
  trace_id: '4bf92f3577b34da6a3ce929d0e0e4736',
  model: 'small',
  input_tokens: 900 + (n % 100),
  output_tokens: 200,
  cached_input_tokens: 100,
  cost_micro_usd: 1000,
  currency: 'USD',
  billable: true,
  policy_id: 'default',
  policy_revision: 3,
  key_id: `key_${n % 50}`,
  user_id: `user-${n % USERS}`,
  worker_id: 'worker-959d0b18f322b8b9',
  ttft_ms: 211,
  finish_reason: 'stop',
});

/** Events a second. */
async function rateOf(store: SqlStore): Promise<number> {
  await migrate(store, LEDGER_MIGRATIONS, 0);
  const fold = async (from: number, to: number): Promise<void> => {
    for (let at = from; at < to; at += BATCH) {
      const events = Array.from({ length: Math.min(BATCH, to - at) }, (_, n) => eventOf(at + n));
      await foldUsage(
        store,
        events.map((event) => usageRowOf(event, prices, 0)),
        0,
      );
    }
  };
  await fold(0, WARM_UP);
  const startMs = performance.now();
  await fold(WARM_UP, WARM_UP + EVENTS);
  const seconds = (performance.now() - startMs) / 1000;
  const [row] = await store.all<{ count: number }>('SELECT COUNT(*) AS count FROM usage_events');
  if (row?.count !== WARM_UP + EVENTS) throw new Error(`${row?.count} rows of ${WARM_UP + EVENTS}`);
  return EVENTS / seconds;
}

const folder = mkdtempSync(join(tmpdir(), 'beamline-bench-ledger-'));
const figures: (readonly [title: string, rate: number, least: number])[] = [];
try {
  using timers = new Timers(systemClock);
  await using file = openSqlite({ path: join(folder, 'ledger.sqlite'), timers });
  figures.push(['SQLite, file, WAL, full sync', await rateOf(file), 20_000]);
  await using memory = openSqlite({ path: ':memory:', timers });
  figures.push(['SQLite, memory', await rateOf(memory), 20_000]);
  await using server = await startPostgresServer({ isDurable: true });
  await using postgres = openPostgres({
    url: server.createDatabase(),
    log: openLog('error', { write: console.error }),
  });
  figures.push(['PostgreSQL, same machine, fsync on', await rateOf(postgres), 5_000]);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
console.log(`| ${EVENTS} events in batches of ${BATCH} | events/s | us each | at least | |`);
console.log('| --- | --- | --- | --- | --- |');
for (const [title, rate, least] of figures) {
  console.log(
    `| ${title} | ${Math.round(rate)} | ${(1e6 / rate).toFixed(1)} | ${least} | ${rate >= least ? 'pass' : 'missed'} |`,
  );
}
const { cpu, cores, memoryGb, kernel, node, commit, loadBefore } = describeMachine();
console.log(`\n${cpu}, ${cores} cores, ${memoryGb} GB, Linux ${kernel}, Node ${node}, ${commit}, load ${loadBefore}`);
if (figures.some(([, rate, least]) => rate < least)) process.exitCode = 1;
