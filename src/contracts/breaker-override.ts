// What an administrator made of a breaker, for every router (contracts 2.3); an entry with `auto` holds nothing.
import { Type } from 'typebox';
import { type KeyPattern, keyOf, keyPattern } from './bucket.ts';
import { payload } from './contract.ts';
import { Count, Id } from './fields.ts';

const KIND = 'breaker';
export const breakerOverrideKey = (tenantId: string, providerId: string): string => keyOf(KIND, tenantId, providerId);
export const breakerOverrideKeys: KeyPattern = keyPattern(KIND, undefined, undefined);

const BreakerOverride = Type.Object({
  version: Type.Literal('2'),
  tenant_id: Id,
  provider_id: Id,
  mode: Type.Enum(['auto', 'force_open', 'force_closed']),
  // Whether what was counted is forgotten; only with `auto`.
  reset: Type.Boolean(),
  set_at_ms: Count,
});
export type BreakerOverride = Type.Static<typeof BreakerOverride>;

export const breakerOverride = payload('beamline.control.BreakerOverride', '2', BreakerOverride);
