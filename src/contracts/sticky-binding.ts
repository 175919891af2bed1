// With which provider a session stays, told to every router (contracts 2.3). Losing it is harmless: the first choice of a
// session is drawn from its name, so routers mostly agree without it.
import { Type } from 'typebox';
import { type BucketSpec, keyOf } from './bucket.ts';
import { payload } from './contract.ts';
import { Count, Id } from './fields.ts';

/** A session that goes on is written again; one that rests for so long is drawn anew by other routers. */
const SHARED_MS = 3_600_000;

/** Some thirty thousand sessions of the last hour; those above are not shared. */
export const stickyBucket: BucketSpec = { name: 'sticky', ttlMs: SHARED_MS, bytesMax: 8_388_608 };
/** `digest` stands for policy and session, which may hold what callers wrote. */
export const stickyBucketKey = (tenantId: string, digest: string): string => keyOf(tenantId, digest);

const StickyBinding = Type.Object({
  version: Type.Literal('2'),
  tenant_id: Id,
  provider_id: Id,
  // The newer one of two bindings holds.
  bound_at_ms: Count,
  expires_at_ms: Count,
});
export type StickyBinding = Type.Static<typeof StickyBinding>;

export const stickyBinding = payload('beamline.router.StickyBinding', '2', StickyBinding);
