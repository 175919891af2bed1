// Why a decision is as it is (policy 11.1), told after the fact from the same inputs: which filter removed whom, which
// rules held, what was drawn, which fallbacks were tried. It holds names, weights and draws, never a value of the
// request's context.
import { canaryTold } from './canary.ts';
import { forgetFault } from './conditions-told.ts';
import { type ConditionValue, conditionsValued } from './conditions-valued.ts';
import { courseOf } from './course.ts';
import type { ExplanationStep, Told } from './explanation-step.ts';
import type { Live } from './facts.ts';
import { effectiveWeight, FILTERS, type Filter, removedBy } from './filters.ts';
import type { Target } from './policy.ts';
import { type RecordedSnapshot, recordedSnapshotOf } from './recorded-snapshot.ts';
import { REASONS, type Reason } from './reasons.ts';
import { type Decided, fallbacksTold, selectionTold } from './selection-told.ts';
import { faultOf } from './when.ts';

export type Candidate =
  | { readonly provider_id: string; readonly state: 'chosen' | 'eligible'; readonly weight: number }
  | { readonly provider_id: string; readonly state: 'removed'; readonly by: Filter };

/** The detailed explanation, as it is sent; `reason`, `priority` and `provider_id` are absent if nothing was chosen. */
export type Explanation = {
  readonly policy_id: string;
  readonly policy_revision: number;
  readonly policy_version: string;
  readonly seed: string;
  readonly attempt: number;
  readonly reason?: Reason;
  readonly priority?: number;
  readonly provider_id?: string;
  readonly fallback_used: boolean;
  readonly steps: readonly ExplanationStep[];
  readonly candidates: readonly Candidate[];
  /** Only in the verbose one. */
  readonly conditions?: readonly ConditionValue[];
  readonly snapshot?: RecordedSnapshot;
};

/** The scalar fields alone. */
export const minimalOf = (explanation: Explanation): object =>
  Object.fromEntries(Object.entries(explanation).filter(([, value]) => typeof value !== 'object'));

/** The filters that run before rules do. */
const EARLY: ReadonlySet<string> = new Set<Filter>(['disabled', 'model', 'when', 'constraint']);

/** The filters that ask expressions. */
const EXPRESSIONS: ReadonlySet<string> = new Set<Filter>(['when', 'rule']);

export function explanationOf(decided: Decided, isVerbose: boolean): Explanation {
  const { policy, facts, snapshot, course, seed, choice } = decided;
  const faults = new Map<string, string>();
  const candidates = candidatesOf(decided, faults);
  const removed = removals(candidates, faults, snapshot);
  const steps = removed.filter(({ stage }) => EARLY.has(stage));
  courseOf(policy, facts, snapshot, snapshot, (step) => void steps.push(step));
  steps.push(
    ...removed.filter(({ stage }) => !EARLY.has(stage)),
    ...canaryTold(policy, facts, snapshot, course, seed, choice.how === 'canary'),
    ...selectionTold(decided),
    ...fallbacksTold(decided),
  );
  return {
    policy_id: policy.policyId,
    policy_revision: policy.revision,
    policy_version: policy.version,
    seed,
    attempt: snapshot.attempt,
    ...('reason' in choice
      ? {
          reason: choice.reason,
          priority: REASONS[choice.reason].priority,
          provider_id: choice.target.name,
          fallback_used: REASONS[choice.reason].fallbackUsed,
        }
      : { fallback_used: false }),
    steps: steps.map(({ stage, outcome, detail, data }, index) => ({
      n: index + 1,
      stage,
      outcome,
      detail,
      data,
    })),
    candidates,
    ...(isVerbose
      ? { conditions: conditionsValued(decided), snapshot: recordedSnapshotOf(policy, facts, snapshot) }
      : {}),
  };
}

/**
 * The document's providers in order, then a fallback that is only in the catalogue. `faults` gets the reason of each
 * whose expression had no answer.
 */
function candidatesOf(decided: Decided, faults: Map<string, string>): readonly Candidate[] {
  const { policy, facts, snapshot, course, choice } = decided;
  const chosen = 'target' in choice ? choice.target : undefined;
  const all: readonly Target[] =
    chosen === undefined || policy.targets.includes(chosen) ? policy.targets : [...policy.targets, chosen];
  return all.map((target): Candidate => {
    forgetFault(course.scope);
    const by = removedBy(target, facts, snapshot.failed, snapshot, course);
    if (by !== undefined) {
      const fault = course.scope === undefined ? undefined : faultOf(course.scope);
      if (fault !== undefined) faults.set(target.name, fault);
      return { provider_id: target.name, state: 'removed', by };
    }
    const state = target === chosen ? 'chosen' : 'eligible';
    const isHeldBack = target === policy.canary?.to && target !== chosen;
    return {
      provider_id: target.name,
      state,
      weight: isHeldBack ? 0 : effectiveWeight(target, snapshot, course),
    };
  });
}

/** One step for each filter that removed somebody. */
const removals = (candidates: readonly Candidate[], faults: ReadonlyMap<string, string>, live: Live): Told[] =>
  Object.entries(FILTERS).flatMap(([stage, text]): Told[] => {
    const providers = candidates
      .filter((one) => one.state === 'removed' && one.by === stage)
      .map((one) => one.provider_id);
    if (providers.length === 0) return [];
    const failed = EXPRESSIONS.has(stage) ? providers.filter((name) => faults.has(name)) : [];
    const data = {
      providers,
      ...(failed.length === 0 ? {} : { faults: Object.fromEntries(failed.map((name) => [name, faults.get(name)])) }),
      ...(stage === 'budget' ? { tightest: live.budget?.() } : {}),
    };
    return [{ stage, outcome: 'removed', detail: `${providers.join(', ')}: ${text}`, data }];
  });
