// The course of one attempt: what the rules and experiments of a policy make of it for this request (policy 6, step 7).
// Most policies have neither; their course is made once and costs a decision nothing.
import { enrol } from './experiments.ts';
import type { Tell } from './explanation-step.ts';
import type { Facts, Live } from './facts.ts';
import type { Arm, Course, Effect, Policy, Strategy } from './policy.ts';
import { applyRules } from './rules.ts';
import { scopeOf, type Standing } from './scope-of.ts';

/** `tell` hears which rules were tested and what came of them. */
export function courseOf(policy: Policy, facts: Facts, live: Live, at: Standing, tell?: Tell): Course {
  if (policy.plainCourse !== undefined) return policy.plainCourse;
  const scope = scopeOf(policy, facts, live, at);
  const effects: Effect[] = [];
  const arms: Arm[] = [];
  const rejection = applyRules(policy.rules, scope, effects, tell);
  if (rejection === undefined) enrol(policy, facts, live, scope, effects, arms, tell);
  return {
    scope,
    effects,
    arms,
    rejection,
    strategy: strategyOf(policy, effects),
    timeoutMs: effects.reduce((least, { timeoutMs }) => Math.min(least, timeoutMs ?? least), policy.timeoutMs),
    ruleId: effects.findLast(({ ruleId }) => ruleId !== undefined)?.ruleId,
    tags: effects.flatMap(({ tag }) => (tag === undefined ? [] : [tag])),
  };
}

/** The last effect with a strategy decides. */
const strategyOf = (policy: Policy, effects: readonly Effect[]): Strategy =>
  effects.findLast(({ strategy }) => strategy !== undefined)?.strategy ?? policy.strategy;
