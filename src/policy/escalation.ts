// Where a failure is sent that others could not mend (policy 7.1, case 4): at once, and once in a request.
import type { Scope } from './condition.ts';
import type { Facts, Live } from './facts.ts';
import { removedBy } from './filters.ts';
import { allFailed, type History } from './history.ts';
import type { Course, Escalation, Policy } from './policy.ts';

/** The first item that holds and whose provider can be used; undefined if there is none, or one was used before. */
export function escalationFor(
  policy: Policy,
  facts: Facts,
  history: History,
  live: Live,
  course: Course,
  scope: Scope,
): { readonly item: number; readonly escalation: Escalation } | undefined {
  if (history.hasEscalated || policy.escalations.length === 0) return undefined;
  const failed = allFailed(history);
  for (const [item, escalation] of policy.escalations.entries()) {
    if (!escalation.holds(scope)) continue;
    if (removedBy(escalation.to, facts, failed, live, course) === undefined) return { item, escalation };
  }
  return undefined;
}
