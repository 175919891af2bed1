// The one way from an error to an HTTP answer: status, envelope of the dialect, and what a client needs to retry
// (gateway 5.2, 6). Every refusal of the edge and every failure behind it goes through here.
import { type BeamlineError, errorRow } from '../core/errors.ts';
import { openAiError } from '../dialect/openai-error.ts';
import { sseData } from '../dialect/sse-writer.ts';
import type { HttpDialect } from './http-dialect.ts';

/** What an envelope repeats of the request; empty where unknown. */
export interface ErrorContext {
  readonly requestId: string;
  readonly traceId: string;
  readonly tenantId: string;
}

export interface ErrorAnswer {
  readonly status: number;
  /** The code that callers see, which may be wider than the one on the bus. */
  readonly code: string;
  readonly headers: readonly string[];
  readonly body: string;
}

interface Facts {
  readonly code: string;
  readonly message: string;
  readonly details: Readonly<Record<string, unknown>>;
}

const RETRY_AFTER_MS = 1_000;
/** A client that must wait longer shall not retry by itself. */
const PATIENCE_MS = 60_000;

export function errorAnswer(error: BeamlineError, dialect: HttpDialect, context: ErrorContext): ErrorAnswer {
  const row = errorRow(error.code);
  const code = row.as ?? error.code;
  const isTimed = row.http === 429 || row.http === 503 || code === 'idempotency_in_progress';
  const waitMs = isTimed ? Math.max(1, Math.ceil(error.retryAfterMs ?? RETRY_AFTER_MS)) : 0;
  const headers = [
    'content-type',
    dialect === 'native' ? 'application/problem+json' : 'application/json',
    'x-should-retry',
    row.retry && waitMs <= PATIENCE_MS ? 'true' : 'false',
  ];
  if (isTimed) {
    headers.push('retry-after', String(Math.ceil(waitMs / 1000)), 'retry-after-ms', String(waitMs));
  }
  const details = isTimed ? { ...error.details, retry_after_seconds: Math.ceil(waitMs / 1000) } : error.details;
  const body = ENVELOPES[dialect]({ code, message: messageOf(error), details }, row.http, context);
  return { status: row.http, code, headers, body: JSON.stringify(body) };
}

/** The last event of an OpenAI stream that failed after its head. */
export const openAiErrorEvent = (error: BeamlineError, requestId: string): string =>
  sseData(
    JSON.stringify(openAiError({ code: error.code, message: messageOf(error), details: error.details }, requestId)),
  );

/** The text of a defect names internals; it belongs in the log. */
const messageOf = (error: BeamlineError): string =>
  error.code === 'internal' ? 'An internal fault; the request id finds it in the log.' : error.message;

const ANTHROPIC_TYPES: Readonly<Record<number, string>> = {
  401: 'authentication_error',
  402: 'billing_error',
  403: 'permission_error',
  404: 'not_found_error',
  413: 'request_too_large',
  429: 'rate_limit_error',
  503: 'overloaded_error',
  504: 'timeout_error',
};

const ENVELOPES: Record<HttpDialect, (facts: Facts, status: number, context: ErrorContext) => unknown> = {
  openai: (facts, _status, { requestId }) => openAiError(facts, requestId),
  anthropic: ({ message }, status, { requestId }) => ({
    type: 'error',
    error: { type: ANTHROPIC_TYPES[status] ?? (status < 500 ? 'invalid_request_error' : 'api_error'), message },
    request_id: requestId,
  }),
  native: ({ code, message, details: { intake_error_code: intake = null, ...details } }, status, context) => ({
    type: `urn:beamline:error:${code}`,
    title: code.charAt(0).toUpperCase() + code.slice(1).replaceAll('_', ' '),
    status,
    ok: false,
    error: { code, message, intake_error_code: intake, details },
    context: { request_id: context.requestId, trace_id: context.traceId, tenant_id: context.tenantId },
  }),
};
