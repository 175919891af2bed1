// Turns rules into what decisions read (policy 5.3).
import type { Condition } from './condition.ts';
import { Findings } from './issue.ts';
import type { Effect, Rejection, Rule } from './policy.ts';
import type { EffectDocument, RuleDocument } from './rule-document.ts';
import { compileWhen, compileWhere } from './when.ts';

const REFUSAL = 'a rule of the policy refuses this request';

const always: Condition = () => true;

/** A condition of a checked document; without one it always holds. */
export const conditionOf = (when: unknown): Condition =>
  when === undefined ? always : compileWhen(when, '', { findings: new Findings(), major: 2 });

export const compileRule = (rule: RuleDocument): Rule =>
  Object.freeze({
    id: rule.id,
    holds: conditionOf(rule.when),
    effect: compileEffect(rule.then, rule.id),
    rejection: rule.then.reject === undefined ? undefined : rejectionOf(rule.then.reject),
    goesOn: rule.continue === true,
  });

const rejectionOf = (reject: NonNullable<RuleDocument['then']['reject']>): Rejection =>
  Object.freeze({ code: reject.code, message: reject.message ?? REFUSAL });

export const compileEffect = (effect: EffectDocument, ruleId?: string): Effect =>
  Object.freeze({
    only: effect.only === undefined ? undefined : new Set(effect.only),
    exclude: effect.exclude === undefined ? undefined : new Set(effect.exclude),
    where:
      effect.where === undefined ? undefined : compileWhere(effect.where, '', { findings: new Findings(), major: 2 }),
    weights: effect.weights === undefined ? undefined : new Map(Object.entries(effect.weights)),
    strategy: effect.strategy,
    timeoutMs: effect.timeout_ms,
    tag: effect.tag,
    ruleId,
  });
