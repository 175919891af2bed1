// Rules of a policy (policy 5.3): which of them hold for a request, and what they leave of its candidates.
import type { Scope } from './condition.ts';
import { ask, unmet } from './conditions-told.ts';
import type { Tell } from './explanation-step.ts';
import type { Effect, Rejection, Rule, Target } from './policy.ts';

/**
 * Tests the rules in their order and adds the effects of those that hold; the first that holds ends the list unless it
 * goes on. A rule that refuses the request ends it in any case.
 */
export function applyRules(
  rules: readonly Rule[],
  scope: Scope,
  effects: Effect[],
  tell: Tell | undefined,
): Rejection | undefined {
  for (const { id, holds, effect, rejection, goesOn } of rules) {
    const data = { rule_id: id };
    if (!ask(holds, scope)) {
      tell?.(unmet('rules', `${id} did not match`, data, scope));
      continue;
    }
    if (rejection !== undefined) {
      const { code } = rejection;
      tell?.({ stage: 'rules', outcome: 'blocked', detail: `${id} matched: ${code}`, data: { ...data, code } });
      return rejection;
    }
    tell?.({ stage: 'rules', outcome: 'matched', detail: `${id} matched`, data: { ...data, ...toldOf(effect) } });
    effects.push(effect);
    if (!goesOn) break;
  }
  return undefined;
}

/** Whether one of the effects removes the target. */
export function isRuledOut(target: Target, effects: readonly Effect[], scope: Scope | undefined): boolean {
  for (const { only, exclude, where } of effects) {
    if (only?.has(target.name) === false || exclude?.has(target.name) === true) return true;
    if (where !== undefined && scope !== undefined && !where(scope, target)) return true;
  }
  return false;
}

/** The weight that the last effect gives the target, else its own. */
export function weightOf(target: Target, effects: readonly Effect[]): number {
  for (let i = effects.length - 1; i >= 0; i--) {
    const weight = effects[i]?.weights?.get(target.name);
    if (weight !== undefined) return weight;
  }
  return target.weight;
}

/** What an effect does, as it is told; an expression is told by its being there. */
export function toldOf(effect: Effect): Readonly<Record<string, unknown>> {
  const told: Record<string, unknown> = {};
  if (effect.only !== undefined) told['only'] = [...effect.only];
  if (effect.exclude !== undefined) told['exclude'] = [...effect.exclude];
  if (effect.where !== undefined) told['where'] = true;
  if (effect.weights !== undefined) told['weights'] = Object.fromEntries(effect.weights);
  if (effect.strategy !== undefined) told['strategy'] = effect.strategy;
  if (effect.timeoutMs !== undefined) told['timeout_ms'] = effect.timeoutMs;
  if (effect.tag !== undefined) told['tag'] = effect.tag;
  return told;
}
