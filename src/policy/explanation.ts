// Why a decision is as it is (policy 11.1), told after the fact from the same inputs: which filter removed whom, what was
// drawn, which fallbacks were tried. It holds names, weights and draws, never a value of the request's context.
import type { Choice } from './choice.ts';
import type { Facts, Snapshot } from './facts.ts';
import { effectiveWeight, FILTERS, type Filter, removedBy } from './filters.ts';
import type { Policy, Target } from './policy.ts';
import { REASONS, type Reason } from './reasons.ts';
import { emptyScope, refusalOf } from './rescue.ts';
import { narrow, type Narrowing, REMOVED } from './strategies.ts';

export interface ExplanationStep {
  readonly n: number;
  readonly stage: string;
  readonly outcome: 'matched' | 'skipped' | 'removed' | 'chosen' | 'blocked' | 'error';
  readonly detail: string;
  readonly data: Readonly<Record<string, unknown>>;
}

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
};

interface Told {
  readonly policy: Policy;
  readonly facts: Facts;
  readonly snapshot: Snapshot;
  readonly seed: string;
  readonly choice: Choice;
}

type Step = Omit<ExplanationStep, 'n'>;

export function explanationOf(told: Told): Explanation {
  const { policy, snapshot, choice } = told;
  const candidates = candidatesOf(told);
  const steps = [...removals(candidates), ...selection(told), ...fallbacks(told)];
  return {
    policy_id: policy.policyId,
    policy_revision: policy.revision,
    policy_version: policy.version,
    seed: told.seed,
    attempt: snapshot.attempt,
    ...(choice.how === 'none'
      ? { fallback_used: false }
      : {
          reason: choice.reason,
          priority: REASONS[choice.reason].priority,
          provider_id: choice.target.name,
          fallback_used: REASONS[choice.reason].fallbackUsed,
        }),
    steps: steps.map(({ stage, outcome, detail, data }, index) => ({
      n: index + 1,
      stage,
      outcome,
      detail,
      data,
    })),
    candidates,
  };
}

/** The document's providers in order, then a fallback that is only in the catalogue. */
function candidatesOf({ policy, facts, snapshot, choice }: Told): readonly Candidate[] {
  const chosen = choice.how === 'none' ? undefined : choice.target;
  const all: readonly Target[] =
    chosen === undefined || policy.targets.includes(chosen) ? policy.targets : [...policy.targets, chosen];
  return all.map((target): Candidate => {
    const by = removedBy(target, facts, snapshot.failed, snapshot);
    if (by !== undefined) return { provider_id: target.name, state: 'removed', by };
    const state = target === chosen ? 'chosen' : 'eligible';
    return { provider_id: target.name, state, weight: effectiveWeight(target, snapshot) };
  });
}

function removals(candidates: readonly Candidate[]): readonly Step[] {
  return Object.entries(FILTERS).flatMap(([stage, text]): Step[] => {
    const providers = candidates
      .filter((one) => one.state === 'removed' && one.by === stage)
      .map((one) => one.provider_id);
    if (providers.length === 0) return [];
    return [
      {
        stage,
        outcome: 'removed',
        detail: `${providers.join(', ')}: ${text}`,
        data: { providers },
      },
    ];
  });
}

function selection(told: Told): readonly Step[] {
  const { policy, choice } = told;
  const { strategy } = policy;
  switch (choice.how) {
    case 'bound':
      return [
        {
          stage: 'sticky',
          outcome: 'chosen',
          detail: `${choice.target.name}: bound to the session`,
          data: {},
        },
      ];
    case 'drawn': {
      const draw = choice.draw.toFixed(6);
      const drawn = { strategy, draw: Number(draw) };
      const tied = strategy === 'weighted' ? undefined : tiedBy(strategy, told);
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
      return [
        {
          stage: 'select',
          outcome: 'skipped',
          detail: 'no candidate with weight is left',
          data: { strategy },
        },
      ];
  }
}

/** The candidates between which the strategy let the draw decide. */
function tiedBy(strategy: Narrowing, { policy, facts, snapshot }: Told): readonly string[] {
  const shares = policy.targets.map((target) =>
    removedBy(target, facts, snapshot.failed, snapshot) === undefined ? effectiveWeight(target, snapshot) : REMOVED,
  );
  narrow(strategy, policy, facts, snapshot, shares);
  return policy.targets.filter((_, index) => (shares[index] ?? REMOVED) > 0).map(({ name }) => name);
}

function fallbacks({ policy, facts, snapshot, choice }: Told): readonly Step[] {
  if (choice.how !== 'fallback' && choice.how !== 'none') return [];
  const scope = emptyScope(facts, snapshot, choice.hasOpenBreaker);
  const steps: Step[] = [];
  for (const [item, fallback] of policy.fallbacks.entries()) {
    const refusal = refusalOf(fallback, scope, facts, snapshot);
    const data = { item, to: fallback.to.name };
    if (refusal === undefined)
      return [...steps, { stage: 'fallback', outcome: 'chosen', detail: `item ${item}: to ${data.to}`, data }];
    const because = refusal === 'condition' ? 'condition does not hold' : `${data.to}: ${FILTERS[refusal]}`;
    steps.push({ stage: 'fallback', outcome: 'skipped', detail: `item ${item}: ${because}`, data });
  }
  return steps;
}
