// SQL in this process and one file: a write-ahead log, one connection that everybody waits for in turn.
// S1. Every statement holds the event loop while it runs, so reports must be bounded by their askers.
// S2. What changed the file is told only when the log is on the disk; the loop and the next in turn do not wait for that,
//     but for once in 16 MiB, when the log goes into the file.
import { realpathSync } from 'node:fs';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { BeamlineError } from '../core/errors.ts';
import type { Timers } from '../core/timers.ts';
import type { SqlRow, SqlSession, SqlStore, SqlValue } from './sql.ts';
import { type DataSync, SqliteLog } from './sqlite-log.ts';

/** How long a lock of another process is waited for, without holding the event loop. */
const BUSY_MS = 5_000;
const BUSY_PAUSE_MS = 10;
/** Prepared statements that are kept; the texts are constants, so more would be a defect. */
const STATEMENTS_MAX = 256;
const WAITING_MAX = 1_000;
const MEMORY = ':memory:';
/** The log is synced by `SqliteLog`, and by SQLite before it goes into the file. 16 MiB of pages in memory, and as much in the log before it goes into the file, so that indexes are not read back for each batch. */
const PRAGMAS = [
  'PRAGMA synchronous = NORMAL',
  'PRAGMA foreign_keys = ON',
  'PRAGMA cache_size = -16384',
  'PRAGMA wal_autocheckpoint = 4096',
].join(';');

/** Result codes (SQLite, "Result and Error Codes"): busy, locked, out of memory, read-only, I/O, corrupt, full, cannot open, protocol, not a database. */
const AWAY: ReadonlySet<number> = new Set([5, 6, 7, 8, 10, 11, 13, 14, 15, 26]);
const BUSY: ReadonlySet<string> = new Set(['sqlite_5', 'sqlite_6']);
const CONSTRAINT = 19;

export interface SqliteOptions {
  /** A file or `:memory:`. */
  readonly path: string;
  readonly timers: Timers;
  /** Another way to make the log last, for tests. */
  readonly dataSync?: DataSync;
}

/** Throws `unavailable` for a file that cannot be opened. */
export function openSqlite({ path, timers, dataSync }: SqliteOptions): SqlStore {
  const database = guarded(() => openDatabase(path));
  return new SqliteStore(database, timers, path === MEMORY ? undefined : new SqliteLog(realpathSync(path), dataSync));
}

function openDatabase(path: string): DatabaseSync {
  const database = new DatabaseSync(path);
  try {
    const mode = database.prepare('PRAGMA journal_mode = WAL').get()?.['journal_mode'];
    if (path !== MEMORY && mode !== 'wal') {
      throw new BeamlineError('unavailable', `the folder of the database lets it have no log (${String(mode)})`);
    }
    database.exec(PRAGMAS);
    return database;
  } catch (fault) {
    database.close();
    throw fault;
  }
}

class SqliteStore implements SqlStore {
  readonly dialect = 'sqlite';
  readonly #database: DatabaseSync;
  readonly #session: SqliteSession;
  readonly #timers: Timers;
  readonly #log: SqliteLog | undefined;
  #waiting = 0;
  #tail: Promise<unknown> = Promise.resolve();

  constructor(database: DatabaseSync, timers: Timers, log: SqliteLog | undefined) {
    this.#database = database;
    this.#timers = timers;
    this.#log = log;
    this.#session = new SqliteSession(database);
  }

  run(statement: string, params?: readonly SqlValue[]): Promise<number> {
    return this.#lasting(() => this.#patiently(() => this.#session.run(statement, params)));
  }

  all<Row extends object = SqlRow>(statement: string, params?: readonly SqlValue[]): Promise<readonly Row[]> {
    return this.#lasting(() => this.#patiently(() => this.#session.all<Row>(statement, params)));
  }

  transaction<T>(work: (session: SqlSession) => Promise<T>): Promise<T> {
    return this.#lasting(async () => {
      // Immediate: a write lock that is asked for in the middle could not be waited for.
      await this.#patiently(async () => guarded(() => this.#database.exec('BEGIN IMMEDIATE')));
      try {
        const result = await work(this.#session);
        guarded(() => this.#database.exec('COMMIT'));
        return result;
      } catch (fault) {
        this.#rollBack();
        throw fault;
      }
    });
  }

  /** Every writing transaction is alone in its file. */
  exclusive<T>(_name: string, work: (session: SqlSession) => Promise<T>): Promise<T> {
    return this.transaction(work);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#tail;
    await this.#log?.[Symbol.asyncDispose]();
    if (this.#database.isOpen) this.#database.close();
  }

  /** Also after what only read: a log with nothing new is synced at once. */
  async #lasting<T>(work: () => Promise<T>): Promise<T> {
    if (this.#waiting >= WAITING_MAX) {
      throw new BeamlineError('service_overloaded', 'too much waits for the database');
    }
    this.#waiting++;
    try {
      const done = this.#tail.then(work);
      this.#tail = done.catch(() => undefined);
      const result = await done;
      await this.#log?.synced();
      return result;
    } finally {
      this.#waiting--;
    }
  }

  /** Tries again while another process holds the lock. */
  async #patiently<T>(work: () => Promise<T>): Promise<T> {
    const { clock } = this.#timers;
    const untilMs = clock.nowMs() + BUSY_MS;
    for (;;) {
      try {
        // eslint-disable-next-line no-await-in-loop -- tries come one after the other
        return await work();
      } catch (fault) {
        if (!isBusy(fault) || clock.nowMs() >= untilMs) throw fault;
      }
      // eslint-disable-next-line no-await-in-loop -- as above
      await this.#timers.sleep(BUSY_PAUSE_MS);
    }
  }

  /** Some faults have ended the transaction already. */
  #rollBack(): void {
    if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
  }
}

class SqliteSession implements SqlSession {
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();

  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  async run(statement: string, params: readonly SqlValue[] = []): Promise<number> {
    return guarded(() => Number(this.#prepared(statement).run(...params).changes));
  }

  async all<Row extends object = SqlRow>(statement: string, params: readonly SqlValue[] = []): Promise<readonly Row[]> {
    // The caller says which columns its statement names.
    return guarded(
      () =>
        this.#prepared(statement)
          .all(...params)
          .map(exact) as Row[],
    );
  }

  #prepared(text: string): StatementSync {
    const known = this.#statements.get(text);
    if (known !== undefined) return known;
    if (this.#statements.size >= STATEMENTS_MAX) this.#statements.clear();
    const statement = this.#database.prepare(text);
    statement.setReadBigInts(true);
    this.#statements.set(text, statement);
    return statement;
  }
}

const isBusy = (fault: unknown): boolean => fault instanceof BeamlineError && BUSY.has(String(fault.details['reason']));

function exact(row: Readonly<Record<string, unknown>>): object {
  const read: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(row)) {
    const number = typeof value === 'bigint' ? Number(value) : Number.NaN;
    read[name] = Number.isSafeInteger(number) ? number : value;
  }
  return read;
}

function guarded<T>(work: () => T): T {
  try {
    return work();
  } catch (fault) {
    throw classified(fault);
  }
}

function classified(fault: unknown): BeamlineError {
  if (fault instanceof BeamlineError) return fault;
  const { errcode, code } = fault as { readonly errcode?: unknown; readonly code?: unknown };
  const result = typeof errcode === 'number' ? errcode & 0xff : -1;
  const details = { reason: `sqlite_${result}` };
  if (AWAY.has(result)) return new BeamlineError('unavailable', 'the database is away', { cause: fault, details });
  if (code === 'ERR_INVALID_STATE') return new BeamlineError('unavailable', 'the database is closed', { cause: fault });
  if (result === CONSTRAINT) return new BeamlineError('conflict', 'a key exists already', { cause: fault, details });
  return new BeamlineError('internal', 'a statement failed', { cause: fault, details });
}
