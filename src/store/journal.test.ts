import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { BeamlineError } from '../core/errors.ts';
import { openLog } from '../telemetry/log.ts';
import { Metrics } from '../telemetry/metrics.ts';
import { type Journal, openJournal } from './journal.ts';

interface Opened {
  readonly journal: Journal;
  readonly found: string[];
  readonly metrics: Metrics;
}

/** A folder that is gone with the test. */
function newFolder(t: { after(work: () => void): void }): string {
  const folder = mkdtempSync(join(tmpdir(), 'beamline-journal-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

async function opened(folder: string, bytesMax = 1_048_576): Promise<Opened> {
  const found: string[] = [];
  const metrics = new Metrics();
  const telemetry = { log: openLog('silent', { write: () => undefined }), metrics };
  const journal = await openJournal({ folder, bytesMax, telemetry, onRecord: (record) => void found.push(record) });
  return { journal, found, metrics };
}

/** What a process would find that comes after. */
async function left(folder: string): Promise<string[]> {
  const { journal, found } = await opened(folder);
  await journal.close();
  return found;
}

const refusedBy = (code: string, reason: string) => (fault: unknown) =>
  fault instanceof BeamlineError && fault.code === code && fault.details['reason'] === reason;

test('what was appended is found again, in order, across several lives', async (t) => {
  const folder = newFolder(t);
  const first = await opened(folder);
  await Promise.all([first.journal.append('one'), first.journal.append('zwei €')]);
  first.journal.appendUnsynced('three');
  await first.journal.close();
  const second = await opened(folder);
  assert.deepEqual(second.found, ['one', 'zwei €', 'three']);
  await second.journal.append('four');
  assert.equal(second.journal.bytes, statSync(join(folder, 'journal')).size);
  await second.journal.close();
  assert.deepEqual(await left(folder), ['one', 'zwei €', 'three', 'four']);
});

test('an acknowledged record is in the file before anything else is done', async (t) => {
  const folder = newFolder(t);
  const { journal } = await opened(folder);
  await journal.append('acknowledged');
  assert.match(readFileSync(join(folder, 'journal'), 'utf8'), /acknowledged$/);
  await journal.close();
});

test('a tail that is torn anywhere is cut at the last whole record, and counted', async (t) => {
  const whole = newFolder(t);
  const { journal } = await opened(whole);
  await Promise.all(['first', 'second', 'third'].map((record) => journal.append(record)));
  await journal.close();
  const bytes = readFileSync(join(whole, 'journal'));
  const lastAt = bytes.length - 'third'.length - 8;
  for (let size = lastAt + 1; size < bytes.length; size++) {
    writeFileSync(join(whole, 'journal'), bytes);
    truncateSync(join(whole, 'journal'), size);
    // eslint-disable-next-line no-await-in-loop -- one folder
    const { journal: torn, found, metrics } = await opened(whole);
    assert.deepEqual(found, ['first', 'second'], `cut at ${size}`);
    assert.match(metrics.render(), new RegExp(`journal_cut_bytes_total ${size - lastAt}\n`));
    // eslint-disable-next-line no-await-in-loop -- as above
    await torn.append('after');
    // eslint-disable-next-line no-await-in-loop -- as above
    await torn.close();
    // eslint-disable-next-line no-await-in-loop -- as above
    assert.deepEqual(await left(whole), ['first', 'second', 'after']);
  }
});

test('a record whose bytes changed ends the journal, and so do zeros and a senseless length', async (t) => {
  const folder = newFolder(t);
  const { journal } = await opened(folder);
  await Promise.all([journal.append('first'), journal.append('second')]);
  await journal.close();
  const path = join(folder, 'journal');
  const good = readFileSync(path);
  const changed = Buffer.from(good);
  changed[changed.length - 1] = (changed.at(-1) ?? 0) ^ 1;
  writeFileSync(path, changed);
  assert.deepEqual(await left(folder), ['first']);
  writeFileSync(path, Buffer.concat([good, Buffer.alloc(64)]));
  assert.deepEqual(await left(folder), ['first', 'second']);
  writeFileSync(path, Buffer.concat([good, Buffer.alloc(64, 0xff)]));
  assert.deepEqual(await left(folder), ['first', 'second']);
});

test('a file that is no journal is refused and left alone', async (t) => {
  const folder = newFolder(t);
  appendFileSync(join(folder, 'journal'), 'the diary of somebody else');
  await assert.rejects(opened(folder), { code: 'internal' });
  assert.equal(readFileSync(join(folder, 'journal'), 'utf8'), 'the diary of somebody else');
});

test('a folder has one journal at a time', async (t) => {
  const folder = newFolder(t);
  const { journal } = await opened(folder);
  await assert.rejects(opened(folder), refusedBy('unavailable', 'folder_locked'));
  await journal.append('still here');
  await journal.close();
  assert.deepEqual(await left(folder), ['still here']);
});

test('a full journal refuses at once and has room again after a rewrite', async (t) => {
  const folder = newFolder(t);
  const { journal, metrics } = await opened(folder, 1_000);
  await journal.append('x'.repeat(900));
  assert.throws(() => journal.append('y'.repeat(200)), refusedBy('unavailable', 'journal_full'));
  journal.appendUnsynced('y'.repeat(200));
  assert.match(metrics.render(), /journal_dropped_total 1\n/);
  await journal.rewrite(() => ['small']);
  await journal.append('y'.repeat(200));
  await journal.close();
  assert.deepEqual(await left(folder), ['small', 'y'.repeat(200)]);
});

test('a rewrite keeps what is appended while it runs', async (t) => {
  const folder = newFolder(t);
  const { journal } = await opened(folder, 16_777_216);
  await journal.append('dead');
  const meanwhile: Promise<void>[] = [];
  function* records(): Iterable<string> {
    for (let n = 0; n < 40; n++) {
      meanwhile.push(journal.append(`meanwhile-${n}`));
      yield `live-${n}-${'x'.repeat(100_000)}`;
    }
  }
  await journal.rewrite(records);
  await Promise.all(meanwhile);
  await journal.append('after');
  assert.equal(journal.bytes, statSync(join(folder, 'journal')).size);
  await journal.close();
  const found = (await left(folder)).map((record) => record.split('-x')[0]);
  assert.deepEqual(
    found.slice(0, 40),
    Array.from({ length: 40 }, (_, n) => `live-${n}`),
  );
  assert.deepEqual([...new Set(found.slice(40))], [...Array.from({ length: 40 }, (_, n) => `meanwhile-${n}`), 'after']);
});

test('who appends does not wait until a rewrite is on the disk', async (t) => {
  const folder = newFolder(t);
  const { journal } = await opened(folder, 16_777_216);
  await journal.append('dead');
  const gate = Promise.withResolvers<void>();
  const held = Promise.withResolvers<void>();
  const isNew = ({ fd }: FileHandle): boolean => statSync(`/proc/self/fd/${fd}`).ino === statSync(newFile).ino;
  const newFile = join(folder, 'journal.new');
  const probe = await open(join(folder, 'probe'), 'w');
  const handles = Object.getPrototypeOf(probe) as FileHandle;
  await probe.close();
  for (const name of ['sync', 'datasync'] as const) {
    // eslint-disable-next-line typescript/unbound-method -- it is called with the handle
    const real = handles[name];
    t.mock.method(handles, name, async function slow(this: FileHandle) {
      if (existsSync(newFile) && isNew(this)) {
        held.resolve();
        await gate.promise;
      }
      return real.call(this);
    });
  }
  const rewritten = journal.rewrite(() => ['live']);
  await held.promise;
  await journal.append('meanwhile');
  gate.resolve();
  await rewritten;
  await journal.close();
  assert.deepEqual(await left(folder), ['live', 'meanwhile']);
});

test('a rewrite that fails leaves the journal as it was', async (t) => {
  const folder = newFolder(t);
  const { journal } = await opened(folder);
  await journal.append('kept');
  function* broken(): Iterable<string> {
    yield 'half';
    throw new Error('cannot be told');
  }
  await assert.rejects(journal.rewrite(broken), { code: 'unavailable' });
  await journal.append('after');
  await journal.close();
  assert.deepEqual(await left(folder), ['kept', 'after']);
});

test('synced waits for the records without a promise, and a closed journal takes nothing', async (t) => {
  const folder = newFolder(t);
  const { journal } = await opened(folder);
  journal.appendUnsynced('one');
  await journal.synced();
  assert.match(readFileSync(join(folder, 'journal'), 'utf8'), /one$/);
  await journal.close();
  await journal.close();
  assert.throws(() => journal.append('late'), refusedBy('unavailable', 'closed'));
  await assert.rejects(journal.synced(), refusedBy('unavailable', 'closed'));
});

test('a journal that could not be written promises nothing more, and has what it promised', async (t) => {
  const folder = newFolder(t);
  const child = fileURLToPath(import.meta.resolve('./journal-child.ts'));
  const limited = ['-c', 'ulimit -f 64 && exec "$0" "$@"', process.execPath, child, folder];
  const { stdout } = await promisify(execFile)('bash', limited);
  const { acknowledged, reasons } = JSON.parse(stdout) as { acknowledged: number; reasons: string[] };
  assert.deepEqual(reasons, ['journal_failed', 'journal_failed', 'journal_failed']);
  assert.ok(acknowledged > 10, `${acknowledged}`);
  const { journal, found } = await opened(folder);
  assert.deepEqual(
    found.map((record) => Number(record.split(' ')[0])),
    Array.from({ length: acknowledged }, (_, n) => n),
  );
  await journal.append('again');
  await journal.close();
  assert.equal((await left(folder)).at(-1), 'again');
});
