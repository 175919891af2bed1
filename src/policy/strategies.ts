// Which candidates a strategy leaves to the weighted choice (policy 5.2). Works on the shares of all targets in document
// order: a share below 0 is no candidate. `weighted` leaves everything as it is and has no need to come here.
import { expectedCost } from './expectations.ts';
import type { Facts, Live } from './facts.ts';
import type { Policy, Strategy, Target } from './policy.ts';

/** The share of a target that cannot be chosen. */
export const REMOVED = -1;

/** The strategies that leave some candidates out. */
export type Narrowing = Exclude<Strategy, 'weighted'>;
/** Lower is better; below 0: not known, which counts as the best. */
type Score = (target: Target, policy: Policy, facts: Facts, live: Live) => number;

const UNKNOWN = -1;

const SCORES: Readonly<Record<Narrowing, Score>> = {
  priority: ({ priority }) => 100 - priority,
  latency({ name }, { strategyOptions }, { stream }, live) {
    const seen = live.latency?.(name, stream);
    return seen === undefined || seen.samples < strategyOptions.minSamples ? UNKNOWN : seen.ms;
  },
  cost: (target, _policy, facts, live) => expectedCost(target, facts, live) ?? Number.POSITIVE_INFINITY,
  least_busy: (target, _policy, _facts, live) =>
    (live.inFlight?.(target.name) ?? 0) / Math.max(1, target.maxInFlight ?? live.capacity?.(target) ?? 1),
};

/** Removes all but the best and those that tie with it from `shares`; returns the sum of what is left.
 * `weights` is the sum of all shares before. */
export function narrow(
  strategy: Narrowing,
  policy: Policy,
  facts: Facts,
  live: Live,
  shares: number[],
  weights: number,
): number {
  const { targets } = policy;
  const score = SCORES[strategy];
  const isPriority = strategy === 'priority';
  // A weight of 0 is never drawn, so it must not hide the lower priorities; scores rank it like any other (policy 5.2).
  const least = isPriority && !(policy.isUnweighted && weights === 0) ? Number.MIN_VALUE : 0;
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i < targets.length; i++) {
    const target = targets[i];
    if (target === undefined || (shares[i] ?? REMOVED) < least) continue;
    const its = score(target, policy, facts, live);
    if (its >= 0 && its < best) best = its;
  }
  const worst = isPriority ? best : best * (1 + policy.strategyOptions.tolerance);
  let sum = 0;
  let tied = 0;
  for (let i = 0; i < targets.length; i++) {
    const target = targets[i];
    const share = shares[i] ?? REMOVED;
    if (target === undefined || share < 0) continue;
    if (share < least || score(target, policy, facts, live) > worst) {
      shares[i] = REMOVED;
      continue;
    }
    sum += share;
    tied++;
  }
  if (sum > 0) return sum;
  for (let i = 0; i < shares.length; i++) if ((shares[i] ?? REMOVED) >= 0) shares[i] = 1;
  return tied;
}
