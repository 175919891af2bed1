// The last resort of a decision without a choice (policy 6, step 11): the first fallback that holds and can be used.
import type { Scope } from './condition.ts';
import type { Facts, Snapshot } from './facts.ts';
import { type Filter, removedBy } from './filters.ts';
import type { Course, Fallback, Policy } from './policy.ts';
import { scopeOf } from './scope-of.ts';

/** What fallbacks see when no candidate is left. */
export const emptyScope = (policy: Policy, facts: Facts, snapshot: Snapshot, hasOpenBreaker: boolean): Scope =>
  scopeOf(policy, facts, snapshot, snapshot, [
    ...snapshot.failureWords,
    'all_providers_failed',
    ...(hasOpenBreaker ? ['circuit_breaker_open'] : []),
  ]);

/** Why the fallback cannot help; undefined if it can. */
export const refusalOf = (
  item: Fallback,
  scope: Scope,
  facts: Facts,
  snapshot: Snapshot,
  course: Course,
): 'condition' | Filter | undefined =>
  item.holds(scope) ? removedBy(item.to, facts, snapshot.failed, snapshot, course) : 'condition';
