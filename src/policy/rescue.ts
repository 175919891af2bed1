// The last resort of a decision without a choice (policy 6, step 11): the first fallback that holds and can be used.
import type { Scope } from './condition.ts';
import type { Facts, Snapshot } from './facts.ts';
import { type Filter, removedBy } from './filters.ts';
import type { Fallback } from './policy.ts';

/** What fallbacks see when no candidate is left. */
export const emptyScope = (facts: Facts, snapshot: Snapshot, hasOpenBreaker: boolean): Scope => ({
  taskType: facts.taskType,
  status: [...snapshot.failureWords, 'all_providers_failed', ...(hasOpenBreaker ? ['circuit_breaker_open'] : [])],
  attempt: snapshot.attempt,
  errorClass: snapshot.errorClass,
  currentProvider: snapshot.currentProvider,
  context: facts.context,
});

/** Why the fallback cannot help; undefined if it can. */
export const refusalOf = (
  item: Fallback,
  scope: Scope,
  facts: Facts,
  snapshot: Snapshot,
): 'condition' | Filter | undefined =>
  item.holds(scope) ? removedBy(item.to, facts, snapshot.failed, snapshot) : 'condition';
