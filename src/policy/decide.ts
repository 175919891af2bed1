// The decision: a pure function of policy, facts, snapshot and seed (policy 6, steps 6 to 8 and 10 to 12).
// D1. Equal inputs give an equal verdict and explanation, byte for byte, on every router.
// D2. The choice never depends on whether it is explained: the explanation is told afterwards from the same inputs.
import { type Choice, choose } from './choice.ts';
import { courseOf } from './course.ts';
import { expectedCost, expectedLatency } from './expectations.ts';
import { type Explanation, explanationOf } from './explanation.ts';
import { type Facts, type Snapshot, seedOf } from './facts.ts';
import type { Arm, Policy, Rejection, Target } from './policy.ts';
import { REASONS, type Reason } from './reasons.ts';
import { keyOf, sessionOf } from './sticky.ts';

export type Verdict =
  | {
      readonly kind: 'chosen';
      readonly target: Target;
      /** What the provider is asked for: the target's own model, else the requested one. */
      readonly model: string | undefined;
      readonly reason: Reason;
      readonly priority: number;
      readonly fallbackUsed: boolean;
      /** The session's binding was used. */
      readonly isSticky: boolean;
      /** Where the router keeps `target` for the session; undefined if the request is not sticky. */
      readonly stickyKey: string | undefined;
      /** The other eligible providers; empty unless explained. */
      readonly alternatives: readonly string[];
      /** Total time of the request, which a rule may have lowered. */
      readonly timeoutMs: number;
      /** Of the rules and arms that hold. */
      readonly tags: readonly string[];
      /** The last rule that holds. */
      readonly ruleId: string | undefined;
      /** The experiments in which the request takes part. */
      readonly arms: readonly Arm[];
      /** As measured, and by the price book; undefined if unknown. */
      readonly expectedLatencyMs: number | undefined;
      readonly expectedCostMicroUsd: number | undefined;
      readonly seed: string;
      readonly explanation: Explanation | undefined;
    }
  | {
      readonly kind: 'none';
      readonly code: 'no_provider_available' | 'circuit_breaker_open' | 'budget_exceeded' | Rejection['code'];
      readonly message: string;
      readonly explanation: Explanation | undefined;
    };

const NO_NAMES: readonly string[] = Object.freeze([]);

/**
 * Chooses the provider of one attempt. Attempts above 1 are failovers; `nextStep` says when one is due. The explanation is
 * the detailed one unless it shall be verbose.
 */
export function decide(policy: Policy, facts: Facts, snapshot: Snapshot, explain: boolean | 'verbose'): Verdict {
  const seed = seedOf(facts);
  const session = policy.sticky === undefined ? undefined : sessionOf(policy, facts);
  const course = courseOf(policy, facts, snapshot, snapshot);
  const choice = choose(policy, facts, snapshot, course, seed, session);
  const explanation =
    explain === false
      ? undefined
      : explanationOf({ policy, facts, snapshot, course, seed, choice }, explain === 'verbose');
  if (choice.how === 'rejected') return { kind: 'none', ...choice.rejection, explanation };
  if (choice.how === 'none') {
    return { kind: 'none', ...emptyBecause(choice), explanation };
  }
  const { target, reason } = choice;
  return {
    kind: 'chosen',
    target,
    model: target.model ?? facts.model,
    reason,
    priority: REASONS[reason].priority,
    fallbackUsed: REASONS[reason].fallbackUsed,
    isSticky: choice.how === 'bound',
    stickyKey: session === undefined ? undefined : keyOf(policy, facts, session),
    alternatives:
      explanation?.candidates.filter(({ state }) => state === 'eligible').map((other) => other.provider_id) ?? NO_NAMES,
    timeoutMs: course.timeoutMs,
    tags: course.tags,
    ruleId: course.ruleId,
    arms: course.arms,
    expectedLatencyMs: expectedLatency(target, facts, snapshot),
    expectedCostMicroUsd: expectedCost(target, facts, snapshot),
    seed,
    explanation,
  };
}

/** Why nobody is left, as it is answered (policy 6, step 11). */
export function emptyBecause({
  onlyBreakers,
  onlyBudgets,
}: Pick<Extract<Choice, { how: 'none' }>, 'onlyBreakers' | 'onlyBudgets'>) {
  if (onlyBreakers) return { code: 'circuit_breaker_open', message: 'the breakers of all providers are open' } as const;
  if (onlyBudgets) return { code: 'budget_exceeded', message: 'a budget of the policy is spent' } as const;
  return { code: 'no_provider_available', message: 'no provider can serve this request' } as const;
}
