// The wiring of policies: one source as configured, a replica that decisions read, a snapshot where there is a folder
// for data, and the store that writes. A process opens them once, whatever roles it runs.
import { join } from 'node:path';
import type { Bus } from '../bus/bus.ts';
import { openPriceBook, type PriceBook, priceLines } from '../catalog/price-book.ts';
import { policySourceOf } from '../config/policy-source.ts';
import type { Config } from '../config/schema.ts';
import { BeamlineError } from '../core/errors.ts';
import { builtInPolicy, type ParsePolicy, parsePolicy } from '../policy/parse.ts';
import { descriptorOf } from '../router/extension-document.ts';
import { ExtensionRegistry } from '../router/extension-registry.ts';
import { openPolicyKv } from '../router/policy-kv.ts';
import { PolicyReplica } from '../router/policy-replica.ts';
import { PolicySnapshot } from '../router/policy-snapshot.ts';
import type { PolicySource } from '../router/policy-source.ts';
import { PolicyStore } from '../router/policy-store.ts';
import { readIfThere, writeWhole } from './atomic-file.ts';
import type { Ground } from './ground.ts';
import type { ParseDocument } from './policy-file-faults.ts';
import { openPolicyFiles } from './policy-files.ts';
import { openHeirSource } from './policy-heir.ts';
import { openPolicyHistory } from './policy-history.ts';

export interface OpenedPolicies extends AsyncDisposable {
  readonly kind: PolicySource['kind'];
  readonly replica: PolicyReplica;
  readonly store: PolicyStore;
  /** The parser that replica and store use. */
  readonly parse: ParsePolicy;
  /** The extensions that documents are held against. */
  readonly registry: ExtensionRegistry;
  /** Warns of models without a price by this book from now on; until then by the prices of the configuration. */
  readonly pricedBy: (book: PriceBook) => void;
}

/**
 * `dataDir` belongs to one process: who only reads has none. Throws `validation_failed` for a folder that cannot be read
 * while there is no snapshot. A document with faults is left out, and a bus or a server that is away is found later.
 */
export async function openPolicies(
  ground: Ground,
  bus: Bus,
  of: { readonly tenants: Iterable<string>; readonly dataDir: string | undefined },
): Promise<OpenedPolicies> {
  const { config, timers, telemetry } = ground;
  let prices = openPriceBook(priceLines(config.providers.list));
  await using opening = new AsyncDisposableStack();
  const registry = opening.use(await openRegistry(ground, bus));
  const parse = parserOf(config, registry, () => prices);
  const kind = policySourceOf(config);
  const builtIns = builtInsOf(config);
  const replica = new PolicyReplica({
    source: kind,
    tenants: new Set(of.tenants),
    builtIns,
    parse,
    clock: timers.clock,
    telemetry,
  });
  const snapshot =
    of.dataDir === undefined
      ? undefined
      : opening.use(
          new PolicySnapshot({ replica, source: kind, timers, log: telemetry.log, file: fileIn(of.dataDir) }),
        );
  const source = opening.use(await openSource(ground, bus, { dataDir: of.dataDir, parse, replica }));
  registry.whenChanged((id) => {
    source.judgeAgain?.();
    (snapshot ?? replica).extensionChanged(id);
  });
  await source.watch(snapshot ?? replica);
  if (!replica.isReady) await snapshot?.restore();
  if (!replica.isReady && kind === 'files') {
    throw new BeamlineError('validation_failed', `policy.dir ${config.policy.dir} cannot be read`, {
      details: { reason: 'configuration' },
    });
  }
  const opened = opening.move();
  return {
    kind,
    replica,
    parse,
    registry,
    store: new PolicyStore({ source, replica, parse, policiesMax: policiesMaxOf(config) }),
    pricedBy: (book) => (prices = book),
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

/** Tenants of the keys and of `gateway.tenants`. */
export const tenantsOf = ({ gateway }: Config): readonly string[] => [
  ...new Set([...gateway.auth.keys.flatMap(({ tenants }) => tenants), ...gateway.tenants.map(({ id }) => id)]),
];

interface SourceNeeds {
  readonly dataDir: string | undefined;
  readonly parse: ParseDocument;
  readonly replica: PolicyReplica;
}

async function openSource(ground: Ground, bus: Bus, { dataDir, parse, replica }: SourceNeeds): Promise<PolicySource> {
  const { config, timers, telemetry } = ground;
  const { dir } = config.policy;
  switch (policySourceOf(config)) {
    case 'files':
      if (dir === undefined) return builtInsOnly;
      return openPolicyFiles({
        dir,
        history: openPolicyHistory(dataDir),
        parse,
        timers,
        log: telemetry.log.for('policies'),
        refuse: (tenantId, policyId, lines) => replica.refuse(tenantId, policyId, lines),
        mended: (tenantId, policyId) => replica.mended(tenantId, policyId),
      });
    case 'kv':
      return openPolicyKv({ bus, timers, telemetry });
    case 'heir':
      return openHeirSource(config, ground);
  }
}

/** Without a folder there is nothing to read, and nowhere to write. */
const builtInsOnly: PolicySource = {
  kind: 'files',
  watch: async (listener) => listener.all([]),
  put: () => Promise.reject(notBuilt('a policy store without policy.dir')),
  delete: () => Promise.reject(notBuilt('a policy store without policy.dir')),
  history: () => Promise.reject(notBuilt('a policy store without policy.dir')),
  [Symbol.asyncDispose]: async () => undefined,
};

const notBuilt = (what: string): BeamlineError => new BeamlineError('not_implemented', `there is no ${what} here`);

function parserOf({ providers }: Config, registry: ExtensionRegistry, prices: () => PriceBook): ParsePolicy {
  const knownProviders = new Set(providers.list.map(({ id }) => id));
  const isPriced = (provider: string, model: string): boolean => prices().lineOf(provider, model) !== undefined;
  // Who has no prices at all does not count money.
  const hasPrices = priceLines(providers.list).length > 0;
  const around = { knownProviders, isPriced: hasPrices ? isPriced : undefined };
  return (document, key, knownExtensions = registry) => parsePolicy(document, { ...key, ...around, knownExtensions });
}

function openRegistry({ config, timers, telemetry }: Ground, bus: Bus): Promise<ExtensionRegistry> {
  const configured = new Map(config.extensions.map((extension) => [extension.id, descriptorOf(extension)]));
  return ExtensionRegistry.open({ bus, timers, log: telemetry.log.for('policies'), configured });
}

const policiesMaxOf = ({ gateway }: Config): ReadonlyMap<string, number> =>
  new Map(gateway.tenants.flatMap(({ id, policies_max: most }) => (most === undefined ? [] : [[id, most] as const])));

function builtInsOf({ providers }: Config) {
  const served = providers.list.map(({ id, pool, models }) => ({
    name: id,
    pool,
    ...(Object.keys(models).length === 0 ? {} : { models: Object.keys(models) }),
  }));
  return [builtInPolicy('default', served), builtInPolicy('direct', served)];
}

function fileIn(dataDir: string) {
  const path = join(dataDir, 'policies.snapshot.json');
  return { read: () => readIfThere(path), write: (text: string) => writeWhole(path, text) };
}
