// The process of the block `sql.query`: one statement on one SQLite file, then it waits for the next. The database asks
// here, by the authorizer, about everything that a statement would do.
import { existsSync } from 'node:fs';
import { constants, DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import { Worker } from 'node:worker_threads';
import {
  type BoundedQuery,
  type QueryAnswer,
  type QueryRows,
  RECORD_MS,
  type WriteRecord,
} from '../../store/bounded-query.ts';

export interface SqliteRequest extends BoundedQuery {
  readonly path: string;
}

const BUSY_MS = 2_000;
/** Bytes of one value. */
const VALUE_BYTES_MAX = 4_194_304;

const RECORDS = `CREATE TABLE IF NOT EXISTS beamline_writes
  (key TEXT PRIMARY KEY, digest TEXT NOT NULL, rows TEXT NOT NULL, written_at INTEGER NOT NULL)`;

const { SQLITE_OK, SQLITE_DENY } = constants;
const READING: ReadonlySet<number> = new Set([
  constants.SQLITE_SELECT,
  constants.SQLITE_READ,
  constants.SQLITE_FUNCTION,
  constants.SQLITE_RECURSIVE,
]);
const WRITING: ReadonlySet<number> = new Set([
  ...READING,
  constants.SQLITE_INSERT,
  constants.SQLITE_UPDATE,
  constants.SQLITE_DELETE,
]);
const INNER = /^(?:sqlite_|pragma_|beamline_)/i;
const FUNCTIONS = /^(?:load_extension|readfile|writefile|edit|fts3_tokenizer|zeroblob|randomblob|printf|format)$/i;

/** The result codes of SQLite that mean something here. */
const REASONS: Readonly<Record<number, Extract<QueryAnswer, { kind: 'failed' }>['reason']>> = {
  5: 'busy',
  6: 'busy',
  8: 'denied',
  10: 'away',
  11: 'away',
  13: 'away',
  14: 'away',
  18: 'too_large',
  19: 'constraint',
  23: 'denied',
  26: 'away',
};

function answerTo(request: SqliteRequest): QueryAnswer {
  // Opening a file to write would make it.
  if (!existsSync(request.path)) return { kind: 'failed', reason: 'away' };
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(request.path, {
      readOnly: request.mode === 'read',
      allowExtension: false,
      enableDoubleQuotedStringLiterals: false,
      timeout: BUSY_MS,
      limits: { length: VALUE_BYTES_MAX, attach: 0 },
    });
    database.enableDefensive(true);
    return request.record === undefined ? read(database, request) : write(database, request, request.record);
  } catch (fault) {
    const code = (fault as { readonly errcode?: unknown }).errcode;
    return { kind: 'failed', reason: (typeof code === 'number' ? REASONS[code & 0xff] : undefined) ?? 'statement' };
  } finally {
    database?.close();
  }
}

function read(database: DatabaseSync, request: SqliteRequest): QueryAnswer {
  return rowsAnswer(run(database, request));
}

/** The record of the write is in its transaction: there is both or nothing. */
function write(database: DatabaseSync, request: SqliteRequest, { key, digest, nowMs }: WriteRecord): QueryAnswer {
  database.exec('BEGIN IMMEDIATE');
  try {
    database.exec(RECORDS);
    const known = database.prepare('SELECT digest, rows FROM beamline_writes WHERE key = ?').get(key);
    if (known !== undefined) {
      database.exec('ROLLBACK');
      if (known['digest'] !== digest) return { kind: 'failed', reason: 'repeated' };
      return { kind: 'rows', rows: JSON.parse(String(known['rows'])) as QueryRows };
    }
    const rows = run(database, request);
    if (rows === 'too_large') {
      database.exec('ROLLBACK');
      return rowsAnswer(rows);
    }
    database.prepare('DELETE FROM beamline_writes WHERE written_at < ?').run(nowMs - RECORD_MS);
    database.prepare('INSERT INTO beamline_writes VALUES (?, ?, ?, ?)').run(key, digest, JSON.stringify(rows), nowMs);
    database.exec('COMMIT');
    return rowsAnswer(rows);
  } catch (fault) {
    if (database.isTransaction) database.exec('ROLLBACK');
    throw fault;
  }
}

function run(database: DatabaseSync, request: SqliteRequest): QueryRows | 'too_large' {
  const allowed = request.mode === 'read' ? READING : WRITING;
  database.setAuthorizer((action, first, second) => {
    const isInner = INNER.test(first ?? '') || (action === constants.SQLITE_FUNCTION && FUNCTIONS.test(second ?? ''));
    return allowed.has(action) && !isInner ? SQLITE_OK : SQLITE_DENY;
  });
  try {
    const statement = database.prepare(request.statement);
    statement.setReadBigInts(true);
    statement.setReturnArrays(true);
    const rows = rowsOf(statement, request);
    if (rows === 'too_large' || request.mode === 'read') return rows;
    return { ...rows, affected: Number(database.prepare('SELECT changes() AS n').get()?.['n']) };
  } finally {
    database.setAuthorizer(null);
  }
}

function rowsOf(statement: StatementSync, { params, rowsMax, bytesMax }: SqliteRequest): QueryRows | 'too_large' {
  const columns = statement.columns().map(({ name }) => name);
  const values = params.map((value): SQLInputValue => (typeof value === 'boolean' ? Number(value) : value));
  if (columns.length === 0) {
    statement.run(...values);
    return { columns, rows: [], affected: 0, isTruncated: false };
  }
  const rows: (readonly unknown[])[] = [];
  let bytes = 0;
  // What is asked for with `setReturnArrays` comes as lists, which the types do not know.
  for (const row of statement.iterate(...values) as Iterable<unknown> as Iterable<readonly unknown[]>) {
    const plain = row.map(plainOf);
    bytes += Buffer.byteLength(JSON.stringify(plain));
    const isFull = rows.length === rowsMax || bytes > bytesMax;
    if (isFull && rows.length === 0) return 'too_large';
    if (isFull) return { columns, rows, affected: 0, isTruncated: true };
    rows.push(plain);
  }
  return { columns, rows, affected: 0, isTruncated: false };
}

function plainOf(value: unknown): unknown {
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64');
  return typeof value === 'number' && !Number.isFinite(value) ? String(value) : value;
}

const rowsAnswer = (rows: QueryRows | 'too_large'): QueryAnswer =>
  rows === 'too_large' ? { kind: 'failed', reason: 'too_large' } : { kind: 'rows', rows };

// A statement that does not end also does not hear that the parent is gone; a thread beside it does.
const watch = `const parent = process.ppid;
setInterval(() => { if (process.ppid !== parent) process.kill(process.pid, 'SIGKILL'); }, 1000);`;
new Worker(watch, { eval: true, env: {} }).unref();

process.on('message', (request: SqliteRequest) => process.send?.(answerTo(request)));
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'));
process.send?.('ready');
