// The end of an attempt as its worker tells it, in the words of the router. Workers of version 1 tell less.
import type { JobAttempt, JobState } from '../../contracts/job.ts';
import type { ExecResult } from '../../contracts/result.ts';
import { executionRow } from '../../core/execution-errors.ts';
import type { Failure } from '../../policy/status-words.ts';
import type { Ended } from '../decision-log.ts';
import type { AttemptEnd } from './job-state.ts';

export interface HeardEnd {
  /** Undefined from a worker that does not number attempts. */
  readonly attempt: number | undefined;
  readonly status: AttemptEnd['status'];
  readonly providerId: string;
  readonly model: string | undefined;
  readonly workerId: string | undefined;
  readonly costMicroUsd: number;
  readonly latencyMs: number | undefined;
  readonly ttftMs: number | undefined;
  readonly outputTokens: number | undefined;
  /** Undefined for a success. */
  readonly failure: Failure | undefined;
  readonly message: string;
  readonly result: JobState['result'];
}

const STATUS = { success: 'succeeded', error: 'failed', timeout: 'timed_out', cancelled: 'cancelled' } as const;
/** For a result that does not say why. */
const CODE = { error: 'UNKNOWN_ERROR', timeout: 'CANCELLED_BY_TIMEOUT', cancelled: 'CANCELLED_BY_USER' } as const;

export function heardEnd(result: ExecResult): HeardEnd {
  const {
    status,
    attempt,
    provider_id = 'worker',
    model,
    worker_id,
    usage,
    error_message,
    latency_ms,
    ttft_ms,
  } = result;
  return {
    attempt,
    status: STATUS[status],
    providerId: provider_id,
    model: model ?? usage?.model,
    workerId: worker_id,
    costMicroUsd: usage?.cost_micro_usd ?? 0,
    latencyMs: latency_ms,
    ttftMs: ttft_ms,
    outputTokens: usage?.output_tokens,
    failure: status === 'success' ? undefined : failureIn(result, result.error_code ?? CODE[status]),
    message: error_message ?? 'the attempt failed',
    result: status === 'success' ? resultIn(result) : undefined,
  };
}

function failureIn({ error }: ExecResult, code: string): Failure {
  const row = executionRow(code);
  return {
    code,
    class: row.class,
    retryable: error?.retryable ?? row.retryable,
    detailCode: error?.detail_code,
    httpStatus: error?.http_status,
    retryAfterMs: error?.retry_after_ms,
    // A job has no caller who could have seen a part of it.
    committed: false,
  };
}

function resultIn({ output, output_ref, model, finish_reason, usage }: ExecResult): NonNullable<JobState['result']> {
  const result: NonNullable<JobState['result']> = {};
  if (output !== undefined) result.output = output;
  if (output_ref !== undefined) result.output_ref = output_ref;
  if (model !== undefined) result.model = model;
  if (finish_reason !== undefined) result.finish_reason = finish_reason;
  if (usage !== undefined) result.usage = usage;
  return result;
}

/** As it is written down; without the word of a worker it took the time for which it was out. */
export function endedOf(end: JobAttempt, heard?: HeardEnd): Ended {
  const { attempt, provider_id, status, error, published_at_ms, ended_at_ms = published_at_ms } = end;
  const { latencyMs = ended_at_ms - published_at_ms, ttftMs, outputTokens } = heard ?? {};
  const code = error?.error_code ?? error?.code;
  return {
    attempt,
    provider_id,
    state: isEndState(status) ? status : 'failed',
    ...(code === undefined ? {} : { error: { code } }),
    latency_ms: latencyMs,
    ...(ttftMs === undefined ? {} : { ttft_ms: ttftMs }),
    ...(outputTokens === undefined ? {} : { output_tokens: outputTokens }),
  };
}

const isEndState = (status: JobAttempt['status']): status is 'succeeded' | 'timed_out' | 'cancelled' =>
  status === 'succeeded' || status === 'timed_out' || status === 'cancelled';
