// Which candidates a request may use (policy 4). A filter looks at one candidate alone, so the order of the filters
// decides only by whose name a removal is told. Plain ifs and no table: this runs for every candidate of every request.
import type { Facts, Live } from './facts.ts';
import type { Target } from './policy.ts';

/** The filters in their order, with what a removal says. */
export const FILTERS = {
  disabled: 'disabled',
  model: 'does not serve the model',
  constraint: 'not allowed by the request',
  failed: 'failed in this request',
  breaker: 'breaker open',
  cooldown: 'cooling down',
  capacity: 'no capacity',
} as const;

export type Filter = keyof typeof FILTERS;

/** The first filter that removes the target, if any; `failed` are the providers that failed in this request. */
export function removedBy(target: Target, facts: Facts, failed: ReadonlySet<string>, live: Live): Filter | undefined {
  if (!target.enabled) return 'disabled';
  if (target.serves !== undefined && facts.model !== undefined && !target.serves(facts.model)) return 'model';
  if (facts.providersDeny?.includes(target.name) === true) return 'constraint';
  if (facts.providersAllow?.includes(target.name) === false) return 'constraint';
  if (failed.has(target.name)) return 'failed';
  return busyBy(target, live, 0);
}

/** Filters 5 to 8, which a retry of a failed provider must pass as well; `afterMs` is when it would be sent. */
export function busyBy(target: Target, live: Live, afterMs: number): Filter | undefined {
  if (live.isOpen?.(target.name) === true) return 'breaker';
  if (live.isCooling?.(target.name, afterMs) === true) return 'cooldown';
  if (live.hasCapacity?.(target) === false) return 'capacity';
  return undefined;
}

/** The share in a weighted choice: weight times the factor of the pool's health. */
export const effectiveWeight = (target: Target, live: Live): number =>
  live.poolFactor === undefined ? target.weight : target.weight * live.poolFactor(target.pool);
