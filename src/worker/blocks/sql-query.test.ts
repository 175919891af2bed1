import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type TestContext, test } from 'node:test';
import { systemClock } from '../../core/clock.ts';
import { Timers } from '../../core/timers.ts';
import { failureOf, runBlock } from './block-fixture.ts';
import { openSqlQuery, type SqlConnection, type SqlQueryBlock } from './sql-query.ts';

interface Opened {
  readonly block: SqlQueryBlock;
  readonly dir: string;
  readonly count: () => number;
}

const both = { scopes: ['sql:read', 'sql:write'] };

function open(context: TestContext, more: Partial<SqlConnection> = {}): Opened {
  const dir = mkdtempSync(join(tmpdir(), 'sql-'));
  const path = join(dir, 'orders.db');
  const database = new DatabaseSync(path);
  database.exec(`CREATE TABLE orders (id INTEGER PRIMARY KEY, name TEXT UNIQUE, total REAL, raw BLOB);
    INSERT INTO orders VALUES (1, 'first', 2.5, x'ff00'), (9007199254740993, NULL, 1, NULL);
    CREATE TABLE secrets (word TEXT); INSERT INTO secrets VALUES ('hidden')`);
  database.close();
  const timers = new Timers(systemClock, { tickMs: 5 });
  const connection: SqlConnection = {
    id: 'orders',
    path,
    tenants: ['acme'],
    write: true,
    allowText: false,
    statements: {
      by_id: 'SELECT id, name FROM orders WHERE id = ?',
      all: 'SELECT * FROM orders ORDER BY id',
      add: 'INSERT INTO orders (name, total) VALUES (?, ?)',
      add_back: 'INSERT INTO orders (name) VALUES (?) RETURNING id, name',
      many: 'WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < ?) SELECT x FROM n',
      endless: 'WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n WHERE x < 0',
      wide: "SELECT replace(hex(?), '00', 'xxxxxxxxxx') AS wide, ? AS x",
    },
    timeoutMs: 20_000,
    ...more,
  };
  const block = openSqlQuery({ connections: [connection], timers });
  context.after(async () => {
    await block[Symbol.asyncDispose]();
    timers[Symbol.dispose]();
    rmSync(dir, { recursive: true, force: true });
  });
  const count = (): number => {
    using again = new DatabaseSync(path, { readOnly: true });
    return Number(again.prepare('SELECT count(*) AS n FROM orders').get()?.['n']);
  };
  return { block, dir, count };
}

const ask = (statement: string, ...params: (string | number | boolean | null)[]) => ({
  connection_id: 'orders',
  statement,
  params,
});

test('a named statement reads with the values of the caller', async (context) => {
  const { block } = open(context);
  const { output } = await runBlock(block, ask('by_id', 1));
  assert.deepEqual(output, {
    columns: ['id', 'name'],
    rows: [[1, 'first']],
    row_count: 1,
    affected_rows: 0,
    truncated: false,
  });
  const none = await runBlock(block, ask('by_id', "1' OR '1'='1"));
  assert.deepEqual([none.output.columns, none.output.rows], [['id', 'name'], []]);
  assert.deepEqual((await runBlock(block, ask('all'))).output.rows, [
    [1, 'first', 2.5, '/wA='],
    ['9007199254740993', null, 1, null],
  ]);
});

test('a write happens once for its key, and says what it did the first time', async (context) => {
  const { block, count } = open(context);
  const input = { ...ask('add', 'second', 3), mode: 'write' as const };
  const run = (idempotencyKey: string, one = input): Promise<{ output: { affected_rows: number } }> =>
    runBlock(block, one, { ...both, idempotencyKey });
  assert.equal((await run('k1')).output.affected_rows, 1);
  assert.equal((await run('k1')).output.affected_rows, 1);
  assert.equal(count(), 3);
  const other = { ...ask('add', 'third', 3), mode: 'write' as const };
  assert.equal(await failureOf(run('k1', other)), 'INVALID_INPUT repeated');
  assert.equal(await failureOf(run('k2')), 'EXECUTION_FAILED constraint');
  assert.equal(count(), 3);
  await run('k2', other);
  assert.equal(count(), 4, 'what failed was not recorded');
  const back = await runBlock(block, { ...ask('add_back', 'fifth'), mode: 'write' }, { ...both, idempotencyKey: 'k3' });
  assert.deepEqual([back.output.rows[0]?.[1], back.output.affected_rows], ['fifth', 1]);
  assert.equal(count(), 5);
});

test('a write needs the mode, the scope and the connection', async (context) => {
  const { block, count } = open(context);
  assert.equal(await failureOf(runBlock(block, ask('add', 'x', 1), both)), 'SANDBOX_VIOLATION write');
  const writing = { ...ask('add', 'x', 1), mode: 'write' as const };
  assert.equal(await failureOf(runBlock(block, writing)), 'PERMISSION_DENIED write');
  assert.equal(
    await failureOf(runBlock(block, writing, { ...both, tenantId: 'other' })),
    'PERMISSION_DENIED connection_not_allowed',
  );
  const { block: reading } = open(context, { write: false, statements: {}, allowText: true });
  const text = { ...ask('INSERT INTO orders (name) VALUES (?)', 'x'), mode: 'write' as const };
  assert.equal(await failureOf(runBlock(reading, text, both)), 'PERMISSION_DENIED write');
  assert.equal(count(), 2);
  assert.throws(() => open(context, { write: false }), /statement add: write/);
});

test('what is not named is refused: connections, statements, and another number of values', async (context) => {
  const { block } = open(context);
  const fails = (input: ReturnType<typeof ask>): Promise<string> => failureOf(runBlock(block, input));
  assert.equal(
    await fails({ ...ask('all'), connection_id: 'sqlite:/etc/passwd' }),
    'PERMISSION_DENIED connection_not_allowed',
  );
  assert.equal(await fails(ask('SELECT 1')), 'INVALID_INPUT statement_unknown');
  assert.equal(await fails(ask('constructor')), 'INVALID_INPUT statement_unknown');
  assert.equal(await fails(ask('by_id')), 'INVALID_INPUT params');
  assert.equal(await fails(ask('by_id', 1, 2)), 'INVALID_INPUT params');
});

test('free text, where it is allowed, stays within tables', async (context) => {
  const { block, dir } = open(context, { allowText: true });
  assert.deepEqual((await runBlock(block, ask('SELECT word FROM secrets'))).output.rows, [['hidden']]);
  for (const [text, outcome] of [
    [`ATTACH '${dir}/other.db' AS o`, 'SANDBOX_VIOLATION command'],
    ['SELECT 1; DELETE FROM orders', 'SANDBOX_VIOLATION many'],
    ['PRAGMA table_info(orders)', 'SANDBOX_VIOLATION command'],
    ["SELECT load_extension('x')", 'SANDBOX_VIOLATION function'],
    // Hidden from the reader as texts, which this database also takes for names.
    ["SELECT * FROM 'pragma_database_list'", 'SANDBOX_VIOLATION denied'],
    ["SELECT * FROM 'sqlite_master'", 'SANDBOX_VIOLATION denied'],
    ['SELECT nothing FROM nowhere', 'EXECUTION_FAILED statement'],
  ] as const) {
    assert.equal(await failureOf(runBlock(block, ask(text), both)), outcome, text);
  }
  assert.equal(existsSync(join(dir, 'other.db')), false);
});

test('a result is cut off at so many rows and bytes', async (context) => {
  const { block } = open(context);
  const full = (await runBlock(block, ask('many', 1_000))).output;
  assert.deepEqual([full.row_count, full.truncated], [1_000, false]);
  const cut = (await runBlock(block, ask('many', 1_001))).output;
  assert.deepEqual([cut.row_count, cut.truncated], [1_000, true]);
  assert.equal(await failureOf(runBlock(block, ask('wide', 'x', 'y'.repeat(1_048_576)))), 'OUTPUT_TOO_LARGE too_large');
});

test('a statement without an end dies at its time or its abort, and the next one runs', async (context) => {
  const { block } = open(context, { timeoutMs: 400 });
  assert.equal(await failureOf(runBlock(block, ask('endless'))), 'CONNECTION_TIMEOUT statement');
  const stop = new AbortController();
  const reason = new Error('enough');
  const run = runBlock(block, ask('endless'), { signal: stop.signal });
  stop.abort(reason);
  await assert.rejects(run, reason);
  const { block: patient } = open(context);
  assert.equal((await runBlock(patient, ask('by_id', 1))).output.row_count, 1);
});

test('a file that is not there is away, and is not made', async (context) => {
  const path = join(mkdtempSync(join(tmpdir(), 'sql-')), 'none.db');
  const { block } = open(context, { path });
  assert.equal(await failureOf(runBlock(block, ask('all'))), 'RESOURCE_UNAVAILABLE away');
  assert.equal(
    await failureOf(runBlock(block, { ...ask('add', 'a', 1), mode: 'write' }, both)),
    'RESOURCE_UNAVAILABLE away',
  );
  assert.equal(existsSync(path), false);
});
