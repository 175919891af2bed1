// Turns experiments, the canary and the shadow into what routers read (policy 5.4 to 5.6).
import { compileEffect, conditionOf } from './compile-rule.ts';
import type { Canary, Experiment, Shadow, Target } from './policy.ts';
import type { CanaryDocument, ExperimentDocument, ShadowDocument } from './trial-document.ts';

const MIN_REQUESTS = 50;
const SHADOWS_MAX = 4;

/** `sessionKey` names the unit of an experiment that names none. */
export function compileExperiment(experiment: ExperimentDocument, sessionKey: string): Experiment {
  let upTo = 0;
  const arms = experiment.arms.map(({ name, share, then: effect }) => {
    upTo += share;
    return Object.freeze({ name, upTo, effect: effect === undefined ? undefined : compileEffect(effect) });
  });
  return Object.freeze({
    id: experiment.id,
    holds: conditionOf(experiment.when),
    unit: experiment.unit ?? sessionKey,
    arms: Object.freeze(arms),
  });
}

export const compileCanary = (canary: CanaryDocument, to: Target): Canary =>
  Object.freeze({
    to,
    share: canary.share,
    holds: conditionOf(canary.when),
    unit: canary.unit,
    abortOn:
      canary.abort_on === undefined
        ? undefined
        : Object.freeze({
            errorRate: canary.abort_on.error_rate,
            p95Ms: canary.abort_on.p95_ms,
            minRequests: canary.abort_on.min_requests ?? MIN_REQUESTS,
          }),
  });

/** Undefined for a policy whose requests are not copied, so that they are asked nothing more. */
export const compileShadow = (
  shadow: ShadowDocument | undefined,
  targetOf: (name: string) => Target,
): Shadow | undefined =>
  shadow === undefined || shadow.share === 0
    ? undefined
    : Object.freeze({
        to: targetOf(shadow.to),
        share: shadow.share,
        holds: conditionOf(shadow.when),
        maxInFlight: shadow.max_in_flight ?? SHADOWS_MAX,
      });
