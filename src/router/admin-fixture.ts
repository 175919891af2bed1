// The policies and extensions of a router in memory, for tests of administration.
import type { Bus } from '../bus/bus.ts';
import type { EndpointHealth } from '../bus/extension-health.ts';
import type { Clock } from '../core/clock.ts';
import type { KnownExtensions } from '../policy/extension-relations.ts';
import { builtInPolicy, parsePolicy } from '../policy/parse.ts';
import type { Timers } from '../core/timers.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import type { ExtensionAdmin } from './admin-extensions.ts';
import type { PolicyAdmin } from './admin-policy-reads.ts';
import { ExtensionRegistry } from './extension-registry.ts';
import { ExtensionResets } from '../bus/extension-resets.ts';
import type { Descriptor } from './extensions.ts';
import { noSuchPolicy, recordAfter, tombstoneAfter } from './policy-record.ts';
import { PolicyReplica } from './policy-replica.ts';
import type { PolicyListener, PolicyRecord, PolicySource, PolicyWrite } from './policy-source.ts';
import { PolicyStore } from './policy-store.ts';

interface ExtensionsOf {
  readonly bus: Bus;
  readonly timers: Timers;
  readonly telemetry: Telemetry;
  readonly health?: readonly EndpointHealth[];
  readonly p95Ms?: ExtensionAdmin['p95Ms'];
  readonly configured?: ReadonlyMap<string, Descriptor>;
  readonly reset?: (extensionId: string) => void;
}

export async function memoryExtensions(of: ExtensionsOf): Promise<ExtensionAdmin> {
  const { bus, timers, telemetry, health = [], configured = new Map<string, Descriptor>(), reset = () => {} } = of;
  const { p95Ms = () => undefined } = of;
  const { log } = telemetry;
  return {
    health: () => health,
    p95Ms,
    registry: await ExtensionRegistry.open({ bus, timers, log, configured }),
    resets: await ExtensionResets.open({ bus, timers, log, reset }),
  };
}

const PROVIDERS = ['alder', 'birch', 'cedar'];

/** `registry`: what documents are held against. */
export async function memoryPolicies(
  tenants: readonly string[],
  clock: Clock,
  telemetry: Telemetry,
  registry?: KnownExtensions,
) {
  const parse: PolicyAdmin['check'] = (document, key, knownExtensions = registry) =>
    parsePolicy(document, { ...key, knownProviders: new Set(PROVIDERS), knownExtensions });
  const builtIns = (['default', 'direct'] as const).map((policyId) =>
    builtInPolicy(
      policyId,
      PROVIDERS.map((name) => ({ name })),
    ),
  );
  const source = memorySource(clock);
  const replica = new PolicyReplica({
    source: source.kind,
    tenants: new Set(tenants),
    builtIns,
    parse,
    clock,
    telemetry,
  });
  await source.watch(replica);
  return { kind: source.kind, replica, store: new PolicyStore({ source, replica, parse }), parse };
}

function memorySource(clock: Clock): PolicySource {
  const kept = new Map<string, readonly PolicyRecord[]>();
  const listeners: PolicyListener[] = [];
  const nameOf = ({ tenantId, policyId }: Pick<PolicyWrite, 'tenantId' | 'policyId'>): string =>
    `${tenantId} ${policyId}`;
  const historyOf = (name: string): readonly PolicyRecord[] => kept.get(name) ?? [];
  function keep(name: string, record: PolicyRecord): PolicyRecord {
    kept.set(name, [record, ...historyOf(name)]);
    for (const listener of listeners) listener.changed(record);
    return record;
  }
  return {
    kind: 'kv',
    async watch(listener) {
      listeners.push(listener);
      listener.all([]);
    },
    async put(write, document) {
      const name = nameOf(write);
      return keep(name, recordAfter(historyOf(name)[0], write, document, clock.epochMs()));
    },
    async delete(write) {
      const name = nameOf(write);
      return keep(name, tombstoneAfter(historyOf(name)[0], write, clock.epochMs()));
    },
    async history(tenantId, policyId) {
      const history = historyOf(nameOf({ tenantId, policyId }));
      if (history.length === 0) throw noSuchPolicy();
      return history;
    },
    async [Symbol.asyncDispose]() {},
  };
}
