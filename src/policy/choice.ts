// How one target is taken from the candidates: the canary, else the session's binding, else the weighted draw, else the first
// fallback that can help. Runs for every request, so it walks the candidates once and keeps only their shares.
import { canaryDraw, canaryShare } from './canary.ts';
import { unit } from '../core/hash.ts';
import { draw } from './draw.ts';
import type { Facts, Snapshot } from './facts.ts';
import { effectiveWeight, type Filter, removedBy } from './filters.ts';
import type { Course, Policy, Rejection, Target } from './policy.ts';
import type { Reason } from './reasons.ts';
import { emptyScope, type EmptyWord, emptyWords, refusalOf } from './rescue.ts';
import { sessionText } from './sticky.ts';
import { narrow, REMOVED } from './strategies.ts';

/** The choice and how it came about. */
export type Choice =
  | { readonly how: 'canary'; readonly target: Target; readonly reason: Reason }
  | { readonly how: 'bound'; readonly target: Target; readonly reason: Reason }
  | {
      readonly how: 'drawn';
      readonly target: Target;
      readonly reason: Reason;
      readonly draw: number;
    }
  | {
      readonly how: 'fallback';
      readonly target: Target;
      readonly reason: Reason;
      readonly words: readonly EmptyWord[];
    }
  | { readonly how: 'rejected'; readonly rejection: Rejection }
  | {
      readonly how: 'none';
      readonly onlyBreakers: boolean;
      /** Whoever may serve the request at all is over budget. */
      readonly onlyBudgets: boolean;
      readonly words: readonly EmptyWord[];
    };

/** Filters of the moment, beside breakers and budgets. */
const PASSING: ReadonlySet<Filter> = new Set<Filter>(['failed', 'cooldown', 'capacity']);

export function choose(
  policy: Policy,
  facts: Facts,
  snapshot: Snapshot,
  course: Course,
  seed: string,
  session: string | undefined,
): Choice {
  if (course.rejection !== undefined) return { how: 'rejected', rejection: course.rejection };
  const { targets, canary } = policy;
  const isFirst = snapshot.attempt === 1;
  if (canary !== undefined) {
    const drawn = canaryDraw(policy, canary, facts, snapshot, course, seed);
    const isIn = drawn !== undefined && drawn * 100 < canaryShare(canary, snapshot);
    if (isIn && removedBy(canary.to, facts, snapshot.failed, snapshot, course) === undefined)
      return { how: 'canary', target: canary.to, reason: isFirst ? 'canary' : 'failover' };
  }
  const shares = targets.map(() => REMOVED);
  let sum = 0;
  let removed = 0;
  let breakers = 0;
  let budgets = 0;
  let others = 0;
  let bound: Target | undefined;
  for (let i = 0; i < targets.length; i++) {
    const target = targets[i];
    if (target === undefined) continue;
    const filter = removedBy(target, facts, snapshot.failed, snapshot, course);
    if (filter !== undefined) {
      removed++;
      if (filter === 'breaker') breakers++;
      else if (filter === 'budget') budgets++;
      else if (PASSING.has(filter)) others++;
      continue;
    }
    // Only the canary's own requests and fallbacks go there.
    if (target === canary?.to) continue;
    const share = effectiveWeight(target, snapshot, course);
    shares[i] = share;
    sum += share;
    if (session !== undefined && target.name === snapshot.sticky) bound = target;
  }
  if (bound !== undefined) return { how: 'bound', target: bound, reason: isFirst ? 'sticky' : 'failover' };
  const { strategy } = course;
  if (strategy !== 'weighted') sum = narrow(strategy, policy, facts, snapshot, shares, sum);
  if (sum > 0) {
    const drawn =
      session !== undefined && isFirst
        ? unit(sessionText(policy, facts, session))
        : draw(seed, snapshot.attempt, 'select');
    const target = walk(targets, shares, drawn * sum);
    if (target !== undefined) return { how: 'drawn', target, reason: isFirst ? strategy : 'failover', draw: drawn };
  }
  return rescue(policy, facts, snapshot, course, { removed, breakers, budgets, others });
}

/** Subtracts the shares in document order; the first that makes `x` negative wins. Weight 0 never does. */
function walk(targets: readonly Target[], shares: readonly number[], x: number): Target | undefined {
  let left = x;
  let last: Target | undefined;
  for (let i = 0; i < shares.length; i++) {
    const share = shares[i] ?? REMOVED;
    if (share <= 0) continue;
    left -= share;
    if (left < 0) return targets[i];
    // Rounding can leave 0 at the end of the walk; the draw then belongs to the last share.
    last = targets[i];
  }
  return last;
}

function rescue(
  policy: Policy,
  facts: Facts,
  snapshot: Snapshot,
  course: Course,
  lost: { removed: number; breakers: number; budgets: number; others: number },
): Choice {
  const words = emptyWords(lost);
  const scope = emptyScope(policy, facts, snapshot, words);
  const item = policy.fallbacks.find((fallback) => refusalOf(fallback, scope, facts, snapshot, course) === undefined);
  if (item === undefined)
    return {
      how: 'none',
      onlyBreakers: lost.breakers > 0 && lost.breakers === lost.removed,
      onlyBudgets: lost.budgets > 0 && lost.breakers === 0 && lost.others === 0,
      words,
    };
  return {
    how: 'fallback',
    target: item.to,
    reason: lost.breakers > 0 ? 'circuit_breaker_fallback' : 'fallback',
    words,
  };
}
