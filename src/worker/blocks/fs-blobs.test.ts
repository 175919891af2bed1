import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { systemClock } from '../../core/clock.ts';
import { Timers } from '../../core/timers.ts';
import { openBlobFiles } from '../../store/blob-files.ts';
import type { BlobStore } from '../../store/blobs.ts';
import { failureOf, runBlock } from './block-fixture.ts';
import { blobGet, blobPut } from './fs-blobs.ts';

async function open(
  context: TestContext,
): Promise<{ put: ReturnType<typeof blobPut>; get: ReturnType<typeof blobGet>; blobs: BlobStore }> {
  const dir = mkdtempSync(join(tmpdir(), 'fs-blobs-'));
  const timers = new Timers(systemClock);
  const blobs = await openBlobFiles({ dir, quotaBytes: 1_000_000, timers });
  context.after(async () => {
    await blobs[Symbol.asyncDispose]();
    timers[Symbol.dispose]();
    rmSync(dir, { recursive: true, force: true });
  });
  return { put: blobPut(blobs), get: blobGet(blobs), blobs };
}

test('text, bytes and references are put, and got as what they are', async (context) => {
  const { put, get } = await open(context);
  const { output } = await runBlock(put, { key: 'a/b.txt', content: 'grüße' });
  const sha256 = createHash('sha256').update('grüße').digest('hex');
  assert.deepEqual({ ...output, ref: '' }, { key: 'a/b.txt', size: 7, sha256, version: sha256, ref: '' });
  assert.equal((await runBlock(get, { key: 'a/b.txt' })).output.content, 'grüße');
  await runBlock(put, { key: 'bin', bytes: '/wA=' });
  assert.equal((await runBlock(get, { key: 'bin' })).output.bytes, '/wA=');
  await runBlock(put, { key: 'copy', ref: output.ref });
  const copied = (await runBlock(get, { key: 'copy', version: sha256 })).output;
  assert.equal(copied.content, 'grüße');
});

test('a large object comes as a reference that names it', async (context) => {
  const { put, get, blobs } = await open(context);
  await runBlock(put, { key: 'large', content: 'x'.repeat(300_000) });
  const { output } = await runBlock(get, { key: 'large' });
  assert.deepEqual([output.content, output.bytes, output.size], [undefined, undefined, 300_000]);
  assert.equal((await blobs.read('acme', output.ref))?.length, 300_000);
});

test('what may not be stored or read is a failure with its code', async (context) => {
  const { put, get } = await open(context);
  const putting = (input: Parameters<typeof put.execute>[0], tenantId = 'acme'): Promise<string> =>
    failureOf(runBlock(put, input, { tenantId }));
  assert.equal(await putting({ key: '../x', content: '' }), 'INVALID_INPUT invalid_path');
  assert.equal(await putting({ key: 'k' }), 'INVALID_INPUT');
  assert.equal(await putting({ key: 'k', content: '', bytes: '' }), 'INVALID_INPUT');
  assert.equal(await putting({ key: 'k', bytes: 'no!' }), 'INVALID_INPUT base64');
  assert.equal(await putting({ key: 'k', ref: 'file:///etc/passwd' }), 'INVALID_INPUT not_found');
  assert.equal(await putting({ key: 'k', content: 'one' }), 'done');
  assert.equal(await putting({ key: 'k', content: 'two' }), 'EXECUTION_FAILED key_exists');
  assert.equal(await putting({ key: 'k', content: 'two', overwrite: true }), 'done');
  assert.equal(await putting({ key: 'l', content: 'x'.repeat(1_000_000) }), 'QUOTA_EXCEEDED blob_bytes');
  const { ref } = (await runBlock(get, { key: 'k' })).output;
  assert.equal(await putting({ key: 'k', ref }, 'other'), 'INVALID_INPUT not_found');
  const other = runBlock(get, { key: 'k' }, { tenantId: 'other' });
  assert.equal(await failureOf(other), 'EXECUTION_FAILED not_found');
});
