// Opens the database that the configuration names: PostgreSQL, a file of SQLite, or the memory of this process.
import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Config } from '../config/schema.ts';
import type { SqlStore } from '../store/sql.ts';
import type { Ground } from './ground.ts';
import { requiredSecret } from './secret.ts';

const MEMORY = ':memory:';

/** Where the rows are; undefined in memory. */
export function ledgerAddress({ ledger, data_dir: dataDir }: Config): string | undefined {
  if (ledger.url !== undefined) return ledger.url === `sqlite:${MEMORY}` ? undefined : ledger.url;
  return dataDir === undefined ? undefined : `sqlite:${join(dataDir, 'ledger.sqlite')}`;
}

/** Throws `unavailable` for a file that cannot be opened, `validation_failed` for a reference to nothing. */
export async function openLedgerStore({ config, timers, telemetry }: Ground): Promise<SqlStore> {
  const address = ledgerAddress(config) ?? `sqlite:${MEMORY}`;
  const url = /^(env|file):/.test(address) ? (requiredSecret('ledger.url', address, timers.clock)() ?? '') : address;
  if (!url.startsWith('sqlite:')) {
    // Loaded when it is needed: an embedded ledger has no use for the client library.
    const { openPostgres } = await import('../store/postgres.ts');
    return openPostgres({ url, log: telemetry.log.for('ledger') });
  }
  const { openSqlite } = await import('../store/sqlite.ts');
  const path = url.slice('sqlite:'.length);
  if (path !== MEMORY) mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  return openSqlite({ path, timers });
}
