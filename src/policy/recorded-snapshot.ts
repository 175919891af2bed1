// What a router knew at one decision, as values: the answers to every question that the policy's targets allow.
import { expectedCost } from './expectations.ts';
import type { Budget, Facts, Live, Snapshot } from './facts.ts';
import type { Policy, Target } from './policy.ts';
import type { RouterShare } from './router-share.ts';

/** Of one provider; what is absent was not known, or as it is with a provider that nobody knows. */
interface RecordedProvider {
  readonly name: string;
  readonly open?: true | undefined;
  readonly half_open?: true | undefined;
  readonly cooling?: true | undefined;
  readonly has_capacity?: false | undefined;
  readonly over_budget?: true | undefined;
  readonly in_flight?: number | undefined;
  readonly capacity?: number | undefined;
  readonly latency_ms?: number | undefined;
  readonly latency_samples?: number | undefined;
  readonly error_rate?: number | undefined;
  /** The model that `cost_micro_usd` is the price of, if not the requested one. */
  readonly model?: string | undefined;
  readonly cost_micro_usd?: number | undefined;
}

interface RecordedPool {
  readonly pool: string;
  readonly factor: number;
}

/** The number of the attempt stands in the record itself. */
export interface RecordedSnapshot {
  readonly failed?: readonly string[] | undefined;
  readonly failure_words?: readonly string[] | undefined;
  readonly error_class?: string | undefined;
  readonly current_provider?: string | undefined;
  readonly canary_aborted?: true | undefined;
  readonly sticky?: string | undefined;
  readonly budget?: Budget | undefined;
  /** Absent where the router was alone. */
  readonly routers?: RouterShare | undefined;
  /** Those that are not healthy. */
  readonly pools?: readonly RecordedPool[] | undefined;
  readonly providers: readonly RecordedProvider[];
}

/** Asks each question once, and copies the answers: a live state changes under those who keep it. */
export function recordedSnapshotOf(policy: Policy, facts: Facts, snapshot: Snapshot): RecordedSnapshot {
  const { failed, failureWords } = snapshot;
  const budget = snapshot.budget?.();
  const asked = targetsOf(policy);
  return {
    failed: failed.size === 0 ? undefined : [...failed],
    failure_words: failureWords.length === 0 ? undefined : failureWords,
    error_class: snapshot.errorClass,
    current_provider: snapshot.currentProvider,
    canary_aborted: snapshot.canaryAborted === true ? true : undefined,
    sticky: snapshot.sticky,
    budget: budget === undefined ? undefined : { ...budget },
    routers: unlessAlone(snapshot.routers),
    pools: snapshot.poolFactor === undefined ? undefined : poolsOf(asked, snapshot),
    providers: providersOf(asked, facts, snapshot),
  };
}

const targets = new WeakMap<Policy, readonly Target[]>();

/** Every target that a decision of the policy may ask about: the document's, then those that it only names. */
export function targetsOf(policy: Policy): readonly Target[] {
  const known = targets.get(policy);
  if (known !== undefined) return known;
  const all = new Map(policy.targets.map((target) => [target.name, target]));
  const named = [...policy.fallbacks, ...policy.escalations, ...(policy.canary === undefined ? [] : [policy.canary])];
  for (const { to } of named) if (!all.has(to.name)) all.set(to.name, to);
  const list = [...all.values()];
  targets.set(policy, list);
  return list;
}

function providersOf(asked: readonly Target[], facts: Facts, live: Live): readonly RecordedProvider[] {
  const providers: RecordedProvider[] = [];
  for (const target of asked) {
    const { name, model } = target;
    const latency = live.latency?.(name, facts.stream);
    const cost = expectedCost(target, facts, live);
    providers.push({
      name,
      open: live.isOpen?.(name) === true ? true : undefined,
      half_open: live.isHalfOpen?.(name) === true ? true : undefined,
      cooling: live.isCooling?.(name, 0) === true ? true : undefined,
      has_capacity: live.hasCapacity?.(target) === false ? false : undefined,
      over_budget: live.overBudget?.has(name) === true ? true : undefined,
      in_flight: unless(0, live.inFlight?.(name)),
      capacity: live.capacity?.(target),
      latency_ms: latency?.ms,
      latency_samples: latency?.samples,
      error_rate: unless(0, live.errorRate?.(name)),
      model: cost === undefined || model === facts.model ? undefined : model,
      cost_micro_usd: cost,
    });
  }
  return providers;
}

function poolsOf(asked: readonly Target[], live: Live): readonly RecordedPool[] | undefined {
  let pools: RecordedPool[] | undefined;
  for (const { pool } of asked) {
    const factor = live.poolFactor?.(pool) ?? 1;
    if (factor === 1 || pools?.some((known) => known.pool === pool) === true) continue;
    pools ??= [];
    pools.push({ pool, factor });
  }
  return pools;
}

const unlessAlone = (routers: RouterShare | undefined): RouterShare | undefined =>
  routers === undefined || routers.count === 1 ? undefined : { count: routers.count, rank: routers.rank };

const unless = (usual: number, value: number | undefined): number | undefined => (value === usual ? undefined : value);

/** Answers as the live state answered then; of other providers, pools and models it knows nothing. */
export function snapshotFrom(known: RecordedSnapshot, attempt: number, requestedModel: string | undefined): Snapshot {
  const byName = new Map<string, RecordedProvider>();
  for (const provider of known.providers) byName.set(provider.name, provider);
  return {
    attempt,
    failed: new Set(known.failed),
    failureWords: known.failure_words ?? [],
    errorClass: known.error_class,
    currentProvider: known.current_provider,
    canaryAborted: known.canary_aborted,
    sticky: known.sticky,
    overBudget: new Set(known.providers.flatMap(({ name, over_budget }) => (over_budget === true ? [name] : []))),
    isOpen: (provider) => byName.get(provider)?.open === true,
    isHalfOpen: (provider) => byName.get(provider)?.half_open === true,
    isCooling: (provider) => byName.get(provider)?.cooling === true,
    hasCapacity: ({ name }) => byName.get(name)?.has_capacity !== false,
    poolFactor: (pool) => (known.pools === undefined ? 1 : (known.pools.find((one) => one.pool === pool)?.factor ?? 1)),
    inFlight: (provider) => byName.get(provider)?.in_flight ?? 0,
    capacity: ({ name }) => byName.get(name)?.capacity,
    latency(provider) {
      const { latency_ms: ms, latency_samples: samples } = byName.get(provider) ?? {};
      return ms === undefined || samples === undefined ? undefined : { ms, samples };
    },
    errorRate: (provider) => byName.get(provider)?.error_rate ?? 0,
    costMicroUsd({ name }, model) {
      const provider = byName.get(name);
      return (provider?.model ?? requestedModel) === model ? provider?.cost_micro_usd : undefined;
    },
    routers: known.routers,
    budget: () => known.budget,
  };
}
