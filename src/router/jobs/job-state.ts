// What becomes of a job, one pure step at a time: each gives the new state, or undefined where the step does not apply.
// S1. A terminal state never changes, but for its annotations and an attempt that nobody had written down before it.
// S2. Only the newest attempt moves the state; it ends once, and attempts are numbered without gaps.
// S3. An attempt is published only while none is out, so a late word of an older one is never taken for the newest.
import { isTerminal, type JobAttempt, type JobFailure, type JobRequest, type JobState } from '../../contracts/job.ts';
import type { Kept } from './job-history.ts';

type AttemptStatus = JobAttempt['status'];
export type TerminalStatus = 'succeeded' | 'failed' | 'timed_out' | 'cancelled';

/** How the attempt that is out has ended. */
export interface AttemptEnd {
  readonly attempt: number;
  readonly status: Exclude<AttemptStatus, 'published' | 'running'>;
  readonly workerId?: string | undefined;
  readonly error?: JobFailure | undefined;
  readonly costMicroUsd?: number | undefined;
  readonly result?: JobState['result'];
}

/** What follows the end of an attempt. */
export type Next =
  | { readonly kind: 'over'; readonly status: TerminalStatus; readonly error?: JobFailure | undefined }
  | { readonly kind: 'retry'; readonly atMs: number; readonly history: Kept };

/** An attempt that is on its stream. */
export interface PublishedAttempt {
  readonly attempt: number;
  readonly providerId: string;
  readonly model: string | undefined;
  readonly pool: string;
  readonly reason: string;
  /** Undefined if nobody knows. */
  readonly storedSeq: number | undefined;
  readonly dueAtMs: number;
  readonly policy: { readonly id: string; readonly revision: number } | undefined;
  readonly history: Kept | undefined;
}

/** The attempt whose end is awaited; undefined while none is. */
export function attemptOut({ attempts }: JobState): JobAttempt | undefined {
  const last = attempts.at(-1);
  return last?.status === 'published' || last?.status === 'running' ? last : undefined;
}

/** The state of a job that was accepted: queued, and not dispatched. */
export function begun(request: JobRequest): JobState {
  const { job_id, assignment_id, tenant_id, created_at_ms } = request;
  const { run_id, flow_id, step_id } = request.request;
  return {
    version: '2',
    job_id,
    assignment_id,
    tenant_id,
    status: 'queued',
    attempt: 0,
    attempts: [],
    cost_micro_usd: 0,
    transitions: [{ seq: 1, status: 'queued', at_ms: created_at_ms, attempt: 0 }],
    ...(run_id === undefined ? {} : { run_id }),
    ...(flow_id === undefined ? {} : { flow_id }),
    ...(step_id === undefined ? {} : { step_id }),
    created_at_ms,
    updated_at_ms: created_at_ms,
  };
}

/** It waits for a person or a moment before its first attempt. */
export function waits(
  state: JobState,
  waitingFor: NonNullable<JobState['waiting_for']>,
  untilMs: number,
  nowMs: number,
): JobState | undefined {
  if (state.status !== 'queued' || state.attempt > 0) return undefined;
  if (state.waiting_for === waitingFor && state.next_at_ms === untilMs) return undefined;
  return { ...state, waiting_for: waitingFor, next_at_ms: untilMs, updated_at_ms: nowMs };
}

/** A first attempt leaves the job queued until a worker has it; a further one goes on with a job that was shown as running. */
export function published(state: JobState, of: PublishedAttempt, nowMs: number): JobState | undefined {
  if (isTerminal(state.status) || attemptOut(state) !== undefined || of.attempt !== state.attempt + 1) return undefined;
  const { waiting_for: _, next_at_ms: __, ...rest } = state;
  const next: JobState = { ...rest, attempt: of.attempt, attempts: [...state.attempts, attemptOf(of, nowMs)] };
  if (of.history !== undefined) next.history = { ...of.history };
  if (of.policy !== undefined) Object.assign(next, { policy_id: of.policy.id, policy_revision: of.policy.revision });
  return moved(next, state.status === 'retry_wait' ? 'running' : state.status, nowMs);
}

/** The attempt that is out was sent again. */
export function sentAgain(
  state: JobState,
  { attempt, storedSeq }: { readonly attempt: number; readonly storedSeq: number },
  nowMs: number,
): JobState | undefined {
  const out = attemptOut(state);
  if (isTerminal(state.status) || out?.attempt !== attempt) return undefined;
  return { ...withAttempt(state, { ...out, stored_seq: storedSeq }), updated_at_ms: nowMs };
}

/** A worker has the attempt; another one may have it after a redelivery. */
export function accepted(
  state: JobState,
  of: { readonly attempt: number; readonly workerId: string | undefined; readonly dueAtMs: number },
  nowMs: number,
): JobState | undefined {
  const out = attemptOut(state);
  if (isTerminal(state.status) || out === undefined || out.attempt !== of.attempt) return undefined;
  if (out.status === 'running' && out.worker_id === of.workerId) return undefined;
  const running: JobAttempt = { ...out, status: 'running', started_at_ms: nowMs, due_at_ms: of.dueAtMs };
  if (of.workerId !== undefined) running.worker_id = of.workerId;
  return moved(withAttempt(state, running), 'running', nowMs);
}

/** The end of the attempt that is out. A job that was asked to stop makes no further attempt. */
export function ended(state: JobState, end: AttemptEnd, next: Next, nowMs: number): JobState | undefined {
  const out = attemptOut(state);
  if (isTerminal(state.status) || out === undefined || out.attempt !== end.attempt) return undefined;
  const over = overBy(out, end, nowMs);
  const told: JobState = { ...withAttempt(state, over), cost_micro_usd: state.cost_micro_usd + over.cost_micro_usd };
  if (next.kind === 'retry') {
    if (state.cancel !== undefined) return closed(told, 'cancelled', CANCELLED, nowMs);
    return moved({ ...told, next_at_ms: next.atMs, history: { ...next.history } }, 'retry_wait', nowMs);
  }
  if (next.status === 'succeeded' && end.result !== undefined) told.result = end.result;
  return closed(told, next.status, next.error, nowMs);
}

/** The end of an attempt that was sent, and not written down before its job was over: what it cost is told. */
export function addedLate(
  state: JobState,
  { of, end }: { readonly of: PublishedAttempt; readonly end: AttemptEnd },
  nowMs: number,
): JobState | undefined {
  if (!isTerminal(state.status) || of.attempt !== state.attempt + 1) return undefined;
  const over = overBy(attemptOf(of, nowMs), end, nowMs);
  return {
    ...state,
    attempt: of.attempt,
    attempts: [...state.attempts, over],
    cost_micro_usd: state.cost_micro_usd + over.cost_micro_usd,
    updated_at_ms: nowMs,
  };
}

/** Somebody wants no result. Without an attempt that is out this is the end; else its own end is. */
export function cancelAsked(state: JobState, reason: string, nowMs: number): JobState | undefined {
  if (isTerminal(state.status)) return undefined;
  const cancel = state.cancel ?? { reason, at_ms: nowMs };
  if (attemptOut(state) === undefined) return closed({ ...state, cancel }, 'cancelled', CANCELLED, nowMs);
  return state.cancel === undefined ? { ...state, cancel, updated_at_ms: nowMs } : undefined;
}

/** No attempt can be made, or none that is out can still matter. */
export function given(state: JobState, status: TerminalStatus, error: JobFailure, nowMs: number): JobState | undefined {
  if (isTerminal(state.status)) return undefined;
  const out = attemptOut(state);
  if (out === undefined) return closed(state, status, error, nowMs);
  const over: JobAttempt = { ...out, status: status === 'timed_out' ? 'timed_out' : 'failed', ended_at_ms: nowMs };
  return closed(withAttempt(state, over), status, error, nowMs);
}

/** Replaces what is given; the only change of a terminal state. */
export function annotated(
  state: JobState,
  { metadata, tags }: Pick<JobState, 'metadata' | 'tags'>,
  nowMs: number,
): JobState {
  const next: JobState = { ...state, updated_at_ms: nowMs };
  if (metadata !== undefined) next.metadata = metadata;
  if (tags !== undefined) next.tags = tags;
  return next;
}

const CANCELLED: JobFailure = { code: 'cancelled', message: 'the job was cancelled', retryable: false };

function attemptOf(of: PublishedAttempt, nowMs: number): JobAttempt {
  const { attempt, providerId, model, pool, reason, storedSeq, dueAtMs } = of;
  return {
    attempt,
    provider_id: providerId,
    ...(model === undefined ? {} : { model }),
    pool,
    reason,
    status: 'published',
    published_at_ms: nowMs,
    ...(storedSeq === undefined ? {} : { stored_seq: storedSeq }),
    due_at_ms: dueAtMs,
  };
}

function overBy(attempt: JobAttempt, end: AttemptEnd, nowMs: number): JobAttempt & { cost_micro_usd: number } {
  const { status, workerId, error, costMicroUsd: cost = 0 } = end;
  const over = { ...attempt, status, ended_at_ms: nowMs, cost_micro_usd: cost };
  if (workerId !== undefined) over.worker_id = workerId;
  if (error !== undefined) over.error = error;
  return over;
}

const withAttempt = (state: JobState, attempt: JobAttempt): JobState => ({
  ...state,
  attempts: [...state.attempts.slice(0, -1), attempt],
});

function closed(state: JobState, status: TerminalStatus, error: JobFailure | undefined, nowMs: number): JobState {
  const { waiting_for: _, next_at_ms: __, history: ___, ...rest } = state;
  const over: JobState = { ...rest, ended_at_ms: nowMs };
  if (error !== undefined && status !== 'succeeded') over.error = error;
  return moved(over, status, nowMs);
}

function moved(state: JobState, status: JobState['status'], nowMs: number): JobState {
  const last = state.transitions.at(-1);
  const next: JobState = { ...state, status, updated_at_ms: nowMs };
  if (last?.status === status) return next;
  const transition = { seq: (last?.seq ?? 0) + 1, status, at_ms: nowMs, attempt: state.attempt };
  return { ...next, transitions: [...state.transitions, transition] };
}
