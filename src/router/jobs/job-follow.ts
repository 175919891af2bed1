// What follows a failed attempt of a job: another one by the policy (policy 7.1), or the end. Pure but for what it is given.
import { type JobFailure, type JobRequest } from '../../contracts/job.ts';
import { DEADLINE_MIN_MS, TEXT_CHARS_MAX } from '../../contracts/limits.ts';
import type { ErrorCode } from '../../core/errors.ts';
import { errorRow } from '../../core/errors.ts';
import { answerCode } from '../../core/execution-errors.ts';
import { backoffMs } from '../../policy/backoff.ts';
import { draw } from '../../policy/draw.ts';
import { type Facts, type Live, seedOf } from '../../policy/facts.ts';
import { nextStep, type Step } from '../../policy/next-step.ts';
import type { Policy } from '../../policy/policy.ts';
import type { Failure } from '../../policy/status-words.ts';
import { isOfWorkers, WORKER_TRIES_MAX } from '../attempt-failure.ts';
import { historyOf, keptFailure, keptTarget, type Kept, type NextTry } from './job-history.ts';
import { isRouted } from './job-target.ts';

export interface FailedTry {
  readonly request: JobRequest;
  readonly policy: Policy;
  readonly facts: Facts;
  readonly live: Live;
  readonly kept: Kept;
  readonly failure: Failure;
  /** For people, redacted. */
  readonly message: string;
  readonly timeLeftMs: number;
  /** The retry budget of the policy has room. */
  readonly mayRetry: boolean;
  /** No worker ever took the attempt: another one costs nothing, however often. */
  readonly isUnclaimed: boolean;
}

export type Follow =
  | { readonly kind: 'over'; readonly error: JobFailure }
  | { readonly kind: 'retry'; readonly waitMs: number; readonly kept: Kept };

export function followOf(of: FailedTry): Follow {
  const { kept, failure, timeLeftMs, isUnclaimed } = of;
  const isFleet = isOfWorkers(failure) && (isUnclaimed || kept.worker_tries < WORKER_TRIES_MAX);
  if (isFleet && timeLeftMs >= DEADLINE_MIN_MS) {
    const tries = kept.worker_tries + (isUnclaimed ? 0 : 1);
    return { kind: 'retry', waitMs: 0, kept: keepFor(of, { kind: 'same' }, tries) };
  }
  return isRouted(of.request.request.task.type) ? byPolicy(of) : byCount(of);
}

function byPolicy(of: FailedTry): Follow {
  const { policy, facts, kept, failure, timeLeftMs, live } = of;
  const step = nextStep(policy, facts, historyOf(kept, policy), failure, timeLeftMs, live);
  if (step.kind === 'end') return over(of, step.code);
  if (!of.mayRetry) return over(of, undefined, 'retry_budget_exhausted');
  return { kind: 'retry', waitMs: step.waitMs, kept: keepFor(of, nextOf(step)) };
}

/** A block is not routed: it is tried again as often as its caller allows, with the waits of the policy. */
function byCount(of: FailedTry): Follow {
  const { request, policy, facts, kept, failure, timeLeftMs } = of;
  const attemptsMax = request.request.options?.retry?.max_attempts ?? 1;
  if (!failure.retryable || kept.counted >= attemptsMax) return over(of);
  const chance = draw(seedOf(facts), kept.attempt + 1, 'backoff');
  const waitMs = backoffMs(policy.retry.backoff, kept.counted, chance, facts.backoffMs);
  if (timeLeftMs < waitMs + DEADLINE_MIN_MS) return over(of);
  return { kind: 'retry', waitMs, kept: keepFor(of, { kind: 'again', item: 0 }) };
}

const over = (of: FailedTry, code?: ErrorCode, detailCode?: string): Follow => ({
  kind: 'over',
  error: failureTold(of.failure, of.message, code, detailCode),
});

const keepFor = ({ kept, failure }: FailedTry, next: NextTry, workerTries = kept.worker_tries): Kept => ({
  ...kept,
  worker_tries: workerTries,
  next,
  failure: keptFailure(failure),
});

function nextOf(step: Exclude<Step, { kind: 'end' }>): NextTry {
  switch (step.kind) {
    case 'again':
      return { kind: 'again', item: step.item };
    case 'to': {
      const why = step.reason === 'escalated' ? step.why : undefined;
      const next = { kind: 'to', target: keptTarget(step.target), reason: step.reason } as const;
      return why === undefined ? next : { ...next, why };
    }
    case 'redraw':
      return { kind: 'redraw' };
  }
}

/** A failure as the record of a job tells it; `code` where another one than the failure's own is the answer. */
export function failureTold(
  { code: errorCode, detailCode: detail }: Pick<Failure, 'code' | 'detailCode'>,
  message: string,
  code: ErrorCode = answerCode(errorCode, detail),
  detailCode = detail,
): JobFailure {
  return {
    code,
    error_code: errorCode,
    message: message.slice(0, TEXT_CHARS_MAX),
    retryable: errorRow(code).retry,
    ...(detailCode === undefined ? {} : { detail_code: detailCode }),
  };
}
