// Whether a credential may administer: the roles of keys, for the router, which knows neither.
import type { Authenticator } from '../auth/principal.ts';
import { requirePermission } from '../auth/roles.ts';
import { BeamlineError } from '../core/errors.ts';
import type { Authorize } from '../router/admin-principal.ts';

/** Denies what the key's tenants and role do not grant. */
export const authorizeBy =
  (authenticator: Authenticator): Authorize =>
  (authorization, scope, tenantId) => {
    const principal = authenticator.authenticate(authorization, undefined, undefined);
    const { keyId: id, tenants, policies } = principal;
    if (tenantId !== undefined && !tenants.includes(tenantId)) {
      throw new BeamlineError('forbidden', 'the key does not serve this tenant');
    }
    requirePermission(principal, scope);
    return policies === undefined ? { id, tenants } : { id, tenants, policies };
  };
