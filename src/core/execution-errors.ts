// Execution codes of an attempt (contracts 5.3): retries, fallbacks and breakers read the class, never the text.
import type { ErrorCode } from './errors.ts';

/** What kind of failure an attempt had; the only thing that routing decides on. */
export type FailureClass = 'validation' | 'execution' | 'limit' | 'unavailable' | 'timeout' | 'cancelled';

interface ExecutionRow {
  readonly class: FailureClass;
  readonly retryable: boolean;
  readonly answer: ErrorCode;
}

export const EXECUTION_ERRORS = {
  INVALID_INPUT: { class: 'validation', retryable: false, answer: 'invalid_request' },
  MISSING_REQUIRED_FIELD: { class: 'validation', retryable: false, answer: 'invalid_request' },
  INVALID_FORMAT: { class: 'validation', retryable: false, answer: 'invalid_request' },
  UNKNOWN_JOB_TYPE: { class: 'validation', retryable: false, answer: 'invalid_request' },
  UNSUPPORTED_VERSION: { class: 'validation', retryable: false, answer: 'invalid_request' },
  CONTENT_BLOCKED: { class: 'validation', retryable: false, answer: 'content_blocked' },
  CONTEXT_LENGTH_EXCEEDED: { class: 'validation', retryable: false, answer: 'context_length_exceeded' },
  MODEL_NOT_FOUND: { class: 'validation', retryable: false, answer: 'model_not_found' },
  EXECUTION_FAILED: { class: 'execution', retryable: false, answer: 'execution_failed' },
  OUTPUT_TOO_LARGE: { class: 'execution', retryable: false, answer: 'execution_failed' },
  PERMISSION_DENIED: { class: 'execution', retryable: false, answer: 'forbidden' },
  SANDBOX_VIOLATION: { class: 'execution', retryable: false, answer: 'forbidden' },
  PROVIDER_AUTH_FAILED: { class: 'execution', retryable: false, answer: 'provider_credentials' },
  POST_PROCESSOR_FAILED: { class: 'execution', retryable: false, answer: 'post_processor_failed' },
  INTERNAL_ERROR: { class: 'execution', retryable: false, answer: 'internal' },
  DELIVERY_EXHAUSTED: { class: 'execution', retryable: false, answer: 'internal' },
  UNKNOWN_ERROR: { class: 'execution', retryable: false, answer: 'internal' },
  QUOTA_EXCEEDED: { class: 'limit', retryable: false, answer: 'quota_exceeded' },
  BUDGET_EXCEEDED: { class: 'limit', retryable: false, answer: 'budget_exceeded' },
  PROVIDER_RATE_LIMITED: { class: 'limit', retryable: true, answer: 'provider_rate_limited' },
  SYSTEM_OVERLOAD: { class: 'limit', retryable: true, answer: 'service_overloaded' },
  RESOURCE_UNAVAILABLE: { class: 'unavailable', retryable: true, answer: 'unavailable' },
  NETWORK_ERROR: { class: 'unavailable', retryable: true, answer: 'provider_error' },
  PROVIDER_UNAVAILABLE: { class: 'unavailable', retryable: true, answer: 'provider_unavailable' },
  PROVIDER_PROTOCOL_ERROR: { class: 'unavailable', retryable: true, answer: 'provider_protocol_error' },
  WORKER_UNAVAILABLE: { class: 'unavailable', retryable: true, answer: 'worker_unavailable' },
  WORKER_LOST: { class: 'unavailable', retryable: true, answer: 'worker_lost' },
  STREAM_INTERRUPTED: { class: 'unavailable', retryable: false, answer: 'provider_error' },
  CONNECTION_TIMEOUT: { class: 'timeout', retryable: true, answer: 'provider_timeout' },
  CANCELLED_BY_TIMEOUT: { class: 'timeout', retryable: true, answer: 'provider_timeout' },
  CANCELLED_BY_USER: { class: 'cancelled', retryable: false, answer: 'cancelled' },
} as const satisfies Record<string, ExecutionRow>;

export type ExecutionCode = keyof typeof EXECUTION_ERRORS;

/** How an attempt failed. `message` is redacted: no upstream body, address, key or header. */
export interface ExecutionFailure {
  readonly code: ExecutionCode;
  readonly message: string;
  /** Refines the code, for example which limit of a CONNECTION_TIMEOUT passed. */
  readonly detailCode?: string;
  readonly retryAfterMs?: number;
  /** The upstream's status, repeated. */
  readonly httpStatus?: number;
  /** Hex digest of what the upstream wrote, for the log alone: its words go nowhere. */
  readonly originalSha256?: string;
}

const isExecutionCode = (code: string): code is ExecutionCode => Object.hasOwn(EXECUTION_ERRORS, code);

/** The row of a code; any other code is read as UNKNOWN_ERROR. */
export const executionRow = (code: string): ExecutionRow =>
  isExecutionCode(code) ? EXECUTION_ERRORS[code] : EXECUTION_ERRORS.UNKNOWN_ERROR;

/** The code that answers the caller. A cut stream and a refused bill answer by their detail. */
export function answerCode(code: string, detailCode?: string): ErrorCode {
  if (code === 'PROVIDER_AUTH_FAILED' && detailCode === 'billing') return 'insufficient_credits';
  if (code === 'STREAM_INTERRUPTED' && detailCode !== undefined && isExecutionCode(detailCode)) {
    return EXECUTION_ERRORS[detailCode].answer;
  }
  return executionRow(code).answer;
}
