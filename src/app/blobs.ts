// Where objects go that are too large for messages: a bucket of the bus, which every process reads, and, where there is
// one, a folder of this machine for objects with keys.
import { type BucketBlobs, openBucketBlobs } from '../bus/bucket-blobs.ts';
import type { Bus } from '../bus/bus.ts';
import type { Config } from '../config/schema.ts';
import { openBlobFiles } from '../store/blob-files.ts';
import type { BlobStore, PassingBlobs } from '../store/blobs.ts';
import { dataFolder } from './data-dir.ts';
import type { Ground } from './ground.ts';

/** What the bucket may weigh where it stands in the memory of this process. */
const MEMORY_BYTES_MAX = 268_435_456;

export function openBusBlobs({ config, timers: { clock } }: Ground, bus: Bus): Promise<BucketBlobs> {
  const { blob_bytes: quotaBytes } = config.worker.quota;
  const bound = config.nats.url === undefined ? { bytesMax: MEMORY_BYTES_MAX } : {};
  return openBucketBlobs(bus, { clock, quotaBytes, ...bound });
}

export interface BlockBlobs extends AsyncDisposable {
  /** Finds what any worker kept, and what stands in the folder here. */
  readonly passing: PassingBlobs;
  /** Undefined without a folder. */
  readonly named: BlobStore | undefined;
}

/** Throws what the system says of the folder. */
export async function openBlockBlobs({ config, timers }: Ground, shared: BucketBlobs): Promise<BlockBlobs> {
  const dir = blobFolder(config);
  if (dir === undefined) return { passing: shared, named: undefined, [Symbol.asyncDispose]: async () => undefined };
  const files = await openBlobFiles({ dir, quotaBytes: config.worker.quota.blob_bytes, timers });
  const read = async (tenantId: string, ref: string): Promise<Buffer | undefined> =>
    (await files.read(tenantId, ref)) ?? shared.read(tenantId, ref);
  // Without other machines the folder spares the memory.
  const kept: PassingBlobs = config.nats.url === undefined ? files : shared;
  const dispose = (): PromiseLike<void> => files[Symbol.asyncDispose]();
  return {
    passing: { keep: (tenantId, bytes) => kept.keep(tenantId, bytes), read },
    named: {
      keep: (tenantId, bytes) => files.keep(tenantId, bytes),
      put: (tenantId, key, bytes, options) => files.put(tenantId, key, bytes, options),
      get: (tenantId, key, version) => files.get(tenantId, key, version),
      read,
      [Symbol.asyncDispose]: dispose,
    },
    [Symbol.asyncDispose]: dispose,
  };
}

const blobFolder = (config: Config): string | undefined =>
  config.worker.blobs.url?.slice('file:'.length) ?? dataFolder(config, 'blobs');
