import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { systemClock } from '../core/clock.ts';
import { Timers } from '../core/timers.ts';
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

test('a SQLite file survives its process, with full sync and a write-ahead log', async () => {
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
    ['wal', 2],
  );
});

test('a SQLite file that cannot be opened or read is unavailable', () => {
  using folder = temporaryFolder();
  const torn = join(folder.path, 'torn.sqlite');
  writeFileSync(torn, 'no database at all, but long enough to look like one\n'.repeat(40));
  assert.throws(() => open(torn), { code: 'unavailable' });
  assert.throws(() => open(join(folder.path, 'no', 'such', 'folder.sqlite')), { code: 'unavailable' });
});
