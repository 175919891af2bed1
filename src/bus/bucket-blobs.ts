// Blobs in a bucket: bytes without a name, in pieces, which every process of the bus reads for seven days.
// P1. The note of the whole is written after the pieces and erased before them: whoever finds it, finds them.
// P2. Bytes that are not what the note says never get to their end.
import { createHash } from 'node:crypto';
import {
  BLOB_PIECE_BYTES,
  blobBucket,
  type BlobNote,
  blobNote,
  blobNoteKey,
  blobNotes,
  blobPieceKey,
} from '../contracts/blob.ts';
import type { BucketSpec } from '../contracts/bucket.ts';
import { readRecord } from '../contracts/codec.ts';
import { blobId, blobRef } from '../core/blob-ref.ts';
import type { Clock } from '../core/clock.ts';
import { BeamlineError } from '../core/errors.ts';
import { BlobQuota } from '../store/blob-quota.ts';
import { BLOB_BYTES_MAX, type PassingBlobs } from '../store/blobs.ts';
import type { Bus, KeyValue } from './bus.ts';

export interface BucketBlobsOptions {
  readonly clock: Clock;
  /** Bytes of one tenant. */
  readonly quotaBytes: number;
  /** Another bound of the bucket, where it stands in memory. */
  readonly bytesMax?: number;
}

/** A blob that is there. */
export interface FoundBlob {
  readonly bytes: number;
  /** Throws `internal` before the last piece where the bytes are not those that were kept. */
  pieces(): AsyncIterable<Buffer>;
}

export async function openBucketBlobs(bus: Bus, options: BucketBlobsOptions): Promise<BucketBlobs> {
  const { bytesMax = blobBucket.bytesMax } = options;
  const spec: BucketSpec = { ...blobBucket, bytesMax };
  return new BucketBlobs(await bus.openBucket(spec), options);
}

/** Every operation throws `unavailable` while the bucket cannot be reached. */
export class BucketBlobs implements PassingBlobs {
  readonly #bucket: KeyValue;
  readonly #quota: BlobQuota;

  constructor(bucket: KeyValue, { clock, quotaBytes }: BucketBlobsOptions) {
    this.#bucket = bucket;
    this.#quota = new BlobQuota(quotaBytes, clock, (tenantId) => this.#bytesOf(tenantId));
  }

  /** With an owner the blob is its alone: the same bytes of another are another blob, so that each can be forgotten. */
  async keep(tenantId: string, bytes: Uint8Array, owner?: string): Promise<string> {
    if (bytes.length > BLOB_BYTES_MAX) throw new BeamlineError('payload_too_large', 'the object is too large');
    const sha256 = digestOf(bytes);
    const id = owner === undefined ? sha256 : digestOf(`${owner}\n${sha256}`);
    const isThere = (await this.#note(tenantId, id)) !== undefined;
    const release = isThere ? () => undefined : await this.#quota.take(tenantId, bytes.length);
    const pieces = Math.ceil(bytes.length / BLOB_PIECE_BYTES);
    try {
      // What is there is written again: it becomes young.
      for (let n = 0; n < pieces; n++) {
        const piece = bytes.subarray(n * BLOB_PIECE_BYTES, (n + 1) * BLOB_PIECE_BYTES);
        const text = Buffer.from(piece.buffer, piece.byteOffset, piece.length).toString('base64');
        // eslint-disable-next-line no-await-in-loop -- one piece in flight at a time
        await this.#bucket.put(blobPieceKey(tenantId, id, n), text);
      }
      const note: BlobNote = { version: '1', bytes: bytes.length, pieces, sha256 };
      await this.#bucket.put(blobNoteKey(tenantId, id), JSON.stringify(note));
    } catch (fault) {
      release();
      throw fault;
    }
    return blobRef(tenantId, id);
  }

  /** What a reference names, to be read piece by piece. */
  async find(tenantId: string, ref: string): Promise<FoundBlob | undefined> {
    const id = blobId(tenantId, ref);
    const note = id === undefined ? undefined : await this.#note(tenantId, id);
    if (id === undefined || note === undefined) return undefined;
    return { bytes: note.bytes, pieces: () => this.#pieces(tenantId, id, note) };
  }

  async read(tenantId: string, ref: string): Promise<Buffer | undefined> {
    const found = await this.find(tenantId, ref);
    if (found === undefined) return undefined;
    const pieces: Buffer[] = [];
    for await (const piece of found.pieces()) pieces.push(piece);
    return Buffer.concat(pieces);
  }

  /** Removes what a reference names, if it is there. */
  async forget(tenantId: string, ref: string): Promise<void> {
    const id = blobId(tenantId, ref);
    const note = id === undefined ? undefined : await this.#note(tenantId, id);
    if (id === undefined || note === undefined) return;
    await this.#bucket.erase(blobNoteKey(tenantId, id));
    // eslint-disable-next-line no-await-in-loop -- one after the other, beside other work
    for (let n = 0; n < note.pieces; n++) await this.#bucket.erase(blobPieceKey(tenantId, id, n));
    this.#quota.forget(tenantId);
  }

  async *#pieces(tenantId: string, id: string, note: BlobNote): AsyncGenerator<Buffer, void> {
    const digest = createHash('sha256');
    let bytes = 0;
    for (let n = 0; n < note.pieces; n++) {
      // eslint-disable-next-line no-await-in-loop -- as fast as the reader takes them
      const entry = await this.#bucket.get(blobPieceKey(tenantId, id, n));
      const piece = Buffer.from(entry?.value ?? '', 'base64');
      digest.update(piece);
      bytes += piece.length;
      const isLast = n === note.pieces - 1;
      if (bytes > note.bytes || (isLast && (bytes !== note.bytes || digest.digest('hex') !== note.sha256))) {
        throw new BeamlineError('internal', 'a stored object is damaged');
      }
      yield piece;
    }
  }

  async #note(tenantId: string, id: string): Promise<BlobNote | undefined> {
    return noteIn((await this.#bucket.get(blobNoteKey(tenantId, id)))?.value);
  }

  async #bytesOf(tenantId: string): Promise<number> {
    const notes = await this.#bucket.entries(blobNotes(tenantId));
    return notes.reduce((sum, { value }) => sum + (noteIn(value)?.bytes ?? 0), 0);
  }
}

/** A note that cannot be read is none. */
function noteIn(text: string | undefined): BlobNote | undefined {
  const note = text === undefined ? undefined : readRecord(blobNote, text);
  return note !== undefined && note.bytes <= BLOB_BYTES_MAX ? note : undefined;
}

const digestOf = (content: string | Uint8Array): string => createHash('sha256').update(content).digest('hex');
