// What the router itself says about an attempt: to the caller when none is left, and to the worker when it is to stop.
// What the bus refuses is told in the log: the caller hears the silence, and the worker has the deadline.
import { tryPublish } from '../bus/try-publish.ts';
import { cancel, type Cancel, type CancelReason } from '../contracts/cancel.ts';
import { type Address, at } from '../contracts/contract.ts';
import type { ErrorFrame, frames, StreamFrame } from '../contracts/frames.ts';
import type { Correlation } from '../contracts/headers.ts';
import { TEXT_CHARS_MAX } from '../contracts/limits.ts';
import { errorRow, type ErrorCode } from '../core/errors.ts';
import type { Failure } from '../policy/status-words.ts';
import type { Ordered } from './assignment-of.ts';
import type { AttemptsDeps } from './attempts-deps.ts';

const cancelTo = at(cancel);

type Speaking = Pick<AttemptsDeps, 'bus' | 'timers' | 'telemetry'>;

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

export function sendError(
  { bus, telemetry }: Speaking,
  to: Address<typeof frames>,
  frame: ErrorFrame,
  { request }: Ordered,
  correlation: Correlation,
): void {
  const fault = tryPublish(bus, to, frame, correlation);
  if (fault !== undefined) {
    telemetry.log.warn('error_frame_not_sent', { request_id: request.request_id, fault });
  }
}

export function sendCancel(
  { bus, timers, telemetry }: Speaking,
  ordered: Ordered,
  attempt: number,
  reason: CancelReason,
  correlation: Correlation,
): void {
  if (bus.state !== 'connected') return;
  const message = cancelOf(ordered, attempt, timers.clock.epochMs(), reason);
  const fault = tryPublish(bus, cancelTo, message, correlation);
  if (fault === undefined) return;
  telemetry.log.warn('attempt_cancel_not_sent', { request_id: ordered.request.request_id, fault });
}

const cancelOf = (
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
