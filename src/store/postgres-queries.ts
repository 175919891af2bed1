// Statements of others on a PostgreSQL server (worker 11, 12): each alone in its transaction, which reads only unless it may
// write, with a limit of time at the server and one of bytes at the socket.
// P1. A role that may read files or start programs of the server is refused, whatever the statement says.
// P2. A connection whose statement did not come to its end is closed; the server ends the statement for it.
import { Pool, type PoolClient, Query, type QueryArrayResult } from 'pg';
import type { Log } from '../telemetry/log.ts';
import {
  type BoundedQueries,
  type BoundedQuery,
  type QueryAnswer,
  type QueryRows,
  RECORD_MS,
} from './bounded-query.ts';
import { type Link, linkOf } from './postgres-link.ts';
import { parserOf } from './postgres-values.ts';

const CONNECTIONS = 4;
const CONNECT_MS = 5_000;
const LOCK_MS = 2_000;

const MAY_MORE = `SELECT pg_has_role(r, 'USAGE') AS more FROM unnest(ARRAY['pg_read_server_files',
  'pg_write_server_files', 'pg_execute_server_program']::name[]) AS r ORDER BY 1 DESC LIMIT 1`;
const RECORDS =
  'CREATE TABLE IF NOT EXISTS beamline_writes (key TEXT PRIMARY KEY, digest TEXT NOT NULL, rows TEXT NOT NULL, written_at BIGINT NOT NULL)';

export interface PostgresQueriesOptions {
  readonly url: string;
  readonly log: Log;
  /** Longest time of one statement. */
  readonly timeoutMs: number;
}

/** Does not connect yet. */
export function openPostgresQueries({ url, log, timeoutMs }: PostgresQueriesOptions): BoundedQueries {
  const pool = new Pool({
    connectionString: url,
    max: CONNECTIONS,
    connectionTimeoutMillis: CONNECT_MS,
    statement_timeout: timeoutMs,
    lock_timeout: LOCK_MS,
    idle_in_transaction_session_timeout: timeoutMs + LOCK_MS,
    options: '-c client_connection_check_interval=1000',
    keepAlive: true,
    allowExitOnIdle: true,
    application_name: 'beamline sql.query',
  });
  pool.on('error', (fault) => log.warn('sql_connection_lost', { fault }));
  const judged = new WeakSet<PoolClient>();
  return {
    async ask(query, signal) {
      signal.throwIfAborted();
      let client: PoolClient;
      try {
        client = await pool.connect();
      } catch (fault) {
        return failedBy(fault);
      }
      if (signal.aborted) {
        client.release();
        throw signal.reason;
      }
      await using link = linkOf(client, signal);
      try {
        if (!judged.has(client)) {
          if (await mayMore(client)) return failed('denied');
          judged.add(client);
        }
        const answer = await (query.record === undefined ? read(client, link, query) : write(client, link, query));
        link.isDone = true;
        return answer;
      } catch (fault) {
        signal.throwIfAborted();
        return link.isFull ? failed('too_large') : failedBy(fault);
      }
    },
    [Symbol.asyncDispose]: () => pool.end(),
  };
}

async function mayMore(client: PoolClient): Promise<boolean> {
  const { rows } = await client.query<{ more: boolean }>(MAY_MORE);
  return rows[0]?.more !== false;
}

async function read(client: PoolClient, link: Link, query: BoundedQuery): Promise<QueryAnswer> {
  await client.query('BEGIN READ ONLY');
  const rows = await run(client, link, query);
  if (rows === 'too_large') return failed(rows);
  // One that was cut off took its connection with it.
  if (!rows.isTruncated) await client.query('ROLLBACK');
  return { kind: 'rows', rows };
}

/** The record of the write is in its transaction: there is both or nothing. */
async function write(client: PoolClient, link: Link, query: BoundedQuery): Promise<QueryAnswer> {
  const { key = '', digest = '', nowMs = 0 } = query.record ?? {};
  await client.query('BEGIN');
  try {
    await makeRecords(client);
    // Who comes at the same time with the same key waits here.
    const claimed = await client.query(
      'INSERT INTO beamline_writes VALUES ($1, $2, $3, $4) ON CONFLICT (key) DO NOTHING',
      [key, digest, '', nowMs],
    );
    if (claimed.rowCount === 0) {
      const known = await client.query<WriteRow>('SELECT digest, rows FROM beamline_writes WHERE key = $1', [key]);
      await client.query('ROLLBACK');
      const [first] = known.rows;
      if (first === undefined) return failed('busy');
      if (first.digest !== digest) return failed('repeated');
      return { kind: 'rows', rows: JSON.parse(first.rows) as QueryRows };
    }
    const rows = await run(client, link, query);
    if (rows === 'too_large') {
      await client.query('ROLLBACK');
      return failed(rows);
    }
    await client.query('DELETE FROM beamline_writes WHERE written_at < $1', [nowMs - RECORD_MS]);
    await client.query('UPDATE beamline_writes SET rows = $2 WHERE key = $1', [key, JSON.stringify(rows)]);
    await client.query('COMMIT');
    return { kind: 'rows', rows };
  } catch (fault) {
    await client.query('ROLLBACK').then(
      () => (link.isDone = true),
      () => undefined,
    );
    throw fault;
  }
}

interface WriteRow {
  readonly digest: string;
  readonly rows: string;
}

async function makeRecords(client: PoolClient): Promise<void> {
  const { rows } = await client.query<{ name: string | null }>("SELECT to_regclass('beamline_writes') AS name");
  if (rows[0]?.name !== null) return;
  await client.query("SELECT pg_advisory_xact_lock(hashtext('beamline_writes'))");
  await client.query(RECORDS);
}

/** A read ends with the last row that it may give; a write goes on to its end. */
function run(client: PoolClient, link: Link, query: BoundedQuery): Promise<QueryRows | 'too_large'> {
  const { statement, params, rowsMax, bytesMax, mode } = query;
  const rows: (readonly unknown[])[] = [];
  let bytes = 0;
  let isTruncated = false;
  return new Promise((resolve, reject) => {
    const config = {
      text: statement,
      values: [...params],
      rowMode: 'array' as const,
      types: { getTypeParser: parserOf },
    };
    const running = client.query(new Query<unknown[]>(config));
    const told = ({ fields, rowCount, command }: QueryArrayResult): QueryRows => ({
      columns: fields.map(({ name }) => name),
      rows,
      affected: mode === 'write' && CHANGING.has(command) ? (rowCount ?? 0) : 0,
      isTruncated,
    });
    running.on('row', (row, result) => {
      if (isTruncated) return;
      bytes += Buffer.byteLength(JSON.stringify(row));
      isTruncated = rows.length === rowsMax || bytes > bytesMax;
      if (!isTruncated) return void rows.push(row);
      if (mode === 'write') return;
      link.cut();
      // Made of the head of the answer, which has come.
      resolve(rows.length === 0 ? 'too_large' : told(result as unknown as QueryArrayResult));
    });
    running.on('end', (result) => {
      resolve(isTruncated && rows.length === 0 ? 'too_large' : told(result as unknown as QueryArrayResult));
    });
    running.on('error', reject);
  });
}

const CHANGING: ReadonlySet<string> = new Set(['INSERT', 'UPDATE', 'DELETE', 'MERGE']);

type Reason = Extract<QueryAnswer, { kind: 'failed' }>['reason'];
const failed = (reason: Reason): QueryAnswer => ({ kind: 'failed', reason });

/** Classes and codes of PostgreSQL ("Error Codes"). */
const REASONS: readonly (readonly [RegExp, Reason])[] = [
  [/^57014$/, 'timeout'],
  [/^(25006|42501)$/, 'denied'],
  [/^(40|55P03)/, 'busy'],
  [/^23/, 'constraint'],
  [/^(08|28|3D|53|57|58|XX)/, 'away'],
];
const SQLSTATE = /^[0-9A-Z]{5}$/;

function failedBy(fault: unknown): QueryAnswer {
  const { code } = fault as { readonly code?: unknown };
  // What has no state did not come from the server.
  if (typeof code !== 'string' || !SQLSTATE.test(code)) return failed('away');
  return failed(REASONS.find(([pattern]) => pattern.test(code))?.[1] ?? 'statement');
}
