// A snapshot that a person wrote: what the router would know at the moment of a decision, for tests of policies and for
// dry runs. What it does not say is unknown, and removes nothing.
import type { Budget, Snapshot } from './facts.ts';
import { pathTo } from './issue.ts';
import type { Shape } from './shape.ts';

const POOL_FACTORS = { healthy: 1, degraded: 0.7, overloaded: 0.3 } as const;
/** More than any policy asks for, so that a written latency always counts. */
const SAMPLES = 1_000;
const MAP_MAX = 1_000;

type ByName = Readonly<Record<string, number>>;

/** Providers are named; latencies are milliseconds, costs micro-USD, rates from 0 to 1. */
export interface SnapshotDocument {
  readonly attempt?: number;
  /** Providers with an open breaker. */
  readonly open?: readonly string[];
  /** Providers whose breaker admits a few attempts to try them. */
  readonly half_open?: readonly string[];
  readonly cooling?: readonly string[];
  /** Providers with a failed attempt in this request. */
  readonly failed?: readonly string[];
  /** Providers that have no room. */
  readonly full?: readonly string[];
  /** Providers that a budget of the policy leaves out. */
  readonly over_budget?: readonly string[];
  /** The provider that is bound to the session. */
  readonly sticky?: string;
  /** Status words of the last failure. */
  readonly status?: readonly string[];
  readonly error_class?: string;
  readonly current_provider?: string;
  readonly pools?: Readonly<Record<string, keyof typeof POOL_FACTORS>>;
  readonly latency_ms?: ByName;
  readonly error_rate?: ByName;
  readonly cost_micro_usd?: ByName;
  readonly in_flight?: ByName;
  readonly capacity?: ByName;
  readonly canary_aborted?: boolean;
  /** The tightest budget of the policy. */
  readonly budget?: {
    readonly id?: string;
    readonly limit_micro_usd?: number;
    readonly spent_micro_usd?: number;
    readonly reserved_micro_usd?: number;
  };
}

const text: Shape = { kind: 'text', charsMin: 1, charsMax: 128 };
const names: Shape = { kind: 'list', of: text, min: 0, max: MAP_MAX };
const byName = (of: Shape): Shape => ({ kind: 'map', key: /^.{1,128}$/u, of, min: 0, max: MAP_MAX });
const amount: Shape = { kind: 'number', min: 0, max: 1e15, isInteger: false };
const amounts = byName(amount);

export const SNAPSHOT_SHAPE: Shape = {
  kind: 'record',
  fields: {
    attempt: { shape: { kind: 'number', min: 1, max: 100, isInteger: true } },
    open: { shape: names },
    half_open: { shape: names },
    cooling: { shape: names },
    failed: { shape: names },
    full: { shape: names },
    over_budget: { shape: names },
    sticky: { shape: text },
    status: { shape: names },
    error_class: { shape: text },
    current_provider: { shape: text },
    pools: { shape: byName({ kind: 'word', words: Object.keys(POOL_FACTORS) }) },
    latency_ms: { shape: amounts },
    error_rate: { shape: byName({ kind: 'number', min: 0, max: 1, isInteger: false }) },
    cost_micro_usd: { shape: amounts },
    in_flight: { shape: amounts },
    capacity: { shape: amounts },
    canary_aborted: { shape: { kind: 'boolean' } },
    budget: {
      shape: {
        kind: 'record',
        fields: {
          id: { shape: text },
          limit_micro_usd: { shape: amount },
          spent_micro_usd: { shape: amount },
          reserved_micro_usd: { shape: amount },
        },
      },
    },
  },
};

/** The providers that the document names, each with its place in it. */
export function providersNamed(document: SnapshotDocument): readonly (readonly [path: string, name: string])[] {
  const lists = (['open', 'half_open', 'cooling', 'failed', 'full', 'over_budget'] as const).flatMap((key) =>
    (document[key] ?? []).map((name, index) => [`/${key}/${index}`, name] as const),
  );
  const maps = (['latency_ms', 'error_rate', 'cost_micro_usd', 'in_flight', 'capacity'] as const).flatMap((key) =>
    Object.keys(document[key] ?? {}).map((name) => [pathTo(`/${key}`, name), name] as const),
  );
  const alone = (['sticky', 'current_provider'] as const).flatMap((key) => {
    const name = document[key];
    return name === undefined ? [] : [[`/${key}`, name] as const];
  });
  return [...lists, ...maps, ...alone];
}

/** The snapshot of a document that keeps to the shape. */
export function snapshotOf(document: SnapshotDocument): Snapshot {
  const { half_open: halfOpen } = document;
  const [open, cooling, full] = [document.open, document.cooling, document.full].map((list) => new Set(list));
  const { pools = {}, latency_ms: latency = {}, error_rate: rates = {} } = document;
  const { cost_micro_usd: costs, in_flight: inFlight = {}, capacity = {} } = document;
  return {
    attempt: document.attempt ?? 1,
    failed: new Set(document.failed),
    failureWords: document.status ?? [],
    errorClass: document.error_class,
    currentProvider: document.current_provider,
    sticky: document.sticky,
    canaryAborted: document.canary_aborted,
    overBudget: document.over_budget === undefined ? undefined : new Set(document.over_budget),
    isOpen: (provider) => open?.has(provider) === true,
    isHalfOpen: (provider) => halfOpen?.includes(provider) === true,
    isCooling: (provider) => cooling?.has(provider) === true,
    hasCapacity: ({ name }) => full?.has(name) !== true,
    poolFactor: (pool) => POOL_FACTORS[own(pools, pool) ?? 'healthy'],
    latency(provider) {
      const ms = own(latency, provider);
      return ms === undefined ? undefined : { ms, samples: SAMPLES };
    },
    errorRate: (provider) => own(rates, provider) ?? 0,
    inFlight: (provider) => own(inFlight, provider) ?? 0,
    capacity: ({ name }) => own(capacity, name),
    costMicroUsd: ({ name }) => (costs === undefined ? undefined : own(costs, name)),
    budget: () => (document.budget === undefined ? undefined : budgetOf(document.budget)),
  };
}

const budgetOf = (budget: NonNullable<SnapshotDocument['budget']>): Budget => ({
  id: budget.id ?? 'budget',
  limitMicroUsd: budget.limit_micro_usd ?? 0,
  spentMicroUsd: budget.spent_micro_usd ?? 0,
  reservedMicroUsd: budget.reserved_micro_usd ?? 0,
});

const own = <V>(values: Readonly<Record<string, V>>, name: string): V | undefined =>
  Object.hasOwn(values, name) ? values[name] : undefined;
