// What a policy makes of one request: the decision, and where the request goes when its attempts fail one after another.
// Pure, as the decision is; waits are counted and not waited.
import { answerCode, EXECUTION_ERRORS, type ExecutionCode } from '../core/execution-errors.ts';
import { decide, type Verdict } from '../policy/decide.ts';
import type { Explanation } from '../policy/explanation.ts';
import type { Facts, Snapshot } from '../policy/facts.ts';
import { allFailed, begun, moved, retried } from '../policy/history.ts';
import { nextStep } from '../policy/next-step.ts';
import type { Policy } from '../policy/policy.ts';
import { REASONS } from '../policy/reasons.ts';
import { type Failure, statusWords } from '../policy/status-words.ts';

/** How one attempt fails. */
export interface TrialFailure {
  readonly code: ExecutionCode;
  readonly http_status?: number;
  readonly retry_after_ms?: number;
  /** The first chunk had reached the caller. */
  readonly committed?: boolean;
  /** How long the attempt had run. */
  readonly after_ms?: number;
}

export interface Trial {
  readonly facts: Facts;
  readonly snapshot: Snapshot;
  /** The failures of the first attempts, in order. */
  readonly failures: readonly TrialFailure[];
}

/** Where the request is in the end; `provider` and what belongs to it are absent if nobody serves it. */
export interface TrialOutcome {
  readonly provider?: string;
  readonly model?: string | undefined;
  readonly reason?: string;
  readonly fallbackUsed?: boolean;
  readonly error?: string;
  /** Of the rules that matched and of the arms that the request is in, `experiment/arm`. */
  readonly tags: readonly string[];
  readonly arms: readonly string[];
  /** The provider of each attempt. */
  readonly tries: readonly string[];
  /** Of the last decision. */
  readonly explanation: Explanation | undefined;
}

export function runTrial(policy: Policy, { facts, snapshot, failures }: Trial): TrialOutcome {
  const first = decide(policy, facts, snapshot, true);
  if (first.kind === 'none') return { ...NOTHING, error: first.code, explanation: first.explanation };
  let outcome = outcomeOf(first, []);
  let history = begun(first.target);
  let timeLeftMs = Math.min(first.timeoutMs, facts.deadlineMs ?? first.timeoutMs);
  for (const given of failures) {
    const failure = failureOf(given);
    timeLeftMs -= given.after_ms ?? 0;
    const step = nextStep(policy, facts, history, failure, timeLeftMs, snapshot);
    if (step.kind === 'end') return endedBy(step.code, outcome, outcome.explanation);
    timeLeftMs -= step.waitMs;
    if (step.kind === 'redraw') {
      const later = snapshotAfter(snapshot, history.attempt + 1, allFailed(history), failure, history.current.name);
      const verdict = decide(policy, facts, later, true);
      if (verdict.kind === 'none') return endedBy(answerCode(failure.code), outcome, verdict.explanation);
      history = moved(history, verdict.target, verdict.reason === 'failover' ? 'failover' : 'fallback');
      outcome = outcomeOf(verdict, outcome.tries);
    } else {
      const { target, reason } = step;
      history = step.kind === 'again' ? retried(history, step.item) : moved(history, target, step.reason);
      outcome = {
        ...outcome,
        provider: target.name,
        model: target.model ?? facts.model,
        reason,
        fallbackUsed: REASONS[reason].fallbackUsed,
        tries: [...outcome.tries, target.name],
      };
    }
  }
  return outcome;
}

const NOTHING = { tags: [], arms: [], tries: [] } as const;

const endedBy = (
  error: string,
  { tags, arms, tries }: TrialOutcome,
  explanation: Explanation | undefined,
): TrialOutcome => ({ error, tags, arms, tries, explanation });

const outcomeOf = (verdict: Extract<Verdict, { kind: 'chosen' }>, tries: readonly string[]): TrialOutcome => ({
  provider: verdict.target.name,
  model: verdict.model,
  reason: verdict.reason,
  fallbackUsed: verdict.fallbackUsed,
  tags: verdict.tags,
  arms: verdict.arms.map(({ experiment, arm }) => `${experiment}/${arm}`),
  tries: [...tries, verdict.target.name],
  explanation: verdict.explanation,
});

const snapshotAfter = (
  snapshot: Snapshot,
  attempt: number,
  failed: ReadonlySet<string>,
  failure: Failure,
  currentProvider: string,
): Snapshot => ({
  ...snapshot,
  attempt,
  failed,
  failureWords: statusWords(failure),
  errorClass: failure.class,
  currentProvider,
});

const failureOf = (given: TrialFailure): Failure => ({
  code: given.code,
  class: EXECUTION_ERRORS[given.code].class,
  retryable: EXECUTION_ERRORS[given.code].retryable,
  httpStatus: given.http_status,
  retryAfterMs: given.retry_after_ms,
  committed: given.committed ?? false,
});
