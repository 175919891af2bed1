// What is too large for a message, in a bucket that every process reads: a note of the whole, and its pieces.
import { Type } from 'typebox';
import { type BucketSpec, keyOf, type KeyPattern, keyPattern } from './bucket.ts';
import { payload } from './contract.ts';
import { Count } from './fields.ts';

/** Seven days after it was written, as long as the job that made it is kept (worker 11). */
export const blobBucket: BucketSpec = { name: 'blobs', ttlMs: 7 * 86_400_000, bytesMax: 2 * 1024 ** 3 };

/** Bytes of one piece; as base64 it is 512 KiB, which fits into a message of every server (contracts 1.1). */
export const BLOB_PIECE_BYTES = 393_216;

const NOTE = 'note';
export const blobNoteKey = (tenantId: string, id: string): string => keyOf(tenantId, id, NOTE);
export const blobPieceKey = (tenantId: string, id: string, piece: number): string => keyOf(tenantId, id, String(piece));
export const blobNotes = (tenantId: string): KeyPattern => keyPattern(tenantId, undefined, NOTE);

const BlobNote = Type.Object({
  version: Type.Literal('1'),
  bytes: Count,
  pieces: Count,
  // Of the bytes, in hex.
  sha256: Type.String({ pattern: '^[0-9a-f]{64}$' }),
});
export type BlobNote = Type.Static<typeof BlobNote>;

export const blobNote = payload('beamline.blob.BlobNote', '1', BlobNote);
