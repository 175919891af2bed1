// From a decide request to the answer 202, the same for all routes that make jobs.
import { BeamlineError } from '../../core/errors.ts';
import type { Call } from '../call.ts';
import { derivedJobId, newJobId } from './job-id.ts';
import type { JobSetting } from './job-request.ts';
import { findJob, type JobRecord } from './job-records.ts';
import { shownJob } from './job-view.ts';
import type { Jobs } from './jobs.ts';
import type { Accepted, JobDecide } from './submit-job.ts';

/** `scope` keeps keys of different routes apart; `webhookId` is one that the caller named. */
export function settingOf(
  { settings, tenantOf, timers }: Jobs,
  { tenantId }: Call,
  more: { readonly scope: string; readonly key: string | undefined; readonly webhookId: string | undefined },
): JobSetting {
  const { scope, key, webhookId } = more;
  return {
    id: key === undefined ? newJobId(timers.clock) : derivedJobId(tenantId, scope, key),
    nowMs: timers.clock.epochMs(),
    deadlineMs: settings.deadline_ms,
    key,
    tenant: tenantOf(tenantId),
    webhookId,
  };
}

/** Throws `service_overloaded` for a new job while routers take nothing; a repeat is answered by its record. */
export async function submitted(jobs: Jobs, call: Call, request: JobDecide, deadlineMs: number): Promise<Accepted> {
  const { backpressure } = call.edge;
  if (backpressure.isActive && !(await isRepeat(jobs, request))) throw backpressure.refusal(call);
  return jobs.submit(request, { deadlineMs, isAbandoned: () => call.isOver });
}

const isRepeat = async ({ jobs }: Jobs, { tenant_id, job }: JobDecide): Promise<boolean> =>
  job.idempotency_key !== undefined && (await findJob(jobs, tenant_id, job.id)) !== undefined;

export const locationOf = ({ request: { job_id } }: JobRecord): string => `/api/v1/jobs/${job_id}`;

export function answerAccepted(call: Call, { record, isDuplicate }: Accepted, headers: readonly string[] = []): void {
  const all = ['content-type', 'application/json', 'location', locationOf(record), ...headers];
  if (isDuplicate) all.push('idempotency-replayed', 'true');
  call.send(202, all, JSON.stringify(shownJob(record)));
}

const KEY = /^[\x21-\x7e]{1,255}$/;

/** The header `idempotency-key`; throws `invalid_request` for one that is not legal. */
export function keyHeader(call: Call): string | undefined {
  const key = call.header('idempotency-key');
  if (key === undefined || KEY.test(key)) return key;
  throw new BeamlineError('invalid_request', 'The header idempotency-key is not legal.', {
    details: { reason: 'invalid_header', header: 'idempotency-key' },
  });
}
