// The tables, made as soon as the database is there; what needs them waits for that.
import { BeamlineError } from '../core/errors.ts';
import type { Timers } from '../core/timers.ts';
import { migrate } from '../store/migrations.ts';
import type { SqlStore } from '../store/sql.ts';
import type { Log } from '../telemetry/log.ts';
import { LEDGER_MIGRATIONS } from './schema.ts';

const AGAIN_MS = 1_000;

export interface Schema extends AsyncDisposable {
  readonly isThere: boolean;
  /** Resolves when the tables are there; never if this is closed before. */
  readonly there: Promise<void>;
}

/** Tries once before it resolves, then again and again. Throws what is no absence, for example `conflict`. */
export async function openSchema(store: SqlStore, timers: Timers, log: Log): Promise<Schema> {
  const closing = new AbortController();
  const { promise: there, resolve } = Promise.withResolvers<void>();
  let isThere = false;
  const attempt = async (): Promise<void> => {
    try {
      const ids = await migrate(store, LEDGER_MIGRATIONS, timers.clock.epochMs());
      if (ids.length > 0) log.info('ledger_migrated', { count: ids.length });
      isThere = true;
      resolve();
    } catch (fault) {
      if (BeamlineError.from(fault).code !== 'unavailable') throw fault;
      log.warn('ledger_database_missing', { fault });
    }
  };
  await attempt();
  const trying = (async () => {
    while (!isThere && !closing.signal.aborted) {
      // eslint-disable-next-line no-await-in-loop -- tries come one after the other
      await timers.sleep(AGAIN_MS, closing.signal).catch(() => undefined);
      if (closing.signal.aborted) return;
      // eslint-disable-next-line no-await-in-loop -- as above
      await attempt().catch((fault: unknown) => log.error('ledger_migration_failed', { fault }));
    }
  })();
  return {
    get isThere() {
      return isThere;
    },
    there,
    async [Symbol.asyncDispose]() {
      closing.abort();
      await trying;
    },
  };
}

/** Begins at once where prices, and so the tables, are there, else later; disposing ends what was begun. */
export async function whenThere(
  prices: { readonly isLoaded: boolean; readonly loaded: Promise<void> },
  begin: () => Promise<() => Promise<void>>,
): Promise<AsyncDisposable> {
  let isClosed = false;
  let end: (() => Promise<void>) | undefined;
  const begun = prices.loaded.then(async () => {
    if (!isClosed) end = await begin();
  });
  if (prices.isLoaded) await begun;
  return {
    async [Symbol.asyncDispose]() {
      isClosed = true;
      if (prices.isLoaded) await begun;
      await end?.();
    },
  };
}
