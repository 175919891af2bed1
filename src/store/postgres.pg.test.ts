import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type PostgresServer, startPostgresServer } from '../../test/postgres-server.ts';
import { until } from '../../test/until.ts';
import { openLog } from '../telemetry/log.ts';
import { testStore } from './conformance.ts';
import { openPostgres } from './postgres.ts';
import type { SqlStore } from './sql.ts';

const log = openLog('silent', { write: () => undefined });

let server: PostgresServer;
before(async () => {
  server = await startPostgresServer();
});
after(() => server.stop());

testStore('PostgreSQL', async () => {
  const url = server.createDatabase();
  const [store, peer] = [openPostgres({ url, log }), openPostgres({ url, log })];
  return {
    store,
    peer,
    async [Symbol.asyncDispose]() {
      await Promise.all([store[Symbol.asyncDispose](), peer[Symbol.asyncDispose]()]);
    },
  };
});

const isThere = (store: SqlStore): Promise<boolean> =>
  store.all('SELECT 1 AS one').then(
    () => true,
    () => false,
  );

test('a PostgreSQL server that was away is used again when it is back', async () => {
  await using store = openPostgres({ url: server.createDatabase(), log });
  await store.run('CREATE TABLE kept (id INTEGER PRIMARY KEY)');
  await store.run('INSERT INTO kept (id) VALUES (?)', [7]);
  await server.kill();
  await assert.rejects(store.all('SELECT id FROM kept'), { code: 'unavailable' });
  await assert.rejects(
    store.transaction((session) => session.run('INSERT INTO kept (id) VALUES (?)', [8])),
    { code: 'unavailable' },
  );
  await server.restart();
  await until('the server', () => isThere(store));
  assert.deepEqual(await store.all('SELECT id FROM kept'), [{ id: 7 }]);
});

test('a transaction whose connection is cut leaves nothing', async () => {
  const url = server.createDatabase();
  await using store = openPostgres({ url, log });
  await using other = openPostgres({ url, log });
  await store.run('CREATE TABLE kept (id INTEGER PRIMARY KEY)');
  const cut = store.transaction(async (session) => {
    const [own] = await session.all<{ pid: number }>('SELECT pg_backend_pid() AS pid');
    await session.run('INSERT INTO kept (id) VALUES (?)', [1]);
    await other.all('SELECT pg_terminate_backend(CAST(? AS INTEGER))', [own?.pid ?? 0]);
    await session.run('INSERT INTO kept (id) VALUES (?)', [2]);
  });
  await assert.rejects(cut, { code: 'unavailable' });
  assert.deepEqual(await store.all('SELECT id FROM kept'), []);
});

test('a statement that takes too long is given up', async () => {
  await using store = openPostgres({ url: server.createDatabase(), log, statementMs: 50 });
  await assert.rejects(store.all('SELECT pg_sleep(20)'), { code: 'unavailable' });
  assert.equal(await isThere(store), true);
});

test('of two transactions that wait for each other one loses, and may begin again', async () => {
  await using store = openPostgres({ url: server.createDatabase(), log });
  await store.run('CREATE TABLE kept (id INTEGER PRIMARY KEY, amount BIGINT)');
  await store.run('INSERT INTO kept (id, amount) VALUES (1, 0), (2, 0)');
  const met = Promise.withResolvers<void>();
  let waiting = 0;
  const cross = (first: number, second: number): Promise<number> =>
    store.transaction(async (session) => {
      await session.run('UPDATE kept SET amount = amount + 1 WHERE id = ?', [first]);
      if (++waiting === 2) met.resolve();
      await met.promise;
      return session.run('UPDATE kept SET amount = amount + 1 WHERE id = ?', [second]);
    });
  const ends = await Promise.allSettled([cross(1, 2), cross(2, 1)]);
  const lost = ends.flatMap((end) => (end.status === 'rejected' ? [end.reason as { code: string }] : []));
  assert.deepEqual(
    lost.map(({ code }) => code),
    ['conflict'],
  );
});
