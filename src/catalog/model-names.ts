// What the name in `model` means for a tenant: a policy, and the providers that may serve it (gateway 12).
// The order of the rows is the order of the checks; a request costs map look-ups only.

/** A resolved name. */
export interface ModelTarget {
  readonly policyId: string;
  /** The model to ask for; undefined leaves it to the policy. */
  readonly model: string | undefined;
  /** Undefined allows every provider of the policy. */
  readonly providersAllow: readonly string[] | undefined;
}

export interface ListedModel {
  readonly name: string;
  /** A provider id, or `beamline` for what is not a provider's model. */
  readonly ownedBy: string;
}

export interface ModelNames {
  /** Undefined: no such model. Whether a policy that is named outright exists is the router's to say. */
  readonly resolve: (tenantId: string, model: string, policyHeader?: string) => ModelTarget | undefined;
  /** Names that resolve, without repeats. */
  readonly list: (tenantId: string) => readonly ListedModel[];
}

export interface ModelSources {
  /** A provider without models serves any name; a bare name that nobody lists goes to the first such provider. */
  readonly providers: readonly { readonly id: string; readonly models: Readonly<Record<string, unknown>> }[];
  readonly tenants: readonly { readonly id: string; readonly aliases?: Readonly<Record<string, string>> }[];
  /** Ids of the tenant's stored policies now, beside the built-in ones. */
  readonly policiesOf?: (tenantId: string) => ReadonlySet<string>;
}

const POLICY = 'policy:';
const POLICY_ID = /^[A-Za-z0-9_.-]{1,128}$/;
const BUILT_IN: ReadonlySet<string> = new Set(['default', 'direct']);
const NONE: ReadonlySet<string> = new Set();
const OURS = 'beamline';

export function openModelNames({ providers, tenants, policiesOf = () => NONE }: ModelSources): ModelNames {
  const aliases = new Map(tenants.map(({ id, aliases: own = {} }) => [id, new Map(Object.entries(own))]));
  const served = servedModels(providers);
  const direct = new Map(providers.map((provider) => [provider.id, directTargets(provider)]));
  const open = providers.find(isOpen)?.id;

  function resolveTarget(tenantId: string, name: string): ModelTarget | undefined {
    if (name.startsWith(POLICY)) return policyTarget(name.slice(POLICY.length), undefined);
    if (BUILT_IN.has(name) || policiesOf(tenantId).has(name)) return policyTarget(name, undefined);
    const slash = name.indexOf('/');
    const pinned = slash < 0 ? undefined : direct.get(name.slice(0, slash))?.(name.slice(slash + 1));
    if (pinned !== undefined) return pinned;
    const target = served.get(name);
    if (target !== undefined || open === undefined || name === '') return target;
    return { policyId: 'default', model: name, providersAllow: [open] };
  }

  return {
    resolve(tenantId, model, policyHeader) {
      if (policyHeader !== undefined) return policyTarget(policyHeader, model);
      return resolveTarget(tenantId, model.startsWith(POLICY) ? model : (aliases.get(tenantId)?.get(model) ?? model));
    },
    list(tenantId) {
      const names = new Map<string, string>();
      for (const [alias, target] of aliases.get(tenantId) ?? []) {
        if (resolveTarget(tenantId, target) !== undefined) names.set(alias, OURS);
      }
      for (const id of [...BUILT_IN, ...policiesOf(tenantId)]) names.set(id, OURS);
      for (const [name, { providersAllow }] of served) {
        if (!names.has(name)) names.set(name, providersAllow?.[0] ?? OURS);
      }
      return Array.from(names, ([name, ownedBy]) => ({ name, ownedBy }));
    },
  };
}

type NamedProvider = ModelSources['providers'][number];

const isOpen = ({ models }: NamedProvider): boolean => Object.keys(models).length === 0;

const policyTarget = (policyId: string, model: string | undefined): ModelTarget | undefined =>
  POLICY_ID.test(policyId) ? { policyId, model, providersAllow: undefined } : undefined;

/** Row 6: the listed names, each with all providers that serve it. */
function servedModels(providers: readonly NamedProvider[]): ReadonlyMap<string, ModelTarget> {
  const allow = new Map<string, string[]>();
  for (const { id, models } of providers) {
    for (const name of Object.keys(models)) allow.set(name, [...(allow.get(name) ?? []), id]);
  }
  return new Map(
    Array.from(allow, ([model, providersAllow]) => [model, { policyId: 'default', model, providersAllow }]),
  );
}

/** Row 5: what follows `<provider>/`. */
function directTargets(provider: NamedProvider): (model: string) => ModelTarget | undefined {
  const pinned = (model: string): ModelTarget => ({ policyId: 'direct', model, providersAllow: [provider.id] });
  if (isOpen(provider)) return (model) => (model === '' ? undefined : pinned(model));
  const targets = new Map(Object.keys(provider.models).map((model) => [model, pinned(model)]));
  return (model) => targets.get(model);
}
