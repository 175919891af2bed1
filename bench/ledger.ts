// `npm run bench:ledger`: how many usage events a second one process folds, into a file of SQLite and into PostgreSQL, in batches as
// the ledger makes them, each event new. Rows are made of events in the measured time as well: digest, cost and its parts.
// A full run writes `docs/performance-ledger.md`; `--events N` and `--rounds N` shorten it. Exit code 0: both targets hold; 1: one is missed.
/* eslint-disable no-console, no-await-in-loop -- a command of its own; batches come one after the other */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { parseArgs } from 'node:util';
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
import { holdMachine } from './alone.ts';
import { type Judged, judgedPage, judgedTable, verdictOf } from './judged-page.ts';
import { describeMachine } from './machine.ts';

const WARM_UP = 10_000;
const BATCH = 500;
const TENANTS = 20;
const USERS = 500;
const PAGE = new URL('../docs/performance-ledger.md', import.meta.url);

const { values } = parseArgs({
  allowNegative: true,
  options: {
    events: { type: 'string', default: '100000' },
    rounds: { type: 'string', default: '3' },
    write: { type: 'boolean' },
  },
});
const events = Number(values.events);
const rounds = Number(values.rounds);
const writes = values.write ?? process.argv.length === 2;

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

/** Events a second, of each round: the table grows from one to the next. */
async function ratesOf(store: SqlStore): Promise<readonly number[]> {
  await migrate(store, LEDGER_MIGRATIONS, 0);
  const rowsFrom = (from: number, to: number) =>
    Array.from({ length: Math.min(BATCH, to - from) }, (_, n) => usageRowOf(eventOf(from + n), prices, 0));
  // As the ledger does, which makes the next rows while the database or its disk works.
  const fold = async (from: number, to: number): Promise<void> => {
    let rows = rowsFrom(from, to);
    for (let at = from; at < to; at += BATCH) {
      const folding = foldUsage(store, rows, 0);
      await setImmediate();
      rows = rowsFrom(at + BATCH, Math.max(to, at + BATCH));
      await folding;
    }
  };
  await fold(0, WARM_UP);
  const rates: number[] = [];
  let folded = WARM_UP;
  for (let round = 0; round < rounds; round++) {
    const startMs = performance.now();
    await fold(folded, folded + events);
    folded += events;
    rates.push((events * 1_000) / (performance.now() - startMs));
  }
  const [row] = await store.all<{ count: number }>('SELECT COUNT(*) AS count FROM usage_events');
  if (row?.count !== folded) throw new Error(`${row?.count} rows of ${folded}`);
  return rates;
}

const rate = (title: string, atLeast: number, measured: readonly number[]): Judged => ({
  title,
  unit: 'events/s',
  limit: { atLeast },
  values: measured,
});

await using _machine = await holdMachine();
const machine = describeMachine();
const folder = mkdtempSync(join(tmpdir(), 'beamline-bench-ledger-'));
const figures: Judged[] = [];
try {
  using timers = new Timers(systemClock);
  await using file = openSqlite({ path: join(folder, 'ledger.sqlite'), timers });
  figures.push(rate('SQLite, file, WAL, full sync', 20_000, await ratesOf(file)));
  await using memory = openSqlite({ path: ':memory:', timers });
  figures.push(rate('SQLite, memory', 20_000, await ratesOf(memory)));
  await using server = await startPostgresServer({ isDurable: true });
  await using postgres = openPostgres({
    url: server.createDatabase(),
    log: openLog('error', { write: console.error }),
  });
  figures.push(rate('PostgreSQL, same machine, fsync on', 5_000, await ratesOf(postgres)));
} finally {
  rmSync(folder, { recursive: true, force: true });
}
console.log(judgedTable(figures));
const { cpu, cores, memoryGb, kernel, node, commit, loadBefore } = machine;
console.log(`\n${cpu}, ${cores} cores, ${memoryGb} GB, Linux ${kernel}, Node ${node}, ${commit}, load ${loadBefore}`);
if (writes) {
  const command = ['npm run bench:ledger', ...process.argv.slice(2)].join(' ');
  const method = `Usage events of ${TENANTS} tenants are folded by one process in batches of ${BATCH}, as the ledger makes them, ${events.toLocaleString('en-US')} a round after a warm-up, each new: the row with its digest, its cost and its parts is made in the measured time, and so are the sums of spend. Each round finds the tables larger by what the ones before it folded. PostgreSQL runs on the same cores.`;
  const loadAfter = Number(loadavg()[0]?.toFixed(2));
  const sections = [['Usage events folded', figures]] as const;
  writeFileSync(
    PAGE,
    judgedPage({ title: 'Performance of the ledger', command, method, sections, machine, loadAfter }),
  );
}
if (figures.some((figure) => verdictOf(figure) === 'missed')) process.exitCode = 1;
