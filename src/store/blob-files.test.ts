import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { systemClock } from '../core/clock.ts';
import { Timers } from '../core/timers.ts';
import { openBlobFiles } from './blob-files.ts';
import type { BlobStore } from './blobs.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const sha256 = (text: string | Uint8Array): string => createHash('sha256').update(text).digest('hex');
const never = { overwrite: false };
const always = { overwrite: true };

interface Opened {
  readonly blobs: BlobStore;
  readonly dir: string;
  /** The folder of a key of tenant `acme`. */
  readonly folder: (key: string) => string;
}

async function open(
  context: TestContext,
  more: { quotaBytes?: number; passingMs?: number; dir?: string } = {},
): Promise<Opened> {
  const dir = more.dir ?? mkdtempSync(join(tmpdir(), 'blobs-'));
  const timers = new Timers(systemClock);
  const { quotaBytes = 1_000_000, passingMs } = more;
  const blobs = await openBlobFiles({ dir, quotaBytes, timers, ...(passingMs === undefined ? {} : { passingMs }) });
  context.after(async () => {
    await blobs[Symbol.asyncDispose]();
    timers[Symbol.dispose]();
    rmSync(dir, { recursive: true, force: true });
  });
  return { blobs, dir, folder: (key) => join(dir, sha256('acme'), 'keys', sha256(key)) };
}

const textOf = async (blobs: BlobStore, key: string, version?: string): Promise<string | undefined> =>
  (await blobs.get('acme', key, version))?.bytes.toString();

test('what was put is got, by key, by version and by reference', async (context) => {
  const { blobs } = await open(context);
  const first = await blobs.put('acme', 'reports/a.csv', bytes('one'), never);
  assert.deepEqual(first, {
    key: 'reports/a.csv',
    size: 3,
    sha256: sha256('one'),
    ref: `blob://acme/${sha256('reports/a.csv')}.${sha256('one')}`,
  });
  await blobs.put('acme', 'reports/a.csv', bytes('two'), always);
  assert.equal(await textOf(blobs, 'reports/a.csv'), 'two');
  assert.equal(await textOf(blobs, 'reports/a.csv', first.sha256), 'one');
  assert.equal((await blobs.read('acme', first.ref))?.toString(), 'one');
  assert.equal(await textOf(blobs, 'reports/a.csv', sha256('three')), undefined);
  assert.equal(await textOf(blobs, 'reports/a.csv', '../../../etc/passwd'), undefined);
  assert.equal(await textOf(blobs, 'reports'), undefined);
});

test('the same bytes again are the same write; other bytes need leave', async (context) => {
  const { blobs } = await open(context);
  await blobs.put('acme', 'k', bytes('one'), never);
  await blobs.put('acme', 'k', bytes('one'), never);
  await assert.rejects(blobs.put('acme', 'k', bytes('two'), never), { code: 'conflict' });
  assert.equal(await textOf(blobs, 'k'), 'one');
});

test('of many first writers of a key one wins, and no reader sees anything else', async (context) => {
  const { blobs, dir } = await open(context);
  const { blobs: other } = await open(context, { dir });
  const tries = Array.from({ length: 20 }, (_, i) =>
    (i % 2 === 0 ? blobs : other).put('acme', 'k', bytes(`${i}`), never),
  );
  const settled = await Promise.allSettled(tries);
  const won = settled.flatMap((one) => (one.status === 'fulfilled' ? [one.value.sha256] : []));
  assert.equal(won.length, 1);
  assert.equal((await blobs.get('acme', 'k'))?.sha256, won[0]);
});

const NO_KEYS = [
  ...'. .. ../x a/../../x /etc/passwd a//b a/ a/./b ..%2f ..\\ C:\\ ~ //server ä ．．/x a/.. \u2025'.split(' '),
  '',
  '\0',
  'a\0b',
  'a b',
  'a\n',
  'x'.repeat(513),
];
for (const key of NO_KEYS) {
  test(`${JSON.stringify(key.slice(0, 20))} is no key`, async (context) => {
    const { blobs } = await open(context);
    await assert.rejects(blobs.put('acme', key, bytes('x'), never), { code: 'invalid_request' });
    await assert.rejects(blobs.get('acme', key), { code: 'invalid_request' });
  });
}

test("a tenant sees nothing of another's, not even by reference", async (context) => {
  const { blobs } = await open(context);
  const { ref } = await blobs.put('acme', 'k', bytes('mine'), never);
  const passing = await blobs.keep('acme', bytes('mine'));
  assert.equal(await blobs.get('other', 'k'), undefined);
  for (const name of [
    ref,
    passing,
    ref.replace('acme', '../acme'),
    'blob://other/../acme/x',
    'file:///etc/passwd',
    '',
  ]) {
    assert.equal(await blobs.read('other', name), undefined, name);
  }
  assert.equal((await blobs.read('acme', passing))?.toString(), 'mine');
  assert.equal(await blobs.read('a/c', ref), undefined);
});

test('links, second names, pipes and folders in the place of a file are refused', async (context) => {
  const { blobs, dir, folder } = await open(context);
  const secret = join(dir, 'secret');
  writeFileSync(secret, 'secret');
  const digest = sha256('secret');
  const plant = (how: (path: string) => void): void => {
    rmSync(folder('k'), { recursive: true, force: true });
    mkdirSync(folder('k'), { recursive: true });
    writeFileSync(join(folder('k'), 'head'), digest);
    how(join(folder('k'), digest));
  };
  const plants: Readonly<Record<string, (path: string) => void>> = {
    'a link': (path) => symlinkSync(secret, path),
    'a second name': (path) => linkSync(secret, path),
    'a pipe': (path) => execFileSync('mkfifo', [path]),
    'a folder': (path) => mkdirSync(path),
    'a link that leads nowhere': (path) => symlinkSync('/nowhere', path),
    'a device': (path) => symlinkSync('/dev/zero', path),
  };
  for (const [what, how] of Object.entries(plants)) {
    plant(how);
    await assert.rejects(blobs.get('acme', 'k'), { code: 'forbidden' }, what);
  }
  plant((path) => writeFileSync(path, 'secret'));
  assert.equal(await textOf(blobs, 'k'), 'secret');
});

test('a folder that became a link is neither read nor written through', async (context) => {
  const { blobs, dir, folder } = await open(context);
  const outside = mkdtempSync(join(tmpdir(), 'outside-'));
  context.after(() => rmSync(outside, { recursive: true, force: true }));
  await blobs.put('acme', 'k', bytes('inside'), never);
  renameSync(folder('k'), join(outside, 'moved'));
  symlinkSync(join(outside, 'moved'), folder('k'));
  await assert.rejects(blobs.get('acme', 'k'), { code: 'forbidden' });
  await assert.rejects(blobs.put('acme', 'k', bytes('new'), always), { code: 'forbidden' });
  rmSync(join(outside, 'moved', 'head'));
  await assert.rejects(blobs.put('acme', 'k', bytes('new'), always), { code: 'forbidden' });
  assert.deepEqual(readdirSync(join(outside, 'moved')), [sha256('inside')], 'nothing was left outside');
  assert.deepEqual(readdirSync(dir), [sha256('acme')]);
});

test('a link in the place of a version is replaced by a write, and what it led to is left alone', async (context) => {
  const { blobs, dir, folder } = await open(context);
  const outside = join(dir, 'outside');
  writeFileSync(outside, 'outside');
  mkdirSync(folder('k'), { recursive: true });
  symlinkSync(outside, join(folder('k'), sha256('one')));
  await blobs.put('acme', 'k', bytes('one'), never);
  assert.equal(await textOf(blobs, 'k'), 'one');
  assert.equal(readFileSync(outside, 'utf8'), 'outside');
});

test('bytes that are not what their name says are an error, not an answer', async (context) => {
  const { blobs, folder } = await open(context);
  const { sha256: version } = await blobs.put('acme', 'k', bytes('one'), never);
  writeFileSync(join(folder('k'), version), 'two');
  await assert.rejects(blobs.get('acme', 'k'), { code: 'internal' });
});

test('a tenant has so much room, counted again after a restart and by file as well', async (context) => {
  const { blobs, dir } = await open(context, { quotaBytes: 20_000 });
  await blobs.put('acme', 'a', new Uint8Array(10_000), never);
  await blobs.put('acme', 'small', bytes('x'), never);
  await assert.rejects(blobs.put('acme', 'b', new Uint8Array(8_000), never), { code: 'quota_exceeded' });
  await assert.rejects(blobs.keep('acme', new Uint8Array(8_000)), { code: 'quota_exceeded' });
  await blobs.put('other', 'b', new Uint8Array(8_000), never);
  const { blobs: again } = await open(context, { quotaBytes: 20_000, dir });
  await assert.rejects(again.put('acme', 'b', new Uint8Array(8_000), never), { code: 'quota_exceeded' });
  await again.put('acme', 'a', new Uint8Array(10_000), never);
  assert.equal(await again.get('acme', 'b'), undefined, 'no part of a refused object is there');
});

test('an object has at most 16 MiB', async (context) => {
  const { blobs } = await open(context, { quotaBytes: 100_000_000 });
  await blobs.put('acme', 'k', new Uint8Array(16_777_216), never);
  await assert.rejects(blobs.put('acme', 'l', new Uint8Array(16_777_217), never), { code: 'payload_too_large' });
  await assert.rejects(blobs.keep('acme', new Uint8Array(16_777_217)), { code: 'payload_too_large' });
});

test('of the older versions of a key the newest sixteen stay', async (context) => {
  const { blobs, folder } = await open(context);
  for (let i = 0; i < 20; i++) await blobs.put('acme', 'k', bytes(`${i}`), always);
  assert.equal(readdirSync(folder('k')).length, 16 + 1);
  assert.equal(await textOf(blobs, 'k'), '19');
});

test('unnamed blobs are forgotten after their time, and named ones are not', async (context) => {
  const { blobs, dir } = await open(context);
  const ref = await blobs.keep('acme', bytes('passing'));
  await blobs.put('acme', 'k', bytes('named'), never);
  const { blobs: later } = await open(context, { dir, passingMs: 1_000_000 });
  assert.equal((await later.read('acme', ref))?.toString(), 'passing');
  const { blobs: much } = await open(context, { dir, passingMs: -1_000 });
  assert.equal(await much.read('acme', ref), undefined);
  assert.equal(await textOf(much, 'k'), 'named');
});
