// The registry of extensions for administrators, how they do, and their breakers (policy 10.1, 10.3).
import { type EndpointHealth, isEndpointOf } from '../bus/extension-health.ts';
import type { ExtensionResets } from '../bus/extension-resets.ts';
import type { ExtensionHealthStatus } from '../contracts/admin-operations.ts';
import { BeamlineError } from '../core/errors.ts';
import type { PolicyAdmin } from './admin-policy-reads.ts';
import type { AdminPrincipal, Operations } from './admin-principal.ts';
import { readExtension } from './extension-document.ts';
import type { ExtensionRegistry } from './extension-registry.ts';

/** Extensions, as administration needs them. */
export interface ExtensionAdmin {
  /** How those do that this router asked. */
  readonly health: () => readonly EndpointHealth[];
  /** What they add to a request, as this router measured it; undefined: not known. */
  readonly p95Ms: (extensionId: string) => number | undefined;
  readonly registry: Pick<ExtensionRegistry, 'list' | 'find' | 'put' | 'remove'>;
  /** On every router. */
  readonly resets: Pick<ExtensionResets, 'reset' | 'forget'>;
}

const LIMIT = 50;
const NAMES_MAX = 3;

type ExtensionOperation =
  | 'get_extension_health'
  | 'list_extensions'
  | 'get_extension'
  | 'put_extension'
  | 'delete_extension'
  | 'reset_extension_breaker';

export const extensionOperations = (
  { health, registry, resets }: ExtensionAdmin,
  policies: Pick<PolicyAdmin, 'naming'>,
): Operations<ExtensionOperation> => ({
  get_extension_health: () => ({ health: health().map(statusOf) }),
  async list_extensions({ cursor = '', limit = LIMIT }) {
    const after = (await registry.list()).filter(({ extension }) => extension.id > cursor);
    const items = after.slice(0, limit);
    const last = items.at(-1);
    return last === undefined || after.length <= limit ? { items } : { items, next_cursor: last.extension.id };
  },
  get_extension: ({ extension_id }) => registry.find(extension_id),
  async put_extension({ extension_id, extension, expected_revision }, by) {
    const document = readExtension(extension_id, extension);
    return registry.put({ document, expectedRevision: expected_revision, by: by.id });
  },
  async delete_extension({ extension_id, expected_revision }, by) {
    const { extension } = await registry.find(extension_id);
    const naming = policies.naming(extension);
    if (naming.length > 0) throw new BeamlineError('conflict', `policies name the extension: ${named(naming, by)}`);
    await registry.remove(extension_id, expected_revision);
    await resets.forget(extension_id);
    return {};
  },
  async reset_extension_breaker({ extension_id }) {
    const { extension } = await registry.find(extension_id);
    if (extension.type === 'provider') {
      throw new BeamlineError('conflict', 'a provider has a breaker for each tenant, and is reset as a provider');
    }
    // Post-processors are asked by workers, which hear it too; their health is not known here.
    await resets.reset(extension_id);
    const own = health().filter(({ endpoint }) => isEndpointOf(endpoint, extension_id));
    return { health: own.map(statusOf) };
  },
});

/** Some by name, others by number: of those that the caller may not see nothing else is told. */
function named(naming: ReturnType<PolicyAdmin['naming']>, by: AdminPrincipal): string {
  const names = naming
    .filter(({ tenant_id, policy_id }) => by.tenants.includes(tenant_id) && (by.policies?.has(policy_id) ?? true))
    .slice(0, NAMES_MAX)
    .map(({ tenant_id, policy_id }) => `${tenant_id}/${policy_id}`);
  const others = naming.length - names.length;
  return [...names, ...(others > 0 ? [`${others} more`] : [])].join(', ');
}

const statusOf = ({ endpoint, status, successRate, calls, breaker }: EndpointHealth): ExtensionHealthStatus => ({
  endpoint,
  status,
  success_rate: successRate,
  calls,
  breaker,
});
