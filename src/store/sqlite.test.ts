import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { systemClock } from '../core/clock.ts';
import { Timers } from '../core/timers.ts';
import { until } from '../../test/until.ts';
import { testStore } from './conformance.ts';
import type { SqlStore } from './sql.ts';
import { openSqlite } from './sqlite.ts';

const timers = new Timers(systemClock, { tickMs: 5 });
after(() => timers[Symbol.dispose]());
const open = (path: string): SqlStore => openSqlite({ path, timers });

function temporaryFolder(): { readonly path: string } & Disposable {
  const path = mkdtempSync(join(tmpdir(), 'beamline-sqlite-'));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

testStore('SQLite', async () => {
  const folder = temporaryFolder();
  const path = join(folder.path, 'test.sqlite');
  const [store, peer] = [open(path), open(path)];
  return {
    store,
    peer,
    async [Symbol.asyncDispose]() {
      await Promise.all([store[Symbol.asyncDispose](), peer[Symbol.asyncDispose]()]);
      folder[Symbol.dispose]();
    },
  };
});

test('a SQLite file survives its process, with a write-ahead log', async () => {
  using folder = temporaryFolder();
  const path = join(folder.path, 'kept.sqlite');
  {
    await using store = open(path);
    await store.run('CREATE TABLE kept (id INTEGER PRIMARY KEY)');
    await store.run('INSERT INTO kept (id) VALUES (?)', [7]);
  }
  await using store = open(path);
  assert.deepEqual({ ...(await store.all('SELECT id FROM kept'))[0] }, { id: 7 });
  const pragmas = await Promise.all([store.all('PRAGMA journal_mode'), store.all('PRAGMA synchronous')]);
  assert.deepEqual(
    pragmas.flat().map((row) => Object.values(row)[0]),
    ['wal', 1],
  );
});

test('what changed a SQLite file is told once its log is on the disk, and the next in turn does not wait for that', async () => {
  using folder = temporaryFolder();
  const syncs: PromiseWithResolvers<void>[] = [];
  const dataSync = (): Promise<void> => {
    const sync = Promise.withResolvers<void>();
    syncs.push(sync);
    return sync.promise;
  };
  const told: string[] = [];
  await using store = openSqlite({ path: join(folder.path, 'held.sqlite'), timers, dataSync });
  const done = [
    store.run('CREATE TABLE kept (id INTEGER PRIMARY KEY)').then(() => told.push('made')),
    store.run('INSERT INTO kept (id) VALUES (?)', [7]).then(() => told.push('first')),
    store
      .transaction((session) => session.run('INSERT INTO kept (id) VALUES (?)', [8]))
      .then(() => told.push('second')),
  ];
  await until('a sync', () => syncs.length === 1);
  {
    await using reader = open(join(folder.path, 'held.sqlite'));
    await until('both rows', async () => (await reader.all('SELECT id FROM kept')).length === 2);
  }
  assert.deepEqual([told, syncs.length], [[], 1]);
  syncs[0]?.resolve();
  await until('another sync', () => syncs.length === 2);
  assert.deepEqual(told, ['made']);
  syncs[1]?.resolve();
  await Promise.all(done);
});

test('a SQLite file behind a link is made to last where it is', async () => {
  using folder = temporaryFolder();
  const link = join(folder.path, 'link.sqlite');
  mkdirSync(join(folder.path, 'elsewhere'));
  symlinkSync(join(folder.path, 'elsewhere', 'file.sqlite'), link);
  await using store = open(link);
  assert.equal(await store.run('CREATE TABLE kept (id INTEGER PRIMARY KEY)'), 0);
});

test('after a sync of a SQLite file that failed nothing more is told', async () => {
  using folder = temporaryFolder();
  let fails = false;
  const dataSync = (): Promise<void> => (fails ? Promise.reject(new Error('EIO')) : Promise.resolve());
  await using store = openSqlite({ path: join(folder.path, 'failed.sqlite'), timers, dataSync });
  await store.run('CREATE TABLE kept (id INTEGER PRIMARY KEY)');
  fails = true;
  await assert.rejects(store.run('INSERT INTO kept (id) VALUES (1)'), { code: 'unavailable' });
  fails = false;
  await assert.rejects(store.run('INSERT INTO kept (id) VALUES (2)'), { code: 'unavailable' });
});

test('a SQLite file that cannot be opened or read is unavailable', () => {
  using folder = temporaryFolder();
  const torn = join(folder.path, 'torn.sqlite');
  writeFileSync(torn, 'no database at all, but long enough to look like one\n'.repeat(40));
  assert.throws(() => open(torn), { code: 'unavailable' });
  assert.throws(() => open(join(folder.path, 'no', 'such', 'folder.sqlite')), { code: 'unavailable' });
});
