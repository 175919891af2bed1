// The canary of a policy (policy 5.5): a share of the requests goes to one provider, and no others do.
import { ask, unmet } from './conditions-told.ts';
import { unit } from '../core/hash.ts';
import { draw } from './draw.ts';
import type { Told } from './explanation-step.ts';
import type { Facts, Snapshot } from './facts.ts';
import type { Canary, Course, Policy } from './policy.ts';
import { contextText } from './sticky.ts';

/** The draw of a request that the canary's condition and unit let in; undefined if it stays outside anyway. */
export function canaryDraw(
  policy: Policy,
  { holds, unit: name }: Canary,
  facts: Facts,
  snapshot: Snapshot,
  course: Course,
  seed: string,
): number | undefined {
  if (course.scope === undefined || !ask(holds, course.scope)) return undefined;
  if (name === undefined) return draw(seed, snapshot.attempt, 'canary');
  const value = contextText(facts, name);
  return value === undefined ? undefined : unit(`canary|${policy.policyId}|${facts.tenantId}|${value}`);
}

/** Percent of the requests: none once the canary was aborted, until the next revision. */
export const canaryShare = ({ share }: Canary, snapshot: Snapshot): number =>
  snapshot.canaryAborted === true ? 0 : share;

/** What became of the canary; nothing for a policy without one. */
export function canaryTold(
  policy: Policy,
  facts: Facts,
  snapshot: Snapshot,
  course: Course,
  seed: string,
  isChosen: boolean,
): readonly Told[] {
  const { canary } = policy;
  if (canary === undefined || course.scope === undefined || course.rejection !== undefined) return [];
  const { name } = canary.to;
  const share = canaryShare(canary, snapshot);
  const drawn = canaryDraw(policy, canary, facts, snapshot, course, seed);
  if (drawn === undefined) return [unmet('canary', `${name}: not for this request`, { to: name, share }, course.scope)];
  const draw = drawn.toFixed(6);
  const data = { to: name, share, draw: Number(draw) };
  if (isChosen) return [{ stage: 'canary', outcome: 'chosen', detail: `${name}: draw ${draw} is in ${share} %`, data }];
  const isIn = drawn * 100 < share;
  const detail = `${name}: draw ${draw} is ${isIn ? `in ${share} %, but it is no candidate` : `not in ${share} %`}`;
  return [{ stage: 'canary', outcome: 'skipped', detail, data }];
}
