// How an attempt failed, as its worker told it or as its router states it.
import type { AttemptOutcome } from '../contracts/outcome.ts';
import { type ExecutionCode, executionRow } from '../core/execution-errors.ts';
import type { Failure } from '../policy/status-words.ts';

/** Repeats on another worker for one assignment (worker 7). */
export const WORKER_TRIES_MAX = 3;
const WORKER_CODES: ReadonlySet<string> = new Set(['WORKER_UNAVAILABLE', 'WORKER_LOST', 'SYSTEM_OVERLOAD']);

/** Whether it says something of our workers and nothing of the provider. */
export const isOfWorkers = ({ code }: Failure): boolean => WORKER_CODES.has(code);

/** A failure that the router itself states. */
export const statedFailure = (code: ExecutionCode): Failure => ({
  code,
  ...executionRow(code),
  committed: false,
});

export function failureOf({ error, state }: AttemptOutcome, isCommitted: boolean): Failure {
  const code = error?.code ?? (state === 'timed_out' ? 'CANCELLED_BY_TIMEOUT' : 'UNKNOWN_ERROR');
  return {
    code,
    class: executionRow(code).class,
    retryable: error?.retryable ?? executionRow(code).retryable,
    detailCode: error?.detail_code,
    httpStatus: error?.http_status,
    retryAfterMs: error?.retry_after_ms,
    committed: isCommitted,
  };
}
