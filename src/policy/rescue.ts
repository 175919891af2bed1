// The last resort of a decision without a choice (policy 6, step 11): the first fallback that holds and can be used.
import type { Scope } from './condition.ts';
import type { Facts, Snapshot } from './facts.ts';
import { type Filter, removedBy } from './filters.ts';
import type { Course, Fallback, Policy } from './policy.ts';
import { scopeOf } from './scope-of.ts';

export type EmptyWord = 'all_providers_failed' | 'circuit_breaker_open' | 'budget_exceeded';

/** The words of an empty choice (policy 3.2), by how many candidates breakers and budgets removed. */
export function emptyWords({ breakers, budgets }: { readonly breakers: number; readonly budgets: number }) {
  const words: EmptyWord[] = ['all_providers_failed'];
  if (breakers > 0) words.push('circuit_breaker_open');
  if (budgets > 0) words.push('budget_exceeded');
  return words;
}

/** What fallbacks see when no candidate is left. */
export const emptyScope = (policy: Policy, facts: Facts, snapshot: Snapshot, words: readonly EmptyWord[]): Scope =>
  scopeOf(policy, facts, snapshot, snapshot, [...snapshot.failureWords, ...words]);

/** Why the fallback cannot help; undefined if it can. */
export const refusalOf = (
  item: Fallback,
  scope: Scope,
  facts: Facts,
  snapshot: Snapshot,
  course: Course,
): 'condition' | Filter | undefined =>
  item.holds(scope) ? removedBy(item.to, facts, snapshot.failed, snapshot, course) : 'condition';
