// Blobs in a folder: `<tenant>/keys/<key>/<version>` beside a `head` that names the newest, and `<tenant>/passing/<digest>`.
// Tenants and keys stand in paths as digests, so no text of a caller ever becomes a part of one.
import { createHash } from 'node:crypto';
import { lstat, lutimes, mkdir, readdir, realpath, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { blobId, blobRef } from '../core/blob-ref.ts';
import { BeamlineError } from '../core/errors.ts';
import type { Timer, Timers } from '../core/timers.ts';
import { BlobQuota, bytesIn } from './blob-quota.ts';
import { BLOB_BYTES_MAX, type BlobName, type BlobObject, type BlobStore, checkKey } from './blobs.ts';
import { readPlain, writePlain } from './plain-file.ts';

export interface BlobFilesOptions {
  readonly dir: string;
  /** Bytes of one tenant, unnamed ones included. */
  readonly quotaBytes: number;
  readonly timers: Timers;
  /** How long unnamed blobs are kept; worker 11 says 7 days. */
  readonly passingMs?: number;
}

const DAY_MS = 86_400_000;
const SWEEP_MS = 3_600_000;
const VERSIONS_MAX = 16;
const DIGEST = /^[0-9a-f]{64}$/;

const digestOf = (content: string | Uint8Array): string => createHash('sha256').update(content).digest('hex');

/** Makes the folder. Throws what the system says of it. */
export async function openBlobFiles(options: BlobFilesOptions): Promise<BlobStore> {
  await mkdir(options.dir, { recursive: true, mode: 0o700 });
  const store = new BlobFiles(await realpath(options.dir), options);
  await store.sweep();
  return store;
}

class BlobFiles implements BlobStore {
  readonly #root: string;
  readonly #timers: Timers;
  readonly #passingMs: number;
  readonly #quota: BlobQuota;
  #timer: Timer | undefined;

  constructor(root: string, { quotaBytes, timers, passingMs = 7 * DAY_MS }: BlobFilesOptions) {
    this.#root = root;
    this.#timers = timers;
    this.#passingMs = passingMs;
    this.#quota = new BlobQuota(quotaBytes, timers.clock, bytesIn);
  }

  async keep(tenantId: string, bytes: Uint8Array): Promise<string> {
    refuseLarge(bytes);
    const digest = digestOf(bytes);
    const path = join(this.#folder(tenantId), 'passing', digest);
    await this.#write(tenantId, path, bytes);
    return blobRef(tenantId, digest);
  }

  async put(
    tenantId: string,
    key: string,
    bytes: Uint8Array,
    { overwrite }: { readonly overwrite: boolean },
  ): Promise<BlobName> {
    checkKey(key);
    refuseLarge(bytes);
    const version = digestOf(bytes);
    const name = nameOf(tenantId, key, version, bytes.length);
    const folder = this.#keyFolder(tenantId, key);
    const head = await headOf(folder);
    if (head === version) return name;
    if (head !== undefined && !overwrite) throw taken();
    await this.#write(tenantId, join(folder, version), bytes);
    const text = new TextEncoder().encode(version);
    const isHead = await writePlain(join(folder, 'head'), text, overwrite ? 'replace' : 'create');
    // Somebody else was first; the same bytes are the same write.
    if (!isHead && (await headOf(folder)) !== version) throw taken();
    await this.#prune(tenantId, folder, version);
    return name;
  }

  async get(tenantId: string, key: string, version?: string): Promise<BlobObject | undefined> {
    checkKey(key);
    const folder = this.#keyFolder(tenantId, key);
    const wanted = version ?? (await headOf(folder));
    if (wanted === undefined || !DIGEST.test(wanted)) return undefined;
    const bytes = await readDigest(join(folder, wanted), wanted);
    return bytes === undefined ? undefined : { ...nameOf(tenantId, key, wanted, bytes.length), bytes };
  }

  async read(tenantId: string, ref: string): Promise<Buffer | undefined> {
    const [first = '', second] = blobId(tenantId, ref)?.split('.') ?? [];
    if (first === '') return undefined;
    const folder = this.#folder(tenantId);
    return second === undefined
      ? readDigest(join(folder, 'passing', first), first)
      : readDigest(join(folder, 'keys', first, second), second);
  }

  /** Forgets unnamed blobs whose time is over, now and every hour from now. */
  async sweep(): Promise<void> {
    const beforeMs = this.#timers.clock.epochMs() - this.#passingMs;
    for (const tenant of await readdir(this.#root)) {
      const folder = join(this.#root, tenant, 'passing');
      // eslint-disable-next-line no-await-in-loop -- one folder after the other, beside other work
      for (const name of await readdir(folder).catch(() => [])) {
        const path = join(folder, name);
        // eslint-disable-next-line no-await-in-loop -- as above
        const found = await stat(path).catch(() => undefined);
        // eslint-disable-next-line no-await-in-loop -- as above
        if (found !== undefined && found.mtimeMs < beforeMs) await rm(path, { force: true });
      }
    }
    this.#timer = this.#timers.after(SWEEP_MS, () => void this.sweep().catch(() => undefined));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#timer?.cancel();
  }

  #folder(tenantId: string): string {
    return join(this.#root, digestOf(tenantId));
  }

  #keyFolder(tenantId: string, key: string): string {
    return join(this.#folder(tenantId), 'keys', digestOf(key));
  }

  async #write(tenantId: string, path: string, bytes: Uint8Array): Promise<void> {
    const now = this.#timers.clock.epochMs() / 1_000;
    const found = await lstat(path).catch(() => undefined);
    // The same bytes again: they only become young.
    if (found?.isFile() === true) return lutimes(path, now, now);
    const folder = this.#folder(tenantId);
    const release = await this.#quota.take(folder, bytes.length);
    try {
      await writePlain(path, bytes, 'replace');
    } catch (fault) {
      release();
      throw fault;
    }
    return lutimes(path, now, now);
  }

  /** Of the older versions only the newest stay. */
  async #prune(tenantId: string, folder: string, head: string): Promise<void> {
    const versions = (await readdir(folder)).filter((name) => DIGEST.test(name) && name !== head);
    if (versions.length < VERSIONS_MAX) return;
    const aged = await Promise.all(
      versions.map(async (name) => ({ name, found: await stat(join(folder, name)).catch(() => undefined) })),
    );
    const oldest = aged.toSorted((one, other) => (other.found?.mtimeMs ?? 0) - (one.found?.mtimeMs ?? 0));
    await Promise.all(oldest.slice(VERSIONS_MAX - 1).map(({ name }) => rm(join(folder, name), { force: true })));
    this.#quota.forget(this.#folder(tenantId));
  }
}

const nameOf = (tenantId: string, key: string, sha256: string, size: number): BlobName => ({
  key,
  size,
  sha256,
  ref: blobRef(tenantId, `${digestOf(key)}.${sha256}`),
});

async function headOf(folder: string): Promise<string | undefined> {
  // It has two names for a moment while it is created; what it says is checked by what it names.
  const text = (await readPlain(join(folder, 'head'), 64, true))?.toString('latin1');
  return text !== undefined && DIGEST.test(text) ? text : undefined;
}

/** Bytes that are not what their name says are not there. */
async function readDigest(path: string, digest: string): Promise<Buffer | undefined> {
  const bytes = await readPlain(path, BLOB_BYTES_MAX);
  if (bytes === undefined || digestOf(bytes) === digest) return bytes;
  throw new BeamlineError('internal', 'a stored object is damaged');
}

function refuseLarge(bytes: Uint8Array): void {
  if (bytes.length > BLOB_BYTES_MAX) throw new BeamlineError('payload_too_large', 'the object is too large');
}

const taken = (): BeamlineError => new BeamlineError('conflict', 'the key has other content');
