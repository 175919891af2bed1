// Binds a request to one tenant (gateway 4.2); a tenant is never invented.
import { BeamlineError } from '../core/errors.ts';
import type { Principal } from './principal.ts';

/**
 * The tenant that the request acts for. `header` is `x-tenant-id`.
 * Throws `tenant_required` when several are possible and none is named, `forbidden` when the named one is not theirs.
 */
export function selectTenant({ tenants }: Principal, header: string | undefined): string {
  if (header === undefined) {
    const [only, ...others] = tenants;
    if (only !== undefined && others.length === 0) return only;
    throw new BeamlineError('tenant_required', 'the key serves several tenants: name one in x-tenant-id');
  }
  if (!tenants.includes(header)) throw new BeamlineError('forbidden', 'the key does not serve this tenant');
  return header;
}
