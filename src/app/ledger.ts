// The ledger's wiring: its database, the configuration's prices, what is compared, and what becomes of old rows.
import { mkdir, open, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Bus } from '../bus/bus.ts';
import { priceLines } from '../catalog/price-book.ts';
import type { Config } from '../config/schema.ts';
import { budgetBucket } from '../contracts/budget.ts';
import { newProcessId } from '../core/ids.ts';
import { BudgetKeeper } from '../ledger/budget-keeper.ts';
import { type Ledger, startLedger } from '../ledger/ledger.ts';
import { reconcile } from '../ledger/reconcile.ts';
import type { RetentionRule } from '../ledger/retention.ts';
import { type ExportManifest, exportUsage } from '../ledger/usage-export.ts';
import type { SqlStore } from '../store/sql.ts';
import { crashingBucket, crashPoints } from './crash-points.ts';
import type { Ground } from './ground.ts';
import { jobWitness, leasesPastHold } from './ledger-witness.ts';
import { ledgerAddress, openLedgerStore } from './ledger-store.ts';
import { openSpilledLetters } from './spilled-letters.ts';

/** Rows of a ledger in memory, of about a kilobyte each. */
const MEMORY_ROWS_MAX = 12_000;
/** Some 12,000 events. */
const BACKLOG_BYTES = 8_388_608;

export async function openLedger(ground: Ground, bus: Bus): Promise<Ledger> {
  const { config, timers } = ground;
  await using opening = new AsyncDisposableStack();
  const store = opening.use(await openLedgerStore(ground));
  const { spill } = opening.use(await openSpilledLetters(ground, bus, 'ledger'));
  const crash = crashPoints(ground);
  let tables = store;
  const ledger = opening.use(
    await startLedger({
      ...ground,
      bus,
      store,
      id: newProcessId('ledger'),
      spill,
      prices: priceLines(config.providers.list),
      batch: config.ledger.batch,
      isAlone: config.nats.url === undefined,
      crash,
      backlogBytes: isPassing(config) ? BACKLOG_BYTES : undefined,
      retention: retentionOf(ground, store),
      reconcile: async (period) =>
        reconcile(tables, period, [await jobWitness(bus, period)], await leasesPastHold(bus, timers.clock.epochMs())),
    }),
  );
  tables = ledger.store;
  const bucket = crashingBucket(await bus.openBucket(budgetBucket), crash, [[17, 18]]);
  const { foldedUntilMs } = ledger;
  const { log, metrics } = ground.telemetry;
  const keeper = opening.use(
    new BudgetKeeper({ bucket, store: tables, timers, log: log.for('ledger'), foldedUntilMs }),
  );
  const leases = metrics.gauge({ name: 'ledger_leases', help: 'Leases of budgets that processes hold.' }).of();
  metrics.beforeRender(() => leases.set(keeper.leases));
  const opened = opening.move();
  return { ...ledger, [Symbol.asyncDispose]: () => opened.disposeAsync() };
}

/** The ledger and the stream before it end with this process. */
const isPassing = (config: Config): boolean => ledgerAddress(config) === undefined && config.nats.url === undefined;

function retentionOf({ config }: Ground, store: SqlStore): RetentionRule {
  const { retention_days: days, export_dir: folder } = config.ledger;
  if (ledgerAddress(config) === undefined) return { kind: 'newest', rowsMax: MEMORY_ROWS_MAX };
  return {
    kind: 'days',
    days,
    exportBefore: folder === undefined ? undefined : (until) => exportTo(folder, store, until),
  };
}

/** One file of lines and one manifest; a name that stands is whole. */
async function exportTo(folder: string, store: SqlStore, until: number): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const path = join(folder, `usage-until-${new Date(until).toISOString().replaceAll(':', '-')}.ndjson`);
  const manifest = await writeRows(`${path}.part`, store, until);
  await writeFile(`${path}.manifest.json`, `${JSON.stringify(manifest, null, 2)}\n`, { mode: 0o600, flush: true });
  await rename(`${path}.part`, path);
}

async function writeRows(path: string, store: SqlStore, until: number): Promise<ExportManifest> {
  await using file = await open(path, 'w', 0o600);
  const manifest = await exportUsage(store, { since: 0, until }, 'json', (text) => file.appendFile(text));
  await file.sync();
  return manifest;
}
