// What is said of an attempt outside its frames: the outcome for routers, the result for the ledger. Pure.
import type { ExecAssignment } from '../contracts/assignment.ts';
import type { Usage } from '../contracts/fields.ts';
import type { AttemptOutcome } from '../contracts/outcome.ts';
import type { ExecResult } from '../contracts/result.ts';
import { executionRow, type ExecutionFailure } from '../core/execution-errors.ts';

export type AttemptEnd =
  | {
      readonly state: 'succeeded';
      readonly usage: Usage | undefined;
      readonly finishReason: string | undefined;
      /** What a job made; a call sent it in frames. */
      readonly output?: unknown;
      /** Where it is, if it is too large for a message. */
      readonly outputRef?: string;
    }
  | {
      readonly state: 'failed' | 'timed_out' | 'cancelled';
      readonly failure: ExecutionFailure;
      /** Undefined when nothing was consumed. */
      readonly usage: Usage | undefined;
    };

export interface AttemptFacts {
  readonly assignment: ExecAssignment;
  readonly attempt: number;
  readonly workerId: string;
  readonly isCommitted: boolean;
  readonly latencyMs: number;
  readonly firstContentMs: number | undefined;
  readonly epochMs: number;
}

export function outcomeOf(facts: AttemptFacts, end: AttemptEnd | { readonly state: 'committed' }): AttemptOutcome {
  const { assignment } = facts;
  const outcome: AttemptOutcome = {
    version: '2',
    assignment_id: assignment.assignment_id,
    attempt: facts.attempt,
    request_id: assignment.request_id,
    tenant_id: assignment.tenant_id,
    provider_id: assignment.executor.provider_id,
    worker_id: facts.workerId,
    latency_ms: facts.latencyMs,
    timestamp_ms: facts.epochMs,
    state: end.state,
    committed: facts.isCommitted,
  };
  if (assignment.owner !== undefined) outcome.router_id = assignment.owner.router_id;
  if (facts.firstContentMs !== undefined) outcome.ttft_ms = facts.firstContentMs;
  if (assignment.shadow === true) outcome.shadow = true;
  if (end.state === 'committed') return outcome;
  if (end.state !== 'succeeded') outcome.error = outcomeError(end.failure);
  if (end.usage !== undefined) outcome.output_tokens = end.usage.output_tokens;
  if (assignment.shadow === true && end.usage !== undefined) outcome.cost_micro_usd = end.usage.cost_micro_usd;
  return outcome;
}

function outcomeError(failure: ExecutionFailure): NonNullable<AttemptOutcome['error']> {
  const row = executionRow(failure.code);
  return {
    class: row.class,
    code: failure.code,
    retryable: row.retryable,
    message: failure.message.slice(0, 1024),
    ...(failure.detailCode === undefined ? {} : { detail_code: failure.detailCode }),
    ...(failure.retryAfterMs === undefined ? {} : { retry_after_ms: Math.ceil(failure.retryAfterMs) }),
    ...(failure.httpStatus === undefined ? {} : { http_status: failure.httpStatus }),
  };
}

const STATUS = {
  succeeded: 'success',
  failed: 'error',
  timed_out: 'timeout',
  cancelled: 'cancelled',
} as const;

export function resultOf(facts: AttemptFacts, end: AttemptEnd): ExecResult {
  const { assignment } = facts;
  const { metadata } = assignment;
  const { type } = assignment.job;
  const result: ExecResult = {
    version: '1',
    assignment_id: assignment.assignment_id,
    request_id: assignment.request_id,
    tenant_id: assignment.tenant_id,
    status: STATUS[end.state],
    provider_id: assignment.executor.provider_id,
    job: metadata === undefined ? { type } : { type, metadata },
    latency_ms: facts.latencyMs,
    cost: (end.usage?.cost_micro_usd ?? 0) / 1e6,
    timestamp: facts.epochMs,
    attempt: facts.attempt,
    worker_id: facts.workerId,
    committed: facts.isCommitted,
  };
  const traceId = assignment.correlation?.trace_id;
  if (traceId !== undefined) result.trace_id = traceId;
  if (facts.firstContentMs !== undefined) result.ttft_ms = facts.firstContentMs;
  if (end.usage !== undefined) result.usage = end.usage;
  if (assignment.shadow === true) result.shadow = true;
  if (assignment.run_id !== undefined) result.run_id = assignment.run_id;
  if (assignment.flow_id !== undefined) result.flow_id = assignment.flow_id;
  if (assignment.step_id !== undefined) result.step_id = assignment.step_id;
  if (end.state === 'succeeded') {
    if (end.finishReason !== undefined) result.finish_reason = end.finishReason;
    if (end.output !== undefined) result.output = end.output;
    if (end.outputRef !== undefined) result.output_ref = end.outputRef;
    return result;
  }
  const { message, code, ...error } = outcomeError(end.failure);
  return Object.assign(result, { error_code: code, error_message: message, error });
}
