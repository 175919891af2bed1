// The policy that a simulation asks: a given document, a stored revision, or what decides now.
import { BeamlineError } from '../core/errors.ts';
import { NO_EXTENSIONS } from '../policy/extension-relations.ts';
import type { Parsed } from '../policy/parse.ts';
import type { Policy } from '../policy/policy.ts';
import { absent, type PolicyAdmin, recordOf } from './admin-policy-reads.ts';

/** Revision of a document that is not stored. */
export const NO_REVISION = 0;

export interface Named {
  readonly tenantId: string;
  readonly policyId: string;
  /** A document instead of the stored one; else the stored `revision`, else the current one. */
  readonly document?: unknown;
  readonly revision?: number | undefined;
}

/** Throws `policy_not_found`, and `validation_failed` with all findings. */
export async function candidateOf(
  policies: PolicyAdmin,
  { tenantId, policyId, document, revision }: Named,
): Promise<Policy> {
  const key = { tenantId, policyId, revision: NO_REVISION };
  if (document !== undefined) return compiled(policies.check(document, key));
  if (revision === undefined) return policies.find(tenantId, policyId);
  const stored = { ...key, revision };
  const record = await recordOf(policies, stored);
  if (record === undefined || record.deleted) throw absent();
  // It decides as it stands, whatever was registered since.
  return compiled(policies.check(record.policy, stored, NO_EXTENSIONS));
}

function compiled(parsed: Parsed): Policy {
  if (parsed.kind === 'valid') return parsed.policy;
  const { errors, warnings } = parsed;
  throw new BeamlineError('validation_failed', 'the policy has errors', { details: { errors, warnings } });
}
