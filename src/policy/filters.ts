// Which candidates a request may use (policy 4). A filter looks at one candidate alone, so the order of the filters
// decides only by whose name a removal is told. Plain ifs and no table: this runs for every candidate of every request.
import type { Scope } from './condition.ts';
import { expectedCost, expectedLatency } from './expectations.ts';
import type { Facts, Live } from './facts.ts';
import type { Course, Target } from './policy.ts';
import { ALONE, partOf } from './router-share.ts';
import { isRuledOut, weightOf } from './rules.ts';

/** The filters in their order, with what a removal says. */
export const FILTERS = {
  disabled: 'disabled',
  model: 'does not serve the model',
  when: 'its condition does not hold',
  constraint: 'not allowed by the request',
  rule: 'removed by a rule',
  failed: 'failed in this request',
  breaker: 'breaker open',
  cooldown: 'cooling down',
  capacity: 'no capacity',
  budget: 'over budget',
} as const;

export type Filter = keyof typeof FILTERS;

/** The first filter that removes the target, if any; `failed` are the providers that failed in this request. */
export function removedBy(
  target: Target,
  facts: Facts,
  failed: ReadonlySet<string>,
  live: Live,
  course: Course,
): Filter | undefined {
  const unfit = unfitBy(target, facts, live, course.scope);
  if (unfit !== undefined) return unfit;
  if (course.effects.length > 0 && isRuledOut(target, course.effects, course.scope)) return 'rule';
  if (failed.size > 0 && failed.has(target.name)) return 'failed';
  return busyBy(target, facts, live, 0);
}

/** Filters 1 and 2, which look at the request and the target before any rule. */
export function unfitBy(target: Target, facts: Facts, live: Live, scope: Scope | undefined): Filter | undefined {
  if (!target.enabled) return 'disabled';
  if (target.serves !== undefined && facts.model !== undefined && !target.serves(facts.model)) return 'model';
  if (target.when !== undefined && scope !== undefined && !target.when(scope, target)) return 'when';
  if (facts.providersDeny?.includes(target.name) === true) return 'constraint';
  if (facts.providersAllow?.includes(target.name) === false) return 'constraint';
  return isTooDear(target, facts, live) || isTooSlow(target, facts, live) ? 'constraint' : undefined;
}

/** Under a maximum, what has no price is too dear. Without a price book nobody can say. */
function isTooDear(target: Target, facts: Facts, live: Live): boolean {
  if (facts.maxCostMicroUsd === undefined || live.costMicroUsd === undefined) return false;
  return (expectedCost(target, facts, live) ?? Number.POSITIVE_INFINITY) > facts.maxCostMicroUsd;
}

const isTooSlow = (target: Target, facts: Facts, live: Live): boolean =>
  facts.maxLatencyMs !== undefined && (expectedLatency(target, facts, live) ?? 0) > facts.maxLatencyMs;

/** Filters 5 to 8, which a retry of a failed provider must pass as well; `afterMs` is when it would be sent. */
export function busyBy(target: Target, facts: Facts, live: Live, afterMs: number): Filter | undefined {
  if (live.isOpen?.(target.name) === true) return 'breaker';
  if (live.isCooling?.(target.name, afterMs) === true) return 'cooldown';
  if (target.maxInFlight !== undefined) {
    const part = partOf(target.maxInFlight, live.routers ?? ALONE);
    if ((live.inFlight?.(target.name) ?? 0) >= part) return 'capacity';
  }
  // A job waits in its stream for the workers that are away.
  if (facts.durable !== true && live.hasCapacity?.(target) === false) return 'capacity';
  if (live.overBudget?.has(target.name) === true) return 'budget';
  return undefined;
}

/** The share in a weighted choice: weight times the factor of the pool's health. */
export function effectiveWeight(target: Target, live: Live, course: Course): number {
  const weight = course.effects.length === 0 ? target.weight : weightOf(target, course.effects);
  return live.poolFactor === undefined ? weight : weight * live.poolFactor(target.pool);
}
