// The closed table of answer codes: what went wrong, the HTTP status, and whether a later try may succeed.
// Sources: contracts 5.1 and the HTTP edge's own codes. One status and one retry flag per code, in every dialect.
// `as` is the code that HTTP callers see where it differs from the code on the bus.

interface ErrorRow {
  readonly http: number;
  readonly retry: boolean;
  readonly as?: string;
}

export const ERRORS = {
  invalid_request: { http: 400, retry: false },
  tenant_required: { http: 400, retry: false },
  unsupported_feature: { http: 400, retry: false },
  context_length_exceeded: { http: 400, retry: false },
  content_blocked: { http: 400, retry: false },
  unauthorized: { http: 401, retry: false },
  insufficient_credits: { http: 402, retry: false },
  forbidden: { http: 403, retry: false },
  validator_blocked: { http: 403, retry: false },
  not_found: { http: 404, retry: false },
  model_not_found: { http: 404, retry: false },
  policy_not_found: { http: 404, retry: false },
  extension_not_found: { http: 404, retry: false },
  method_not_allowed: { http: 405, retry: false },
  request_timeout: { http: 408, retry: true },
  conflict: { http: 409, retry: false },
  capacity_exceeded: { http: 409, retry: false },
  cancelled: { http: 409, retry: false },
  idempotency_conflict: { http: 409, retry: false },
  idempotency_in_progress: { http: 409, retry: true },
  gone: { http: 410, retry: false },
  precondition_failed: { http: 412, retry: false },
  request_too_large: { http: 413, retry: false },
  payload_too_large: { http: 413, retry: false, as: 'request_too_large' },
  unsupported_media_type: { http: 415, retry: false },
  validation_failed: { http: 422, retry: false },
  rate_limit_exceeded: { http: 429, retry: true },
  quota_exceeded: { http: 429, retry: true, as: 'rate_limit_exceeded' },
  budget_exceeded: { http: 429, retry: false },
  headers_too_large: { http: 431, retry: false },
  client_closed: { http: 499, retry: false },
  internal: { http: 500, retry: false },
  extension_error: { http: 500, retry: false },
  pre_processor_failed: { http: 500, retry: false },
  post_processor_failed: { http: 500, retry: false },
  execution_failed: { http: 500, retry: false },
  not_implemented: { http: 501, retry: false },
  provider_error: { http: 502, retry: false },
  provider_protocol_error: { http: 502, retry: false },
  provider_credentials: { http: 502, retry: false },
  worker_lost: { http: 502, retry: false },
  invalid_reply: { http: 502, retry: false },
  service_overloaded: { http: 503, retry: true },
  queue_full: { http: 429, retry: true, as: 'rate_limit_exceeded' },
  draining: { http: 503, retry: true },
  unavailable: { http: 503, retry: true },
  worker_unavailable: { http: 503, retry: true, as: 'unavailable' },
  no_provider_available: { http: 503, retry: true },
  provider_unavailable: { http: 503, retry: true },
  provider_rate_limited: { http: 503, retry: true },
  circuit_breaker_open: { http: 503, retry: true },
  extension_unavailable: { http: 503, retry: true },
  timeout: { http: 504, retry: false },
  deadline_exceeded: { http: 504, retry: false, as: 'timeout' },
  provider_timeout: { http: 504, retry: false, as: 'timeout' },
  extension_timeout: { http: 504, retry: false },
} as const satisfies Record<string, ErrorRow>;

export type ErrorCode = keyof typeof ERRORS;

export interface ErrorOptionsMore extends ErrorOptions {
  readonly details?: Readonly<Record<string, unknown>>;
  /** Milliseconds after which a retry may succeed; a hint, not a promise. */
  readonly retryAfterMs?: number;
}

/** The one error that crosses a room: a code of the table, a text for people, and the cause. */
export class BeamlineError extends Error {
  override readonly name = 'BeamlineError';
  readonly code: ErrorCode;
  readonly details: Readonly<Record<string, unknown>>;
  readonly retryAfterMs: number | undefined;

  constructor(code: ErrorCode, message: string, options: ErrorOptionsMore = {}) {
    super(message, options);
    this.code = code;
    this.details = options.details ?? {};
    this.retryAfterMs = options.retryAfterMs;
  }

  /** Wraps whatever was thrown; what is not ours becomes `internal`, with the original as the cause. */
  static from(thrown: unknown): BeamlineError {
    if (thrown instanceof BeamlineError) return thrown;
    return new BeamlineError('internal', 'an unexpected fault', { cause: thrown });
  }
}

export const isErrorCode = (code: string): code is ErrorCode => Object.hasOwn(ERRORS, code);

/** The row of a code; a code we do not know reads as `internal` (error codes are an open set on the wire). */
export const errorRow = (code: string): ErrorRow => (isErrorCode(code) ? ERRORS[code] : ERRORS.internal);
