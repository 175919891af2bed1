// What every SQL store must do, once per implementation.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BeamlineError, type ErrorCode } from '../core/errors.ts';
import { migrate, type Migration, revert } from './migrations.ts';
import { rowsOf, type SqlStore } from './sql.ts';

export interface OpenedStores extends AsyncDisposable {
  readonly store: SqlStore;
  /** Another process on the same database, which began empty. */
  readonly peer: SqlStore;
}

type Case = readonly [name: string, run: (stores: OpenedStores) => Promise<void>];

async function refused(code: ErrorCode, work: Promise<unknown>): Promise<void> {
  const fault: unknown = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  assert.ok(fault instanceof BeamlineError, `expected ${code}, got ${String(fault)}`);
  assert.equal(fault.code, code, String(fault.cause));
}

const TABLE = 'CREATE TABLE things (name TEXT PRIMARY KEY, amount BIGINT NOT NULL, share REAL, note TEXT)';
const INSERT = 'INSERT INTO things (name, amount, share, note) VALUES (?, ?, ?, ?)';
const AMOUNTS = 'SELECT name, amount FROM things ORDER BY name';

const CASES: readonly Case[] = [
  [
    'gives back what it was given: texts of any kind, whole numbers of 63 bits, nothing',
    async ({ store }) => {
      const texts = ['?', "it's $1", 'Ω 🦊', ''];
      for (const [index, text] of texts.entries()) {
        // eslint-disable-next-line no-await-in-loop -- in their order
        assert.equal(await store.run(INSERT, [`n${index}`, index, 0.5, text]), 1);
      }
      await store.run(INSERT, ['large', 9_007_199_254_740_993n, null, null]);
      await store.run(INSERT, ['safe', Number.MAX_SAFE_INTEGER, null, 'x']);
      const rows = await store.all('SELECT amount, share, note FROM things ORDER BY name');
      assert.deepEqual(
        rows.map((row) => Object.values(row)),
        [
          [9_007_199_254_740_993n, null, null],
          ...texts.map((note, amount) => [amount, 0.5, note]),
          [Number.MAX_SAFE_INTEGER, null, 'x'],
        ],
      );
    },
  ],
  [
    'does not lose a text for a NUL in it',
    async ({ store }) => {
      await store.run(INSERT, ['nul', 1, null, 'a\u0000b']);
      const [row] = await store.all<{ note: string }>('SELECT note FROM things');
      assert.ok(['a\u0000b', 'a\uFFFDb'].includes(row?.note ?? ''));
    },
  ],
  [
    'inserts many rows at once, says which were new, and adds to what is there',
    async ({ store }) => {
      const insert = `INSERT INTO things (name, amount) VALUES ${rowsOf(3, 2)} ON CONFLICT (name) DO NOTHING RETURNING name`;
      const first = await store.all<{ name: string }>(insert, ['a', 1, 'b', 2, 'c', 3]);
      const second = await store.all<{ name: string }>(insert, ['b', 9, 'c', 9, 'd', 4]);
      assert.deepEqual(
        [first, second].map((rows) => rows.map(({ name }) => name).toSorted()),
        [['a', 'b', 'c'], ['d']],
      );
      const add = `INSERT INTO things (name, amount) VALUES ${rowsOf(2, 2)}
        ON CONFLICT (name) DO UPDATE SET amount = things.amount + excluded.amount`;
      assert.equal(await store.run(add, ['a', 10, 'e', 5]), 2);
      const rows = await store.all<{ name: string; amount: number }>(AMOUNTS);
      assert.deepEqual(
        rows.map(({ name, amount }) => `${name}${amount}`),
        ['a11', 'b2', 'c3', 'd4', 'e5'],
      );
    },
  ],
  [
    'sums as whole numbers',
    async ({ store }) => {
      await store.run(`INSERT INTO things (name, amount) VALUES ${rowsOf(2, 2)}`, ['a', 2 ** 52, 'b', 1]);
      const sum = 'SELECT CAST(SUM(amount) AS BIGINT) AS total, COUNT(*) AS number FROM things';
      assert.deepEqual({ ...(await store.all(sum))[0] }, { total: 2 ** 52 + 1, number: 2 });
      assert.deepEqual({ ...(await store.all(`${sum} WHERE name = ?`, ['z']))[0] }, { total: null, number: 0 });
    },
  ],
  [
    'commits all of a transaction, or nothing',
    async ({ store, peer }) => {
      const failing = store.transaction(async (session) => {
        await session.run(INSERT, ['a', 1, null, null]);
        throw new BeamlineError('conflict', 'on purpose');
      });
      await refused('conflict', failing);
      const told = await store.transaction(async (session) => {
        await session.run(INSERT, ['b', 2, null, null]);
        return (await session.all(AMOUNTS)).length;
      });
      assert.equal(told, 1);
      assert.deepEqual(
        (await peer.all<{ name: string }>(AMOUNTS)).map(({ name }) => name),
        ['b'],
      );
    },
  ],
  [
    'keeps transactions of one process apart',
    async ({ store }) => {
      await store.run(INSERT, ['sum', 0, null, null]);
      const add = (): Promise<number> =>
        store.transaction((session) => session.run('UPDATE things SET amount = amount + 1 WHERE name = ?', ['sum']));
      await Promise.all(Array.from({ length: 20 }, add));
      assert.equal((await store.all<{ amount: number }>(AMOUNTS))[0]?.amount, 20);
    },
  ],
  [
    'goes on after a statement of a transaction failed',
    async ({ store }) => {
      await store.run(INSERT, ['a', 1, null, null]);
      await refused(
        'conflict',
        store.transaction((session) => session.run(INSERT, ['a', 2, null, null])),
      );
      assert.equal(await store.run(INSERT, ['b', 2, null, null]), 1);
    },
  ],
  [
    'tells a wrong statement and a wrong value from a database that is away',
    async ({ store }) => {
      await refused('internal', store.run('SELEC 1'));
      await refused('internal', store.run('SELECT nothing FROM things'));
      await refused('conflict', store.run('INSERT INTO things (name, amount) VALUES (?, ?)', ['a', null]));
    },
  ],
  [
    'lets one of many processes be alone',
    async ({ store, peer }) => {
      let inside = 0;
      const alone = (own: SqlStore): Promise<void> =>
        own.exclusive('the name', async (session) => {
          assert.equal(++inside, 1);
          await session.all(AMOUNTS);
          inside--;
        });
      await Promise.all([alone(store), alone(peer), alone(store)]);
    },
  ],
  [
    'says that it is closed',
    async ({ peer }) => {
      await peer[Symbol.asyncDispose]();
      await refused('unavailable', peer.all(AMOUNTS));
    },
  ],
];

const MIGRATIONS: readonly Migration[] = [
  { id: 2, up: ['ALTER TABLE pots ADD COLUMN size BIGINT'], down: ['ALTER TABLE pots DROP COLUMN size'] },
  {
    id: 1,
    up: ['CREATE TABLE pots (id TEXT PRIMARY KEY)', "INSERT INTO pots (id) VALUES ('first')"],
    down: ['DROP TABLE pots'],
  },
];

const MIGRATION_CASES: readonly Case[] = [
  [
    'migrates once, by whoever comes first',
    async ({ store, peer }) => {
      const ran = await Promise.all([migrate(store, MIGRATIONS, 7), migrate(peer, MIGRATIONS, 8)]);
      assert.deepEqual(ran.flat(), [1, 2]);
      assert.deepEqual(await migrate(store, MIGRATIONS, 9), []);
      assert.deepEqual({ ...(await store.all('SELECT id, size FROM pots'))[0] }, { id: 'first', size: null });
    },
  ],
  [
    'takes migrations back, and applies them again',
    async ({ store }) => {
      await migrate(store, MIGRATIONS, 7);
      assert.deepEqual(await revert(store, MIGRATIONS, 1), [2]);
      await refused('internal', store.all('SELECT size FROM pots'));
      assert.deepEqual(await revert(store, MIGRATIONS, 0), [1]);
      assert.deepEqual(await migrate(store, MIGRATIONS, 7), [1, 2]);
    },
  ],
  [
    'refuses a migration that was changed, and one that it does not know',
    async ({ store }) => {
      await migrate(store, MIGRATIONS, 7);
      const changed = MIGRATIONS.map((migration) => ({ ...migration, up: [...migration.up, 'SELECT 1'] }));
      await refused('conflict', migrate(store, changed, 7));
      await refused('conflict', migrate(store, [], 7));
    },
  ],
  [
    'applies nothing of a run in which one migration fails',
    async ({ store }) => {
      const bad = [...MIGRATIONS, { id: 3, up: ['ALTER TABLE nothing ADD COLUMN size BIGINT'], down: [] }];
      await refused('internal', migrate(store, bad, 7));
      await refused('internal', store.all('SELECT id FROM pots'));
    },
  ],
];

/** `open` gives two stores on one empty database. */
export function testStore(name: string, open: () => Promise<OpenedStores>): void {
  for (const [what, run] of CASES) {
    test(`${name} ${what}`, async () => {
      await using stores = await open();
      await stores.store.run(TABLE);
      await run(stores);
    });
  }
  for (const [what, run] of MIGRATION_CASES) {
    test(`${name} ${what}`, async () => {
      await using stores = await open();
      await run(stores);
    });
  }
}
