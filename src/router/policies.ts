// The policies of every tenant in memory: a look-up never leaves it. There is no fallback to other tenants or policies.
import { BeamlineError } from '../core/errors.ts';
import type { Policy } from '../policy/policy.ts';

export interface Policies {
  /** Throws `forbidden` for a tenant that is not ours and `policy_not_found` for a policy that it does not have. */
  find(tenantId: string, policyId: string): Policy;
  /** Whether decisions carry `policy_stale`: their source has been away for long. `nowMs` is monotonic. */
  isStale(nowMs: number): boolean;
}

/** Policies that never change. `stored` win over `builtIns`, which every known tenant has. */
export function openPolicies(of: {
  readonly tenants: ReadonlySet<string>;
  readonly stored: readonly Policy[];
  readonly builtIns: readonly Policy[];
}): Policies {
  const builtIns = new Map(of.builtIns.map((policy) => [policy.policyId, policy]));
  const stored = new Map<string, Map<string, Policy>>();
  for (const policy of of.stored) {
    const ofTenant = stored.get(policy.tenantId) ?? new Map<string, Policy>();
    stored.set(policy.tenantId, ofTenant.set(policy.policyId, policy));
  }
  return {
    find(tenantId, policyId) {
      if (!of.tenants.has(tenantId)) {
        throw new BeamlineError('forbidden', 'the tenant is not served here', {
          details: { intake: 'TENANT_FORBIDDEN' },
        });
      }
      const policy = stored.get(tenantId)?.get(policyId) ?? builtIns.get(policyId);
      if (policy === undefined) throw new BeamlineError('policy_not_found', 'the tenant has no such policy');
      return policy;
    },
    isStale: () => false,
  };
}
