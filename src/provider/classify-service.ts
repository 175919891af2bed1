// What a provider service's failure means to us (contracts 4.13): its own code, else whether it may be tried again.
import type { ProviderReply } from '../contracts/provider-call.ts';
import type { BeamlineError, ErrorCode } from '../core/errors.ts';
import type { ExecutionCode, ExecutionFailure } from '../core/execution-errors.ts';
import { classifyRefusal, failureOf, protocolFailure } from './classify.ts';

const RETRY_AFTER_MAX_MS = 60_000;

/** Codes of ours that a service may say of itself; those of workers, routers and callers are not its own. */
const OWN: ReadonlySet<string> = new Set<ExecutionCode>([
  'CONTENT_BLOCKED',
  'CONTEXT_LENGTH_EXCEEDED',
  'MODEL_NOT_FOUND',
  'PROVIDER_AUTH_FAILED',
  'PROVIDER_RATE_LIMITED',
  'PROVIDER_UNAVAILABLE',
  'RESOURCE_UNAVAILABLE',
  'CONNECTION_TIMEOUT',
  'EXECUTION_FAILED',
]);

/** Words of extensions, of our answers, and of OpenAI's errors, where they are not those of a code of ours. */
const WORDS: Readonly<Record<string, string>> = {
  invalid_config: 'invalid_request_error',
  invalid_payload: 'invalid_request_error',
  invalid_request: 'invalid_request_error',
  invalid_input: 'invalid_request_error',
  content_blocked: 'content_filter',
  rate_limited: 'rate_limit_error',
  service_overloaded: 'overloaded_error',
  unavailable: 'service_unavailable',
  timeout: 'timeout_error',
};
const KNOWN = /^(invalid_request|not_found|rate_limit|timeout|authentication|permission|billing|overloaded)_error$/;
const PRECISE =
  /^([45]\d\d|context_length_exceeded|content_filter|insufficient_quota|model_not_found|rate_limit_exceeded|service_unavailable)$/;

type Said = NonNullable<ProviderReply['error']>;

export function classifyService({ code, message, retryable, retry_after_ms }: Said): ExecutionFailure {
  const retryAfterMs =
    retry_after_ms === undefined ? {} : { retryAfterMs: Math.min(retry_after_ms, RETRY_AFTER_MAX_MS) };
  const own = code.toUpperCase();
  if (OWN.has(own)) return { ...failureOf(own as ExecutionCode), ...retryAfterMs };
  const lower = code.toLowerCase();
  const word = Object.hasOwn(WORDS, lower) ? WORDS[lower] : lower;
  if (word !== undefined && (KNOWN.test(word) || PRECISE.test(word))) {
    return classifyRefusal({ error: { type: undefined, code: word, message }, ...retryAfterMs });
  }
  return { ...failureOf(retryable === true ? 'PROVIDER_UNAVAILABLE' : 'EXECUTION_FAILED', 'service'), ...retryAfterMs };
}

const NO_REPLY: Partial<Record<ErrorCode, ExecutionFailure>> = {
  timeout: failureOf('CONNECTION_TIMEOUT', 'first_chunk'),
  unavailable: failureOf('PROVIDER_UNAVAILABLE', 'no_service'),
  payload_too_large: failureOf('INVALID_INPUT', 'too_large'),
};

/** What the bus says where a service should have answered. */
export const classifyNoReply = ({ code }: BeamlineError): ExecutionFailure =>
  NO_REPLY[code] ?? protocolFailure('garbage');
