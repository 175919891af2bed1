// A canary that its own limits stopped, for every router (contracts 2.3): it holds for one revision of its policy.
import { Type } from 'typebox';
import { type KeyPattern, keyOf, keyPattern } from './bucket.ts';
import { payload } from './contract.ts';
import { Count, Id } from './fields.ts';

const KIND = 'canary';
export const canaryAbortKey = (tenantId: string, policyId: string): string => keyOf(KIND, tenantId, policyId);
export const canaryAbortKeys: KeyPattern = keyPattern(KIND, undefined, undefined);

const CanaryAbort = Type.Object({
  version: Type.Literal('2'),
  tenant_id: Id,
  policy_id: Id,
  policy_revision: Count,
  // What was stopped: revisions of a folder without a history start anew with each process.
  to: Id,
  share: Type.Number({ minimum: 0, maximum: 100 }),
  aborted_at_ms: Count,
});
export type CanaryAbort = Type.Static<typeof CanaryAbort>;

export const canaryAbort = payload('beamline.control.CanaryAbort', '2', CanaryAbort);
