import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type TestContext, test } from 'node:test';
import { systemClock } from '../../core/clock.ts';
import { Timers } from '../../core/timers.ts';
import { failureOf, runBlock } from './block-fixture.ts';
import { ask, both, openBlock, testSqlQuery } from './sql-query-conformance.ts';
import { openSqliteFiles } from './sqlite-queries.ts';

function openFile(context: TestContext) {
  const dir = mkdtempSync(join(tmpdir(), 'sql-'));
  const path = join(dir, 'orders.db');
  const database = new DatabaseSync(path);
  database.exec(`CREATE TABLE orders (id INTEGER PRIMARY KEY, name TEXT UNIQUE, total REAL, raw BLOB);
    INSERT INTO orders VALUES (1, 'first', 2.5, x'ff00'), (9007199254740993, NULL, 1, NULL);
    CREATE TABLE secrets (word TEXT); INSERT INTO secrets VALUES ('hidden')`);
  database.close();
  const timers = new Timers(systemClock, { tickMs: 5 });
  const files = openSqliteFiles(timers);
  context.after(async () => {
    await files[Symbol.asyncDispose]();
    timers[Symbol.dispose]();
    rmSync(dir, { recursive: true, force: true });
  });
  const count = (): number => {
    using again = new DatabaseSync(path, { readOnly: true });
    return Number(again.prepare('SELECT count(*) AS n FROM orders').get()?.['n']);
  };
  return { dir, files, database: files.open(path), dialect: 'sqlite' as const, count };
}

testSqlQuery('SQLite', openFile);

test('free text, where it is allowed, stays within tables', async (context) => {
  const { dir, ...opened } = openFile(context);
  const { block } = await openBlock(() => opened, context, { allowText: true });
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

test('a file that is not there is away, and is not made', async (context) => {
  const path = join(mkdtempSync(join(tmpdir(), 'sql-')), 'none.db');
  const opened = openFile(context);
  const { block } = await openBlock(() => ({ ...opened, database: opened.files.open(path) }), context);
  assert.equal(await failureOf(runBlock(block, ask('all'))), 'RESOURCE_UNAVAILABLE away');
  assert.equal(
    await failureOf(runBlock(block, { ...ask('add', 'a', 1), mode: 'write' }, both)),
    'RESOURCE_UNAVAILABLE away',
  );
  assert.equal(existsSync(path), false);
});
