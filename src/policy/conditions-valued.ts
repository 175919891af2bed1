// What each condition of a policy says of a request, for those who write policies (policy 11.1, `verbose`): the text of
// the condition and its value, also of those that the decision had no need to ask. No value of the request is among them.
import type { Condition, Scope } from './condition.ts';
import { ask, forgetFault } from './conditions-told.ts';
import type { PolicyDocument } from './document.ts';
import type { Policy, TargetCondition } from './policy.ts';
import { emptyScope } from './rescue.ts';
import { scopeOf } from './scope-of.ts';
import type { Decided } from './selection-told.ts';
import { faultOf } from './when.ts';

export interface ConditionValue {
  /** Where it stands in the document, as a JSON Pointer. */
  readonly path: string;
  readonly when: unknown;
  /** By provider where it looks at providers. */
  readonly value: boolean | Readonly<Record<string, boolean>>;
  /** Why it could not be evaluated, which is false. */
  readonly fault?: string;
}

export function conditionsValued({ policy, facts, snapshot, course, choice }: Decided): readonly ConditionValue[] {
  const scope = course.scope ?? scopeOf(policy, facts, snapshot, snapshot);
  const isEmpty = choice.how === 'fallback' || choice.how === 'none';
  const last = isEmpty ? emptyScope(policy, facts, snapshot, choice.words) : scope;
  const { providers = [], rules = [], experiments = [], canary, fallbacks = [], escalate_on = [] } = partsOf(policy);
  return [
    ...policy.targets.flatMap((target, index) =>
      valued(`/providers/${index}/when`, providers[index]?.when, scope, (one) => target.when?.(one, target) ?? true),
    ),
    ...policy.rules.flatMap(({ holds, effect }, index) => [
      ...valued(`/rules/${index}/when`, rules[index]?.when, scope, holds),
      ...valuedOfTargets(`/rules/${index}/then/where`, rules[index]?.then.where, scope, effect.where, policy),
    ]),
    ...policy.experiments.flatMap(({ holds }, index) =>
      valued(`/experiments/${index}/when`, experiments[index]?.when, scope, holds),
    ),
    ...(policy.canary === undefined ? [] : valued('/canary/when', canary?.when, scope, policy.canary.holds)),
    ...policy.fallbacks.flatMap(({ holds }, index) =>
      valued(`/fallbacks/${index}/when`, fallbacks[index]?.when, last, holds),
    ),
    ...policy.escalations.flatMap(({ holds }, index) =>
      valued(`/escalate_on/${index}/when`, escalate_on[index]?.when, scope, holds),
    ),
  ];
}

/** A policy was compiled from a document that was checked; built-in ones have none of these parts. */
const partsOf = ({ document }: Policy): Partial<PolicyDocument> => (document ?? {}) as Partial<PolicyDocument>;

function valued(path: string, when: unknown, scope: Scope, holds: Condition): readonly ConditionValue[] {
  if (when === undefined) return [];
  const value = ask(holds, scope);
  const fault = faultOf(scope);
  return [{ path, when, value, ...(fault === undefined ? {} : { fault }) }];
}

function valuedOfTargets(
  path: string,
  when: unknown,
  scope: Scope,
  holds: TargetCondition | undefined,
  { targets }: Policy,
): readonly ConditionValue[] {
  if (when === undefined || holds === undefined) return [];
  forgetFault(scope);
  const value = Object.fromEntries(targets.map((target) => [target.name, holds(scope, target)]));
  const fault = faultOf(scope);
  return [{ path, when, value, ...(fault === undefined ? {} : { fault }) }];
}
