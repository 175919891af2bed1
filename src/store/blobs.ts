// The ports to objects that are too large for a message, and the words that name them (worker 11).
// B1. Every object is of one tenant; a name of another tenant's is the name of nothing.
// B2. A version is the SHA-256 of its bytes, so a repeated write is the same write.
import { BeamlineError } from '../core/errors.ts';

export const BLOB_BYTES_MAX = 16_777_216;

export interface BlobName {
  readonly key: string;
  readonly size: number;
  /** SHA-256 in hex; it is the version as well. */
  readonly sha256: string;
  /** `blob://<tenant>/<id>` of this very version. */
  readonly ref: string;
}

export interface BlobObject extends BlobName {
  readonly bytes: Buffer;
}

/** Objects without a name, which are kept for some days. */
export interface PassingBlobs {
  /** Resolves with the reference. Throws `payload_too_large` above `BLOB_BYTES_MAX`, and `quota_exceeded`. */
  keep(tenantId: string, bytes: Uint8Array): Promise<string>;
  /** What a reference names; undefined for another tenant's, one that was forgotten, and what is no reference. */
  read(tenantId: string, ref: string): Promise<Buffer | undefined>;
}

/** Objects with a key beside them, which stay. */
export interface BlobStore extends PassingBlobs, AsyncDisposable {
  /**
   * Throws `invalid_request` for a key that is none, `payload_too_large` above `BLOB_BYTES_MAX`, `quota_exceeded`, and
   * `conflict` where the key has other bytes and may not be overwritten.
   */
  put(tenantId: string, key: string, bytes: Uint8Array, options: { readonly overwrite: boolean }): Promise<BlobName>;
  /** The newest version, or a named one; undefined if there is none. */
  get(tenantId: string, key: string, version?: string): Promise<BlobObject | undefined>;
}

const KEY = /^[A-Za-z0-9._/-]{1,512}$/;

/** Throws `invalid_request`: a key has 1 to 512 of `A-Z a-z 0-9 . _ / -`, and no segment that is empty, `.` or `..`. */
export function checkKey(key: string): void {
  const isKey = KEY.test(key) && key.split('/').every((part) => part !== '' && part !== '.' && part !== '..');
  if (!isKey)
    throw new BeamlineError('invalid_request', 'the key is not legal', { details: { reason: 'invalid_path' } });
}
