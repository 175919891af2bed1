// What a policy makes of one request: the decision, and where the request goes when its attempts fail one after another.
// Pure, as the decision is; waits are counted and not waited.
import { answerCode, EXECUTION_ERRORS, type ExecutionCode } from '../core/execution-errors.ts';
import { decide, type Verdict } from '../policy/decide.ts';
import type { Explanation } from '../policy/explanation.ts';
import type { Facts, Snapshot } from '../policy/facts.ts';
import { allFailed, begun, moved, retried } from '../policy/history.ts';
import { nextStep } from '../policy/next-step.ts';
import type { Policy } from '../policy/policy.ts';
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
  /** The provider of each attempt. */
  readonly tries: readonly string[];
  /** Of the last decision. */
  readonly explanation: Explanation | undefined;
}

export function runTrial(policy: Policy, { facts, snapshot, failures }: Trial): TrialOutcome {
  const first = decide(policy, facts, snapshot, true);
  if (first.kind === 'none') return { error: first.code, tries: [], explanation: first.explanation };
  let outcome = outcomeOf(first, []);
  let history = begun(first.target);
  let timeLeftMs = policy.timeoutMs;
  for (const given of failures) {
    const failure = failureOf(given);
    timeLeftMs -= given.after_ms ?? 0;
    const step = nextStep(policy, facts, history, failure, timeLeftMs, snapshot);
    const { tries, explanation } = outcome;
    if (step.kind === 'end') return { error: step.code, tries, explanation };
    timeLeftMs -= step.waitMs;
    if (step.kind === 'redraw') {
      const later = snapshotAfter(snapshot, history.attempt + 1, allFailed(history), failure, history.current.name);
      const verdict = decide(policy, facts, later, true);
      if (verdict.kind === 'none') return { error: answerCode(failure.code), tries, explanation: verdict.explanation };
      history = moved(history, verdict.target, verdict.reason === 'failover' ? 'failover' : 'fallback');
      outcome = outcomeOf(verdict, tries);
    } else {
      const { target, reason } = step;
      history = step.kind === 'again' ? retried(history, step.item) : moved(history, target, 'fallback');
      outcome = {
        provider: target.name,
        model: target.model ?? facts.model,
        reason,
        fallbackUsed: step.kind === 'to',
        tries: [...tries, target.name],
        explanation,
      };
    }
  }
  return outcome;
}

const outcomeOf = (verdict: Extract<Verdict, { kind: 'chosen' }>, tries: readonly string[]): TrialOutcome => ({
  provider: verdict.target.name,
  model: verdict.model,
  reason: verdict.reason,
  fallbackUsed: verdict.fallbackUsed,
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
