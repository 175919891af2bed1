// A job as callers see it (gateway 14.1): the states of its record in the words of the API, times as text.
import { isTerminal, type JobFailure, type JobState } from '../../contracts/job.ts';
import type { JsonSchema } from '../route.ts';
import type { JobRecord } from './job-records.ts';

export const SHOWN_STATUSES = [
  'pending',
  'processing',
  'waiting',
  'completed',
  'failed',
  'cancelled',
  'expired',
] as const;
export type ShownStatus = (typeof SHOWN_STATUSES)[number];

/** Worker 4, "Job state" and "Shown by the gateway". */
const SHOWN: Readonly<Record<JobState['status'], ShownStatus>> = {
  queued: 'pending',
  running: 'processing',
  retry_wait: 'processing',
  succeeded: 'completed',
  failed: 'failed',
  timed_out: 'expired',
  cancelled: 'cancelled',
};

const isStatus = (status: string): status is JobState['status'] => Object.hasOwn(SHOWN, status);

export function shownStatus(state: Pick<JobState, 'status' | 'waiting_for'> | undefined): ShownStatus {
  if (state === undefined) return 'pending';
  return state.status === 'queued' && state.waiting_for === 'approval' ? 'waiting' : SHOWN[state.status];
}

/** The status of a transition; one that we do not know is shown as it is. */
export const shownWord = (status: string): string => (isStatus(status) ? SHOWN[status] : status);

export const timeOf = (ms: number): string => new Date(ms).toISOString();

const text = { type: 'string' };
const integer = { type: 'integer' };
const optionalText = { type: ['string', 'null'] };

/** Of a whole job; in a list the result is left out. */
export const jobSchema: JsonSchema = {
  type: 'object',
  required: ['id', 'tenant_id', 'type', 'status', 'attempts', 'metadata', 'tags', 'created_at', 'updated_at'],
  properties: {
    id: text,
    tenant_id: text,
    type: text,
    status: { enum: [...SHOWN_STATUSES] },
    waiting_for: text,
    policy_id: optionalText,
    revision: { type: ['integer', 'null'] },
    priority: integer,
    attempts: { type: 'array', items: { type: 'object', required: ['attempt', 'provider', 'status'] } },
    metadata: { type: 'object' },
    tags: { type: 'array', items: text },
    trace_id: optionalText,
    idempotency_key: optionalText,
    retry_of: text,
    webhook: text,
    run_id: text,
    flow_id: text,
    step_id: text,
    created_at: text,
    updated_at: text,
    run_at: text,
    expires_at: text,
    ended_at: text,
    result: { description: 'Null until the job completed; absent in lists.' },
    result_ref: { type: 'string', description: 'Where the output is read that is too large for this answer.' },
    error: { type: ['object', 'null'], properties: { code: text, message: text, retryable: { type: 'boolean' } } },
    cost_micro_usd: integer,
  },
};

type View = Record<string, unknown>;

export const typeOf = ({ request: { request } }: JobRecord): string => request.job?.type ?? request.task.type;

export const tagsOf = ({ request: { request }, state }: JobRecord): readonly string[] =>
  state?.tags ?? request.job?.tags ?? [];

/** Without its result, as lists show it. */
export function listedJob(record: JobRecord): View {
  const { request: accepted, state } = record;
  const { request } = accepted;
  const { job } = request;
  const view: View = {
    id: accepted.job_id,
    tenant_id: accepted.tenant_id,
    type: typeOf(record),
    status: shownStatus(state),
    policy_id: state?.policy_id ?? request.policy_id ?? null,
    revision: state?.policy_revision ?? null,
    attempts: state?.attempts.map(attemptOf) ?? [],
    metadata: state?.metadata ?? request.metadata ?? {},
    tags: tagsOf(record),
    trace_id: request.trace_id ?? null,
    idempotency_key: job?.idempotency_key ?? null,
    created_at: timeOf(accepted.created_at_ms),
    updated_at: timeOf(state?.updated_at_ms ?? accepted.created_at_ms),
    expires_at: timeOf(accepted.expires_at_ms),
    error: state?.error === undefined ? null : errorOf(state.error),
    cost_micro_usd: state?.cost_micro_usd ?? 0,
  };
  const more: Readonly<Record<string, unknown>> = {
    waiting_for: state?.waiting_for,
    priority: request.options?.priority,
    retry_of: job?.retry_of,
    webhook: job?.webhook_id,
    run_id: request.run_id,
    flow_id: request.flow_id,
    step_id: request.step_id,
    run_at: job?.run_at_ms === undefined ? undefined : timeOf(job.run_at_ms),
    cancel_requested: state?.cancel === undefined || isTerminal(state.status) ? undefined : true,
    ended_at: state?.ended_at_ms === undefined ? undefined : timeOf(state.ended_at_ms),
  };
  for (const [name, value] of Object.entries(more)) if (value !== undefined) view[name] = value;
  return view;
}

/** The whole job. The result of one that a dialect ordered is that dialect's answer. */
export function shownJob(record: JobRecord): View {
  const view: View = { ...listedJob(record), result: resultOf(record) };
  const { request, state } = record;
  // What is beside the record is read at an address of its own.
  if (state?.result?.output_ref !== undefined) view['result_ref'] = `/api/v1/jobs/${request.job_id}/result`;
  return view;
}

export function resultOf({ request, state }: JobRecord): unknown {
  const result = state?.result;
  if (state?.status !== 'succeeded' || result === undefined) return null;
  if (request.request.job?.answer_as !== undefined && result.output_ref === undefined) return result.output ?? null;
  return result;
}

const errorOf = ({ code, message, retryable, error_code, detail_code }: JobFailure): View => ({
  code,
  message,
  retryable,
  ...(error_code === undefined ? {} : { error_code }),
  ...(detail_code === undefined ? {} : { detail_code }),
});

function attemptOf(attempt: JobState['attempts'][number]): View {
  const { provider_id, model, status, started_at_ms, ended_at_ms, error, cost_micro_usd } = attempt;
  return {
    attempt: attempt.attempt,
    provider: provider_id,
    model: model ?? null,
    status,
    started_at: started_at_ms === undefined ? null : timeOf(started_at_ms),
    ended_at: ended_at_ms === undefined ? null : timeOf(ended_at_ms),
    ...(error === undefined ? {} : { error: errorOf(error) }),
    ...(cost_micro_usd === undefined ? {} : { cost_micro_usd }),
  };
}
