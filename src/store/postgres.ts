// SQL on a PostgreSQL server over a small pool: every wait is bounded, a connection that failed is thrown away, and the next
// work opens another, so a server that comes back is used again without anybody's doing.
import { createHash } from 'node:crypto';
import { Pool, type PoolClient, types } from 'pg';
import { BeamlineError } from '../core/errors.ts';
import type { Log } from '../telemetry/log.ts';
import type { SqlRow, SqlSession, SqlStore, SqlValue } from './sql.ts';

const CONNECTIONS = 4;
const CONNECT_MS = 5_000;
const STATEMENT_MS = 30_000;
/** Longer than the server's own limit, for a server that does not answer at all. */
const SILENCE_MS = STATEMENT_MS + 5_000;

/** Classes and codes (PostgreSQL, "Error Codes") after which the same work may succeed later. */
const AWAY = /^(08|28|3D|53|57|58|XX|25006)/;
/** A concurrent transaction won, or a key exists. */
const CONFLICT = /^(40|55P03|23)/;
const SQLSTATE = /^[0-9A-Z]{5}$/;

const INT8 = 20;
const NUMERIC = 1700;

export interface PostgresOptions {
  /** `postgres://user:password@host:port/database`, or a socket folder as the library writes it. */
  readonly url: string;
  readonly log: Log;
  /** Longest time of one statement. */
  readonly statementMs?: number;
}

/** Does not connect yet: a server that is away makes the first statement fail with `unavailable`. */
export function openPostgres({ url, log, statementMs = STATEMENT_MS }: PostgresOptions): SqlStore {
  const pool = new Pool({
    connectionString: url,
    max: CONNECTIONS,
    connectionTimeoutMillis: CONNECT_MS,
    statement_timeout: statementMs,
    query_timeout: Math.min(SILENCE_MS, statementMs + 5_000),
    idle_in_transaction_session_timeout: SILENCE_MS,
    keepAlive: true,
    allowExitOnIdle: true,
    types: { getTypeParser: (oid, format) => exactParser(oid) ?? types.getTypeParser(oid, format) },
  });
  // A connection that breaks while nobody uses it; the pool has thrown it away.
  pool.on('error', (fault) => log.warn('postgres_connection_lost', { fault }));
  return new PostgresStore(pool);
}

class PostgresStore implements SqlStore {
  readonly dialect = 'postgres';
  readonly #pool: Pool;
  #isClosed = false;

  constructor(pool: Pool) {
    this.#pool = pool;
  }

  run(statement: string, params?: readonly SqlValue[]): Promise<number> {
    return this.#withClient((session) => session.run(statement, params));
  }

  all<Row extends object = SqlRow>(statement: string, params?: readonly SqlValue[]): Promise<readonly Row[]> {
    return this.#withClient((session) => session.all<Row>(statement, params));
  }

  transaction<T>(work: (session: SqlSession) => Promise<T>): Promise<T> {
    return this.#withClient((session) => inTransaction(session, work));
  }

  exclusive<T>(name: string, work: (session: SqlSession) => Promise<T>): Promise<T> {
    return this.transaction(async (session) => {
      await session.all('SELECT pg_advisory_xact_lock(?)', [lockOf(name)]);
      return work(session);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#pool.end();
  }

  async #withClient<T>(work: (session: PostgresSession) => Promise<T>): Promise<T> {
    const client = await this.#pool.connect().catch((fault: unknown) => {
      throw classified(fault);
    });
    const session = new PostgresSession(client);
    // Without a listener a connection that breaks between two statements would end the process.
    const broken = (): void => void (session.isBroken = true);
    client.on('error', broken);
    try {
      return await work(session);
    } finally {
      client.off('error', broken);
      client.release(session.isBroken);
    }
  }
}

async function inTransaction<T>(session: PostgresSession, work: (session: SqlSession) => Promise<T>): Promise<T> {
  await session.run('BEGIN');
  try {
    const result = await work(session);
    await session.run('COMMIT');
    return result;
  } catch (fault) {
    if (!session.isBroken) await session.run('ROLLBACK').catch(() => void (session.isBroken = true));
    throw fault;
  }
}

class PostgresSession implements SqlSession {
  readonly #client: PoolClient;
  /** The connection must not be used again. */
  isBroken = false;

  constructor(client: PoolClient) {
    this.#client = client;
  }

  async run(statement: string, params: readonly SqlValue[] = []): Promise<number> {
    return (await this.#query(statement, params)).rowCount ?? 0;
  }

  async all<Row extends object = SqlRow>(statement: string, params: readonly SqlValue[] = []): Promise<readonly Row[]> {
    // The caller says which columns its statement names.
    return (await this.#query(statement, params)).rows as Row[];
  }

  async #query(statement: string, params: readonly SqlValue[]): Promise<{ rowCount: number | null; rows: object[] }> {
    if (this.isBroken) throw new BeamlineError('unavailable', 'the connection to the database was lost');
    const { name, text } = translated(statement);
    try {
      return params.length === 0
        ? await this.#client.query(text)
        : await this.#client.query<object>({ name, text, values: params.map(storable) });
    } catch (fault) {
      const error = classified(fault);
      this.isBroken ||= error.code === 'unavailable';
      throw error;
    }
  }
}

interface Translated {
  readonly name: string;
  readonly text: string;
}

/** Texts are constants of the code, so there are few. */
const known = new Map<string, Translated>();

/** `?` outside of quotes as `$1`, `$2`; the name lets the server keep the plan. */
function translated(statement: string): Translated {
  let found = known.get(statement);
  if (found === undefined) {
    let count = 0;
    const text = statement.replaceAll(/'[^']*'|\?/g, (part) => (part === '?' ? `$${++count}` : part));
    found = { name: `b${createHash('sha256').update(text).digest('hex').slice(0, 24)}`, text };
    known.set(statement, found);
  }
  return found;
}

/** A text of PostgreSQL holds no NUL. */
const storable = (value: SqlValue): string | number | null =>
  typeof value === 'string' ? value.replaceAll('\u0000', '\uFFFD') : typeof value === 'bigint' ? String(value) : value;

function exactParser(oid: number): ((text: string) => number | bigint) | undefined {
  if (oid !== INT8 && oid !== NUMERIC) return undefined;
  return (text) => {
    const number = Number(text);
    return Number.isSafeInteger(number) || /\D/.test(text.replace('-', '')) ? number : BigInt(text);
  };
}

/** A number of 63 bits that stands for the name. */
const lockOf = (name: string): bigint => createHash('sha256').update(name).digest().readBigInt64BE(0);

function classified(fault: unknown): BeamlineError {
  if (fault instanceof BeamlineError) return fault;
  const { code } = fault as { readonly code?: unknown };
  const state = typeof code === 'string' && SQLSTATE.test(code) ? code : undefined;
  const details = { reason: state === undefined ? 'postgres_connection' : `postgres_${state}` };
  // What has no state did not come from the server: the network, a timeout, a pool that was closed.
  if (state === undefined || AWAY.test(state)) {
    return new BeamlineError('unavailable', 'the database is away', { cause: fault, details });
  }
  if (CONFLICT.test(state)) {
    return new BeamlineError('conflict', 'a key exists already, or another transaction won', { cause: fault, details });
  }
  return new BeamlineError('internal', 'a statement failed', { cause: fault, details });
}
