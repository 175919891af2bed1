// Conformance of blobs that stand in a bucket.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { BLOB_PIECE_BYTES, blobBucket, blobNoteKey, blobNotes, blobPieceKey } from '../contracts/blob.ts';
import { blobId } from '../core/blob-ref.ts';
import { systemClock } from '../core/clock.ts';
import { BLOB_BYTES_MAX } from '../store/blobs.ts';
import { openBucketBlobs } from './bucket-blobs.ts';
import { type Case, refused } from './conformance-fixture.ts';

const SMALL = { clock: systemClock, quotaBytes: 4_000_000, bytesMax: 64_000_000 };
/** Bytes that differ from place to place. */
const bytesOf = (length: number): Buffer =>
  Buffer.from(Uint8Array.from({ length }, (_, n) => (n * 31 + (n >> 8)) & 255));
const idOf = (ref: string): string => blobId('acme', ref) ?? assert.fail(ref);

export const blobCases: readonly Case[] = [
  [
    'a blob of several pieces is read back by every process, by its tenant only',
    async ({ bus, peer }) => {
      const [ours, theirs] = [await openBucketBlobs(bus, SMALL), await openBucketBlobs(peer, SMALL)];
      const bytes = bytesOf(2 * BLOB_PIECE_BYTES + 7);
      const ref = await ours.keep('acme', bytes);
      assert.equal(ref, `blob://acme/${createHash('sha256').update(bytes).digest('hex')}`);
      assert.deepEqual(await theirs.read('acme', ref), bytes);
      const found = await theirs.find('acme', ref);
      assert.equal(found?.bytes, bytes.length);
      const lengths: number[] = [];
      for await (const piece of found.pieces()) lengths.push(piece.length);
      assert.deepEqual(lengths, [BLOB_PIECE_BYTES, BLOB_PIECE_BYTES, 7]);
      assert.equal(await theirs.read('other', ref), undefined);
      assert.equal(await theirs.read('acme', ref.replace('acme', 'other')), undefined);
      assert.equal(await theirs.read('acme', 'blob://acme/../x'), undefined);
      assert.deepEqual(await ours.read('acme', await ours.keep('acme', bytesOf(0))), bytesOf(0));
    },
  ],
  [
    'a blob of an owner is forgotten without that of another with the same bytes',
    async ({ bus, peer }) => {
      const [ours, theirs] = [await openBucketBlobs(bus, SMALL), await openBucketBlobs(peer, SMALL)];
      const bytes = bytesOf(BLOB_PIECE_BYTES + 1);
      const first = await ours.keep('acme', bytes, 'job 1');
      const second = await ours.keep('acme', bytes, 'job 2');
      assert.notEqual(first, second);
      assert.equal(await ours.keep('acme', bytes, 'job 1'), first, 'a repeat is the same blob');
      await theirs.forget('acme', first);
      await theirs.forget('acme', first);
      assert.equal(await ours.read('acme', first), undefined);
      assert.deepEqual(await ours.read('acme', second), bytes);
      const bucket = await bus.openBucket({ ...blobBucket, bytesMax: SMALL.bytesMax });
      assert.equal((await bucket.entries()).length, 3, 'two pieces and a note');
    },
  ],
  [
    'a tenant keeps as much as it may, and what is forgotten makes room',
    async ({ bus }) => {
      const blobs = await openBucketBlobs(bus, { ...SMALL, quotaBytes: 900_000 });
      const first = await blobs.keep('acme', bytesOf(500_000));
      assert.equal(await blobs.keep('acme', bytesOf(500_000)), first, 'the same bytes take no more room');
      await refused('quota_exceeded', blobs.keep('acme', bytesOf(500_001)));
      await blobs.keep('other', bytesOf(500_001));
      await blobs.forget('acme', first);
      await blobs.keep('acme', bytesOf(500_001));
      await refused('payload_too_large', blobs.keep('acme', Buffer.alloc(BLOB_BYTES_MAX + 1)));
    },
  ],
  [
    'a blob that lost a piece, or has another one, is never read to its end',
    async ({ bus }) => {
      const blobs = await openBucketBlobs(bus, SMALL);
      const bucket = await bus.openBucket({ ...blobBucket, bytesMax: SMALL.bytesMax });
      const ref = await blobs.keep('acme', bytesOf(2 * BLOB_PIECE_BYTES));
      const piece = blobPieceKey('acme', idOf(ref), 0);
      await bucket.erase(piece);
      await refused('internal', blobs.read('acme', ref));
      await bucket.put(piece, bytesOf(BLOB_PIECE_BYTES).fill(0, 0, 1).fill(9, 1, 2).toString('base64'));
      await refused('internal', blobs.read('acme', ref));
      await blobs.keep('acme', bytesOf(2 * BLOB_PIECE_BYTES));
      assert.equal((await blobs.read('acme', ref))?.length, 2 * BLOB_PIECE_BYTES, 'a repeat mends it');
      await bucket.put(blobNoteKey('acme', idOf(ref)), '{"version":"1"}');
      assert.equal(await blobs.find('acme', ref), undefined);
      assert.equal((await bucket.entries(blobNotes('acme'))).length, 1);
    },
  ],
];
