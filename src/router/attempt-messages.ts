// What the router itself says about an attempt: to the caller when none is left, and to the worker when it is to stop. Pure.
import type { Cancel, CancelReason } from '../contracts/cancel.ts';
import type { ErrorFrame, StreamFrame } from '../contracts/frames.ts';
import { TEXT_CHARS_MAX } from '../contracts/limits.ts';
import { errorRow, type ErrorCode } from '../core/errors.ts';
import type { Failure } from '../policy/status-words.ts';
import type { Ordered } from './assignment-of.ts';

/** The part of a frame that says whose it is. */
export type Head = Pick<StreamFrame, 'assignment_id' | 'attempt' | 'seq' | 'origin'>;

export function errorFrameOf(
  head: Head,
  of: {
    readonly code: ErrorCode;
    readonly message: string;
    readonly failure: Failure | undefined;
    readonly details: Readonly<Record<string, unknown>> | undefined;
  },
): ErrorFrame {
  const { code, message, details } = of;
  const { retryAfterMs, detailCode } = of.failure ?? {};
  return {
    type: 'error',
    ...head,
    error: {
      code,
      message: message.slice(0, TEXT_CHARS_MAX),
      retryable: errorRow(code).retry,
      ...(retryAfterMs === undefined ? {} : { retry_after_ms: Math.ceil(retryAfterMs) }),
      ...(detailCode === undefined ? {} : { detail_code: detailCode }),
      ...(details === undefined ? {} : { details }),
    },
    committed: false,
  };
}

export const cancelOf = (
  { request, assignmentId }: Ordered,
  attempt: number,
  requestedAtMs: number,
  reason: CancelReason,
): Cancel => ({
  version: '2',
  tenant_id: request.tenant_id,
  assignment_id: assignmentId,
  attempt,
  requested_at_ms: requestedAtMs,
  reason,
});
