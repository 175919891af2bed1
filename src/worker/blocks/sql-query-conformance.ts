// What `sql.query` does on every database.
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { failureOf, runBlock } from './block-fixture.ts';
import { type SqlConnection, sqlQuery } from './sql-query.ts';

/** A database with the table `orders` of two rows, and `secrets`. */
export interface SqlDatabase {
  readonly database: SqlConnection['database'];
  readonly dialect: SqlConnection['dialect'];
  /** Rows of `orders`. */
  count(): number | Promise<number>;
}

export type OpenSql = (context: TestContext, timeoutMs: number) => SqlDatabase | Promise<SqlDatabase>;

export const both = { scopes: ['sql:read', 'sql:write'] };

export const STATEMENTS = {
  by_id: 'SELECT id, name FROM orders WHERE id = ?',
  by_name: 'SELECT id, name FROM orders WHERE name = ?',
  all: 'SELECT * FROM orders ORDER BY id',
  add: 'INSERT INTO orders (name, total) VALUES (?, ?)',
  add_back: 'INSERT INTO orders (name) VALUES (?) RETURNING id, name',
  many: 'WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < ?) SELECT x FROM n',
  endless: 'WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n WHERE x < 0',
  wide: 'SELECT \'?\' AS "what?", ? AS wide /* ? */',
};

export const ask = (statement: string, ...params: (string | number | boolean | null)[]) => ({
  connection_id: 'orders',
  statement,
  params,
});

export async function openBlock(
  open: OpenSql,
  context: TestContext,
  { timeoutMs = 20_000, ...more }: Partial<SqlConnection> = {},
) {
  const opened = await open(context, timeoutMs);
  const usual = { id: 'orders', tenants: ['acme'], write: true, allowText: false, statements: STATEMENTS };
  const block = sqlQuery([{ ...usual, ...opened, timeoutMs, ...more }]);
  return { block, count: () => opened.count() };
}

type Open = (context: TestContext, more?: Partial<SqlConnection>) => ReturnType<typeof openBlock>;

const CASES: readonly (readonly [name: string, run: (context: TestContext, open: Open) => Promise<void>])[] = [
  [
    'a named statement reads with the values of the caller',
    async (context, open) => {
      const { block } = await open(context);
      const { output } = await runBlock(block, ask('by_id', 1));
      assert.deepEqual(output, {
        columns: ['id', 'name'],
        rows: [[1, 'first']],
        row_count: 1,
        affected_rows: 0,
        truncated: false,
      });
      const none = await runBlock(block, ask('by_name', "1' OR '1'='1"));
      assert.deepEqual([none.output.columns, none.output.rows], [['id', 'name'], []]);
      assert.deepEqual((await runBlock(block, ask('all'))).output.rows, [
        [1, 'first', 2.5, '/wA='],
        ['9007199254740993', null, 1, null],
      ]);
    },
  ],

  [
    'a write happens once for its key, and says what it did the first time',
    async (context, open) => {
      const { block, count } = await open(context);
      const input = { ...ask('add', 'second', 3), mode: 'write' as const };
      const run = (idempotencyKey: string, one = input): Promise<{ output: { affected_rows: number } }> =>
        runBlock(block, one, { ...both, idempotencyKey });
      assert.equal((await run('k1')).output.affected_rows, 1);
      assert.equal((await run('k1')).output.affected_rows, 1);
      assert.equal(await count(), 3);
      const other = { ...ask('add', 'third', 3), mode: 'write' as const };
      assert.equal(await failureOf(run('k1', other)), 'INVALID_INPUT repeated');
      assert.equal(await failureOf(run('k2')), 'EXECUTION_FAILED constraint');
      assert.equal(await count(), 3);
      await run('k2', other);
      assert.equal(await count(), 4, 'what failed was not recorded');
      const back = await runBlock(
        block,
        { ...ask('add_back', 'fifth'), mode: 'write' },
        { ...both, idempotencyKey: 'k3' },
      );
      assert.deepEqual([back.output.rows[0]?.[1], back.output.affected_rows], ['fifth', 1]);
      assert.equal(await count(), 5);
    },
  ],

  [
    'two writes at once with one key are one write',
    async (context, open) => {
      const { block, count } = await open(context);
      const input = { ...ask('add_back', 'second'), mode: 'write' as const };
      const run = () => runBlock(block, input, { ...both, idempotencyKey: 'k1' });
      const [one, ...more] = await Promise.all([run(), run(), run(), run()]);
      assert.equal(one.output.row_count, 1);
      for (const { output } of more) assert.deepEqual(output, one.output);
      assert.equal(await count(), 3);
    },
  ],
  [
    'a write needs the mode, the scope and the connection',
    async (context, open) => {
      const { block, count } = await open(context);
      assert.equal(await failureOf(runBlock(block, ask('add', 'x', 1), both)), 'SANDBOX_VIOLATION write');
      const writing = { ...ask('add', 'x', 1), mode: 'write' as const };
      assert.equal(await failureOf(runBlock(block, writing)), 'PERMISSION_DENIED write');
      assert.equal(
        await failureOf(runBlock(block, writing, { ...both, tenantId: 'other' })),
        'PERMISSION_DENIED connection_not_allowed',
      );
      const { block: reading } = await open(context, { write: false, statements: {}, allowText: true });
      const text = { ...ask('INSERT INTO orders (name) VALUES (?)', 'x'), mode: 'write' as const };
      assert.equal(await failureOf(runBlock(reading, text, both)), 'PERMISSION_DENIED write');
      assert.equal(await count(), 2);
      await assert.rejects(open(context, { write: false }), /statement add: write/);
    },
  ],

  [
    'what is not named is refused: connections, statements, and another number of values',
    async (context, open) => {
      const { block } = await open(context);
      const fails = (input: ReturnType<typeof ask>): Promise<string> => failureOf(runBlock(block, input));
      assert.equal(
        await fails({ ...ask('all'), connection_id: 'sqlite:/etc/passwd' }),
        'PERMISSION_DENIED connection_not_allowed',
      );
      assert.equal(await fails(ask('SELECT 1')), 'INVALID_INPUT statement_unknown');
      assert.equal(await fails(ask('constructor')), 'INVALID_INPUT statement_unknown');
      assert.equal(await fails(ask('by_id')), 'INVALID_INPUT params');
      assert.equal(await fails(ask('by_id', 1, 2)), 'INVALID_INPUT params');
    },
  ],

  [
    'a result is cut off at so many rows and bytes',
    async (context, open) => {
      const { block } = await open(context);
      const full = (await runBlock(block, ask('many', 1_000))).output;
      assert.deepEqual([full.row_count, full.truncated], [1_000, false]);
      const cut = (await runBlock(block, ask('many', 1_001))).output;
      assert.deepEqual([cut.row_count, cut.truncated], [1_000, true]);
      assert.deepEqual((await runBlock(block, ask('wide', 'y'))).output.rows, [['?', 'y']]);
      assert.equal(await failureOf(runBlock(block, ask('wide', 'y'.repeat(1_048_576)))), 'OUTPUT_TOO_LARGE too_large');
    },
  ],

  [
    'a statement without an end dies at its time or its abort, and the next one runs',
    async (context, open) => {
      const { block } = await open(context, { timeoutMs: 400 });
      assert.equal(await failureOf(runBlock(block, ask('endless'))), 'CONNECTION_TIMEOUT statement');
      const stop = new AbortController();
      const reason = new Error('enough');
      const run = runBlock(block, ask('endless'), { signal: stop.signal });
      stop.abort(reason);
      await assert.rejects(run, reason);
      const { block: patient } = await open(context);
      assert.equal((await runBlock(patient, ask('by_id', 1))).output.row_count, 1);
    },
  ],
];

export function testSqlQuery(name: string, openDatabase: OpenSql): void {
  for (const [what, run] of CASES) {
    test(`${name}: ${what}`, (context) => run(context, (on, more) => openBlock(openDatabase, on, more)));
  }
}
