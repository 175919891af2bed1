// Which of its versions and instances an extension is asked at (policy 10.1). Pure, but for the health that it is told.
// The subject follows from ids alone: letters, digits and `_`, so `-` keeps the parts apart.
import { unit } from '../core/hash.ts';
import type { ExtensionStatus } from '../bus/extension-health.ts';
import type { Scope } from '../policy/condition.ts';

export interface ExtensionVersion {
  readonly version: string;
  readonly enabled: boolean;
  readonly holds: (scope: Scope) => boolean;
  /** What `holds` was made of, to be told. */
  readonly when?: string;
}

export interface ExtensionInstance {
  readonly id: string;
  /** Relative, 0 to 100; 0 is never drawn while another one is there. */
  readonly weight: number;
  readonly enabled: boolean;
}

export interface Endpoint {
  /** The id in the subject. */
  readonly id: string;
  readonly version: string | undefined;
}

interface Choosable {
  readonly id: string;
  readonly versions?: readonly ExtensionVersion[];
  readonly instances?: readonly ExtensionInstance[];
}

/** `pii_guard`, `pii_guard-v2`, `pii_guard-v2-i_gpu`: what a server of a version or of an instance listens under. */
export const endpointId = (id: string, version: string | undefined, instance: string | undefined): string =>
  `${id}${version === undefined ? '' : `-v${version}`}${instance === undefined ? '' : `-i${instance}`}`;

/**
 * The first enabled version whose condition holds, else the extension itself; of its instances one by weight among the
 * healthy ones, or among all if none is. Equal seeds choose equally while the health is the same.
 */
export function endpointOf(
  { id, versions = [], instances = [] }: Choosable,
  of: { readonly scope: Scope; readonly seed: string; readonly statusOf: (endpoint: string) => ExtensionStatus },
): Endpoint {
  const version = versions.find(({ enabled, holds }) => enabled && holds(of.scope))?.version;
  const enabled = instances.filter((instance) => instance.enabled && instance.weight > 0);
  const isHealthy = (instance: ExtensionInstance): boolean =>
    of.statusOf(endpointId(id, version, instance.id)) !== 'unhealthy';
  const healthy = enabled.filter(isHealthy);
  const candidates = healthy.length > 0 ? healthy : enabled;
  let rest = unit(`${of.seed}|ext|${id}`) * candidates.reduce((sum, { weight }) => sum + weight, 0);
  const drawn = candidates.find(({ weight }) => (rest -= weight) < 0) ?? candidates.at(-1);
  return { id: endpointId(id, version, drawn?.id), version };
}
