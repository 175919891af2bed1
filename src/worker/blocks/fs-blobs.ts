// The blocks `fs.blob_put` and `fs.blob_get`: objects of the tenant, by key (worker 11, 12).
import { isUtf8 } from 'node:buffer';
import { Type } from 'typebox';
import { payload } from '../../contracts/contract.ts';
import { INLINE_BYTES_MAX } from '../../contracts/limits.ts';
import type { BlobStore } from '../../store/blobs.ts';
import { storing } from './blob-failure.ts';
import { type Block, BlockFailure } from './block.ts';
import { fitsInline } from './inline.ts';

const Key = Type.String({ minLength: 1, maxLength: 512 });
const Digest = Type.String({ pattern: '^[0-9a-f]{64}$' });

const PutInput = Type.Object({
  key: Key,
  content: Type.Optional(Type.String({ description: 'Text, kept as UTF-8.' })),
  bytes: Type.Optional(Type.String({ description: 'Base64.' })),
  ref: Type.Optional(Type.String({ maxLength: 1_024, description: 'Another blob of the tenant, which is copied.' })),
  overwrite: Type.Optional(Type.Boolean()),
});
type PutInput = Type.Static<typeof PutInput>;
const PutOutput = Type.Object({ key: Key, size: Type.Integer(), sha256: Digest, version: Digest, ref: Type.String() });
type PutOutput = Type.Static<typeof PutOutput>;

const GetInput = Type.Object({ key: Key, version: Type.Optional(Digest) });
type GetInput = Type.Static<typeof GetInput>;
const GetOutput = Type.Object({
  key: Key,
  size: Type.Integer(),
  sha256: Digest,
  version: Digest,
  ref: Type.String(),
  content: Type.Optional(Type.String()),
  bytes: Type.Optional(Type.String()),
});
type GetOutput = Type.Static<typeof GetOutput>;

export const blobPut = (blobs: BlobStore): Block<PutInput, PutOutput> => ({
  type: 'fs.blob_put',
  version: '1',
  class: 'io',
  scopes: ['fs:write'],
  effect: () => 'idempotent',
  input: payload('beamline.block.fs_blob_put.Input', '1', PutInput),
  output: payload('beamline.block.fs_blob_put.Output', '1', PutOutput),
  async execute(input, { tenantId, signal }) {
    const bytes = await bytesOf(blobs, tenantId, input);
    signal.throwIfAborted();
    const { key, size, sha256, ref } = await storing(
      blobs.put(tenantId, input.key, bytes, { overwrite: input.overwrite === true }),
    );
    return { output: { key, size, sha256, version: sha256, ref }, usage: { bytes_in: size } };
  },
});

export const blobGet = (blobs: BlobStore): Block<GetInput, GetOutput> => ({
  type: 'fs.blob_get',
  version: '1',
  class: 'io',
  scopes: ['fs:read'],
  effect: () => 'none',
  input: payload('beamline.block.fs_blob_get.Input', '1', GetInput),
  output: payload('beamline.block.fs_blob_get.Output', '1', GetOutput),
  async execute(input, { tenantId }) {
    const found = await storing(blobs.get(tenantId, input.key, input.version));
    if (found === undefined)
      throw new BlockFailure('EXECUTION_FAILED', 'there is no such object', { detailCode: 'not_found' });
    const { key, size, sha256, ref, bytes } = found;
    const output = { key, size, sha256, version: sha256, ref, ...inlineOf(bytes) };
    return { output, usage: { bytes_out: size } };
  },
});

async function bytesOf(blobs: BlobStore, tenantId: string, { content, bytes, ref }: PutInput): Promise<Uint8Array> {
  if ([content, bytes, ref].filter((one) => one !== undefined).length !== 1) {
    throw new BlockFailure('INVALID_INPUT', 'exactly one of content, bytes and ref is needed');
  }
  if (content !== undefined) return new TextEncoder().encode(content);
  if (bytes !== undefined) {
    const read = Buffer.from(bytes, 'base64');
    if (read.toString('base64') === bytes) return read;
    throw new BlockFailure('INVALID_INPUT', 'bytes is not base64', { detailCode: 'base64' });
  }
  const found = await storing(blobs.read(tenantId, ref ?? ''));
  if (found !== undefined) return found;
  throw new BlockFailure('INVALID_INPUT', 'the reference names nothing', { detailCode: 'not_found' });
}

/** Text where the bytes are text; of a large object there is the reference alone. */
function inlineOf(bytes: Buffer): { content: string } | { bytes: string } | undefined {
  if (bytes.length > INLINE_BYTES_MAX) return undefined;
  const inline = isUtf8(bytes) ? { content: bytes.toString('utf8') } : { bytes: bytes.toString('base64') };
  return fitsInline(inline) ? inline : undefined;
}
