// What a process tells of itself while it runs, in a bucket that forgets it when it falls silent (contracts 2.3).
import { Type } from 'typebox';
import { type BucketSpec, keyOf } from './bucket.ts';
import { payload } from './contract.ts';
import { Count, Id } from './fields.ts';

/** Three beats of `WORKER_BEAT`. */
const FORGOTTEN_MS = 15_000;

export const presenceBucket: BucketSpec = { name: 'presence', ttlMs: FORGOTTEN_MS, bytesMax: 16_777_216 };
export const presenceKey = (module: string, processId: string): string => keyOf(module, processId);

const Presence = Type.Object({
  version: Type.Literal('2'),
  module: Id,
  process_id: Id,
  // Version of the product, `major.minor.patch`.
  product_version: Id,
  started_at_ms: Count,
});
export type Presence = Type.Static<typeof Presence>;

export const presence = payload('beamline.process.Presence', '2', Presence);
