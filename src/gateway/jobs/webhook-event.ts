// What a webhook is told of a job that has ended (gateway 15.2).
import type { JobState } from '../../contracts/job.ts';
import type { WebhookDelivery } from '../../contracts/webhook-delivery.ts';
import { derivedChars } from './job-id.ts';
import type { JobRecord } from './job-records.ts';
import { resultOf, shownStatus, timeOf } from './job-view.ts';
import type { WebhookEndpoint, WebhookEvent } from './webhook-endpoint.ts';

const RESULT_BYTES_MAX = 20_480;

const EVENTS: Partial<Record<JobState['status'], WebhookEvent>> = {
  succeeded: 'job.completed',
  failed: 'job.failed',
  cancelled: 'job.cancelled',
  timed_out: 'job.expired',
};

export const eventOf = (status: JobState['status']): WebhookEvent | undefined => EVENTS[status];

/** The delivery of the end of a job to an endpoint; undefined where it does not want to hear of it. */
export function deliveryOf(endpoint: WebhookEndpoint, record: JobRecord, nowMs: number): WebhookDelivery | undefined {
  const { request, state } = record;
  const type = state === undefined ? undefined : eventOf(state.status);
  if (state === undefined || type === undefined || !endpoint.events.has(type)) return undefined;
  const { job_id, tenant_id, assignment_id } = request;
  return {
    version: '2',
    event_id: `evt_${derivedChars(tenant_id, endpoint.id, assignment_id, type)}`,
    tenant_id,
    webhook_id: endpoint.id,
    job_id,
    type,
    status: 'pending',
    body: JSON.stringify({
      type,
      timestamp: timeOf(state.ended_at_ms ?? state.updated_at_ms),
      data: {
        job_id,
        tenant_id,
        status: shownStatus(state),
        cost_micro_usd: state.cost_micro_usd,
        ...(state.error === undefined ? {} : { error: { code: state.error.code } }),
        url: `/api/v1/jobs/${job_id}`,
        ...(endpoint.includeResult ? resultIn(record) : {}),
      },
    }),
    attempt: 0,
    next_at_ms: nowMs,
    tries: [],
    created_at_ms: nowMs,
  };
}

/** A result that is too large is left out: the address leads to it. */
function resultIn(record: JobRecord): { readonly result?: unknown } {
  const result = resultOf(record);
  return result !== null && Buffer.byteLength(JSON.stringify(result)) <= RESULT_BYTES_MAX ? { result } : {};
}
