// Asking a condition so that an explanation can say why it does not hold: an error is false, and is told as one.
import type { Condition, Scope } from './condition.ts';
import type { Told } from './explanation-step.ts';
import { faultOf } from './when.ts';

/** What a condition says; a fault of an earlier one is forgotten. */
export function ask(holds: Condition, scope: Scope): boolean {
  forgetFault(scope);
  return holds(scope);
}

export function forgetFault(scope: Scope | undefined): void {
  if (scope?.variables !== undefined) scope.variables.fault = undefined;
}

/** The step of a condition that was asked just now and does not hold. */
export function unmet(stage: string, detail: string, data: Told['data'], scope: Scope): Told {
  const fault = faultOf(scope);
  if (fault === undefined) return { stage, outcome: 'skipped', detail, data };
  return { stage, outcome: 'error', detail: `${detail}: ${fault}`, data: { ...data, fault } };
}
