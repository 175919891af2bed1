// A code that came over the bus as the error of this house: total, nothing falls into `internal` unnamed (contracts 5.4).
import type { Failure } from '../contracts/failure.ts';
import type { ErrorFrame } from '../contracts/frames.ts';
import { BeamlineError, type ErrorCode, isErrorCode } from '../core/errors.ts';

/** Intake codes of a router, and codes whose meaning differs once the caller is known (gateway 6.3). */
const FOREIGN: Readonly<Record<string, ErrorCode>> = {
  SCHEMA_VALIDATION_FAILED: 'invalid_request',
  VERSION_UNSUPPORTED: 'invalid_request',
  CORRELATION_FIELDS_INVALID: 'invalid_request',
  PAYLOAD_TOO_SMALL: 'invalid_request',
  TENANT_FORBIDDEN: 'forbidden',
  IDEMPOTENCY_VIOLATION: 'idempotency_conflict',
  INTERNAL_VALIDATION_ERROR: 'internal',
  unauthorized: 'forbidden',
  rate_limited: 'rate_limit_exceeded',
  backpressure: 'service_overloaded',
  overloaded: 'service_overloaded',
  decision_failed: 'no_provider_available',
};

const codeOf = (code: string): ErrorCode | undefined => FOREIGN[code] ?? (isErrorCode(code) ? code : undefined);

/** A code that has no row here, and who said it; undefined for an error whose code is known. */
export function unmappedCode({
  details: { router_code: router, worker_code: worker },
}: BeamlineError): { readonly origin: 'router' | 'worker'; readonly code: string } | undefined {
  if (typeof router === 'string') return { origin: 'router', code: router };
  return typeof worker === 'string' ? { origin: 'worker', code: worker } : undefined;
}

/** Of a router's reply with `ok: false`. */
export function errorOfReply({ error }: { readonly error?: Failure }): BeamlineError {
  if (error === undefined) return new BeamlineError('invalid_reply', 'the router refused without a reason');
  const code =
    (error.intake_error_code === undefined ? undefined : FOREIGN[error.intake_error_code]) ?? codeOf(error.code);
  return new BeamlineError(
    code ?? 'internal',
    code === undefined ? 'the router answered an unknown code' : error.message,
    {
      details: {
        ...error.details,
        ...(error.intake_error_code === undefined ? {} : { intake_error_code: error.intake_error_code }),
        ...(code === undefined ? { router_code: error.code } : {}),
      },
      ...(error.retry_after_ms === undefined ? {} : { retryAfterMs: error.retry_after_ms }),
    },
  );
}

export function errorOfFrame({ error }: ErrorFrame): BeamlineError {
  const code = codeOf(error.code);
  return new BeamlineError(
    code ?? 'internal',
    code === undefined ? 'the worker answered an unknown code' : error.message,
    {
      details: {
        ...error.details,
        ...(error.detail_code === undefined ? {} : { detail_code: error.detail_code }),
        ...(code === undefined ? { worker_code: error.code } : {}),
      },
      ...(error.retry_after_ms === undefined ? {} : { retryAfterMs: error.retry_after_ms }),
    },
  );
}
