// How a choice is told: the strategy and its draw, or the fallbacks that were asked when nothing was left.
import type { Choice } from './choice.ts';
import type { Told } from './explanation-step.ts';
import type { Facts, Snapshot } from './facts.ts';
import { effectiveWeight, FILTERS, removedBy } from './filters.ts';
import type { Course, Policy } from './policy.ts';
import { emptyScope, refusalOf } from './rescue.ts';
import { narrow, type Narrowing, REMOVED } from './strategies.ts';

/** The inputs of a decision and what came of them. */
export interface Decided {
  readonly policy: Policy;
  readonly facts: Facts;
  readonly snapshot: Snapshot;
  readonly course: Course;
  readonly seed: string;
  readonly choice: Choice;
}

/** How the choice was made among the candidates; nothing if none was needed. */
export function selectionTold(decided: Decided): readonly Told[] {
  const { choice } = decided;
  const { strategy } = decided.course;
  switch (choice.how) {
    case 'bound':
      return [{ stage: 'sticky', outcome: 'chosen', detail: `${choice.target.name}: bound to the session`, data: {} }];
    case 'drawn': {
      const draw = choice.draw.toFixed(6);
      const drawn = { strategy, draw: Number(draw) };
      const tied = strategy === 'weighted' ? undefined : tiedBy(strategy, decided);
      return [
        {
          stage: 'select',
          outcome: 'chosen',
          detail: `${strategy} draw ${draw}${tied === undefined ? '' : ` among ${tied.join(', ')}`}`,
          data: tied === undefined ? drawn : { ...drawn, tied },
        },
      ];
    }
    case 'fallback':
    case 'none':
      return [{ stage: 'select', outcome: 'skipped', detail: 'no candidate with weight is left', data: { strategy } }];
    case 'canary':
    case 'rejected':
      return [];
  }
}

/** The candidates between which the strategy let the draw decide. */
function tiedBy(strategy: Narrowing, { policy, facts, snapshot, course }: Decided): readonly string[] {
  const shares = policy.targets.map((target) =>
    target !== policy.canary?.to && removedBy(target, facts, snapshot.failed, snapshot, course) === undefined
      ? effectiveWeight(target, snapshot, course)
      : REMOVED,
  );
  const sum = shares.reduce((all, share) => all + Math.max(0, share), 0);
  narrow(strategy, policy, facts, snapshot, shares, sum);
  return policy.targets.filter((_, index) => (shares[index] ?? REMOVED) > 0).map(({ name }) => name);
}

/** Which fallbacks of an empty choice were asked, and why each was passed over. */
export function fallbacksTold({ policy, facts, snapshot, course, choice }: Decided): readonly Told[] {
  if (choice.how !== 'fallback' && choice.how !== 'none') return [];
  const scope = emptyScope(policy, facts, snapshot, choice.words);
  const steps: Told[] = [];
  for (const [item, fallback] of policy.fallbacks.entries()) {
    const refusal = refusalOf(fallback, scope, facts, snapshot, course);
    const data = { item, to: fallback.to.name };
    if (refusal === undefined)
      return [...steps, { stage: 'fallback', outcome: 'chosen', detail: `item ${item}: to ${data.to}`, data }];
    const because = refusal === 'condition' ? 'condition does not hold' : `${data.to}: ${FILTERS[refusal]}`;
    steps.push({ stage: 'fallback', outcome: 'skipped', detail: `item ${item}: ${because}`, data });
  }
  return steps;
}
