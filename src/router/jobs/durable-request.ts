// A durable push as its record keeps it: one form for both versions of decide, and how long the job may live. Pure.
import type { DecideRequest, DecideRequestV1 } from '../../contracts/decide.ts';
import { assignmentIdOf, type JobRequest } from '../../contracts/job.ts';
import { DEADLINE_MAX_MS } from '../../contracts/limits.ts';
import { BeamlineError } from '../../core/errors.ts';
import { digestOf } from './job-digest.ts';

/** Attempts of version 1 without any limit (contracts 4.3). */
const V1_DEADLINE = { latencies: 5, minMs: 5_000, maxMs: 60_000 };
/** The record of a job that never ends must not expire before it. */
const HOUR_MS = 3_600_000;
const ID = /^[\x21-\x7e]{1,128}$/;

/** Whether decide asks for durable work: what is pushed has nowhere to be delivered to. */
export const isDurable = ({ push_assignment, deliver_to, options }: DecideRequest): boolean =>
  push_assignment === true && deliver_to === undefined && options?.dry_run !== true;

/** The request of version 2 that asks the same. */
export function fromV1(request: DecideRequestV1): DecideRequest {
  const { version: _, constraints, options, assignment_subject: __, ...rest } = request;
  const v2: DecideRequest = { ...rest, version: '2', push_assignment: true };
  if (constraints !== undefined) v2.constraints = constraints;
  if (options?.deadline_ms !== undefined) v2.deadline_ms = options.deadline_ms;
  const { priority, retry } = options ?? {};
  if (priority !== undefined) v2.options = { priority };
  if (retry !== undefined) v2.options = { ...v2.options, retry };
  return v2;
}

/** Milliseconds for an attempt of version 1 whose caller named no limit. */
export const v1DeadlineMs = (expectedLatencyMs = 0): number =>
  Math.min(V1_DEADLINE.maxMs, Math.max(V1_DEADLINE.minMs, V1_DEADLINE.latencies * Math.round(expectedLatencyMs)));

/** What the gateway and everybody after it know the job by. */
export function jobIdsOf({ tenant_id, job, idempotency_key, request_id }: DecideRequest) {
  const key = job?.id ?? idempotency_key ?? request_id;
  const assignmentId = assignmentIdOf(tenant_id, key);
  return { jobId: ID.test(key) ? key : assignmentId, assignmentId };
}

export interface Ordered {
  /** As it came: what a repeat is compared with. */
  readonly asked: DecideRequest;
  /** As pre-processors left it. */
  readonly prepared: DecideRequest;
  readonly routerId: string;
  readonly nowMs: number;
  readonly lifeMaxMs: number;
}

/** Throws `deadline_exceeded` and `invalid_request` for a life that is no life. */
export function recordOf({ asked, prepared, routerId, nowMs, lifeMaxMs }: Ordered): JobRequest {
  const { jobId, assignmentId } = jobIdsOf(asked);
  const { job, deadline_ms = DEADLINE_MAX_MS } = asked;
  const expiresAtMs = job?.expires_at_ms ?? nowMs + deadline_ms;
  if (expiresAtMs <= nowMs) throw new BeamlineError('deadline_exceeded', 'the job would be over before it begins');
  if (expiresAtMs > nowMs + lifeMaxMs) {
    throw new BeamlineError('invalid_request', `a job lives at most ${Math.floor(lifeMaxMs / HOUR_MS)} hours`);
  }
  const { reask: _, ...request } = prepared;
  return {
    version: '2',
    job_id: jobId,
    assignment_id: assignmentId,
    tenant_id: asked.tenant_id,
    request,
    digest: digestOf(asked),
    router_id: routerId,
    created_at_ms: nowMs,
    expires_at_ms: expiresAtMs,
  };
}
