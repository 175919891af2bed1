// Looking at breakers, and forcing them (policy 8).
import type { BreakerStatus } from '../contracts/admin-operations.ts';
import { BeamlineError } from '../core/errors.ts';
import type { PolicyAdmin } from './admin-policy-reads.ts';
import type { AdminPrincipal, Operations } from './admin-principal.ts';
import type { BreakerOverrides } from './breaker-overrides.ts';
import type { BreakerView } from './breakers.ts';
import type { LiveState } from './live-state.ts';

/** Breakers, as administration needs them. */
export interface BreakerAdmin {
  readonly list: LiveState['breakers'];
  /** On every router. */
  readonly force: BreakerOverrides['force'];
}

export const breakerOperations = (
  breakers: BreakerAdmin,
  policies: PolicyAdmin,
): Operations<'get_breakers' | 'set_breaker'> => ({
  get_breakers: ({ tenant_id, provider_id }, by) => ({
    states: breakers
      .list()
      .map(statusOf)
      .filter((one) => isAskedFor(one, by, { tenant_id, provider_id })),
  }),
  async set_breaker({ tenant_id, provider_id, mode, reset = false }) {
    if (reset && mode !== 'auto') throw new BeamlineError('invalid_request', 'reset goes with the mode auto');
    // A name that no policy could choose would take room from those that one does.
    if (!isNamed(policies, tenant_id, provider_id)) {
      throw new BeamlineError('not_found', 'no policy of the tenant names this provider');
    }
    const forced = { tenantId: tenant_id, providerId: provider_id, mode, reset };
    return { state: statusOf(await breakers.force(forced)) };
  },
});

const BUILT_IN = ['default', 'direct'];

function isNamed(policies: PolicyAdmin, tenantId: string, providerId: string): boolean {
  const ids = [...BUILT_IN, ...policies.list(tenantId).map(({ policy_id }) => policy_id)];
  return ids.some((policyId) => {
    const { targets, fallbacks } = policies.find(tenantId, policyId);
    return targets.some(({ name }) => name === providerId) || fallbacks.some(({ to }) => to.name === providerId);
  });
}

/** Without a tenant those of all the caller's tenants are told, and of no other. */
const isAskedFor = (
  one: BreakerStatus,
  by: AdminPrincipal,
  asked: { readonly tenant_id: string | undefined; readonly provider_id: string | undefined },
): boolean =>
  by.tenants.includes(one.tenant_id) &&
  one.tenant_id === (asked.tenant_id ?? one.tenant_id) &&
  one.provider_id === (asked.provider_id ?? one.provider_id);

const statusOf = ({ tenantId, providerId, state, mode }: BreakerView): BreakerStatus => ({
  tenant_id: tenantId,
  provider_id: providerId,
  state,
  mode,
});
