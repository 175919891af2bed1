// Experiments of a policy (policy 5.4): in which arm of each a request is. The arm comes from a hash of the unit's
// value, so it is the same on every router and stays when the shares of others change.
import type { Scope } from './condition.ts';
import { ask, unmet } from './conditions-told.ts';
import { unit } from '../core/hash.ts';
import type { Tell, Told } from './explanation-step.ts';
import type { Facts, Live } from './facts.ts';
import { unfitBy } from './filters.ts';
import type { Arm, Effect, Experiment, Policy } from './policy.ts';
import { isRuledOut, toldOf } from './rules.ts';
import { contextText } from './sticky.ts';

/** Adds the arms in which the request takes part, and their effects after those of the rules. */
export function enrol(
  policy: Policy,
  facts: Facts,
  live: Live,
  scope: Scope,
  effects: Effect[],
  arms: Arm[],
  tell: Tell | undefined,
): void {
  for (const experiment of policy.experiments) {
    const { id } = experiment;
    const data = { experiment_id: id };
    if (!ask(experiment.holds, scope)) {
      tell?.(unmet('experiments', `${id} did not match`, data, scope));
      continue;
    }
    const value = contextText(facts, experiment.unit);
    if (value === undefined) {
      tell?.(skipped(`${id}: the request has no ${experiment.unit}`, data));
      continue;
    }
    const draw = unit(`exp|${id}|${facts.tenantId}|${value}`);
    const { name, effect } = armAt(experiment, draw * 100);
    const drawn = { ...data, arm: name, draw: Number(draw.toFixed(6)) };
    if (effect !== undefined && leavesNobody(policy, facts, live, scope, [...effects, effect])) {
      tell?.(skipped(`${id}: arm ${name} would leave no candidate`, drawn));
      continue;
    }
    tell?.({
      stage: 'experiments',
      outcome: 'matched',
      detail: `${id}: arm ${name}, draw ${draw.toFixed(6)}`,
      data: effect === undefined ? drawn : { ...drawn, ...toldOf(effect) },
    });
    arms.push({ experiment: id, arm: name });
    if (effect !== undefined) effects.push(effect);
  }
}

const skipped = (detail: string, data: Told['data']): Told => ({
  stage: 'experiments',
  outcome: 'skipped',
  detail,
  data,
});

/** Rounding can leave the last sum a little below 100; what is above belongs to the last arm. */
function armAt({ arms }: Experiment, x: number): Experiment['arms'][number] {
  const arm = arms.find(({ upTo }) => x < upTo) ?? arms.at(-1);
  if (arm === undefined) throw new RangeError('an experiment has at least two arms');
  return arm;
}

/** Whether the filters of the request and these effects remove every candidate. */
const leavesNobody = (
  { targets }: Policy,
  facts: Facts,
  live: Live,
  scope: Scope,
  effects: readonly Effect[],
): boolean =>
  targets.every((target) => unfitBy(target, facts, live, scope) !== undefined || isRuledOut(target, effects, scope));
