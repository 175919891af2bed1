// Answers a request of a dialect by a job (gateway 15.1): 202 and its place, or, for a caller who waits and a job that
// ends in time, the answer of the dialect.
import { isErrorCode, BeamlineError } from '../../core/errors.ts';
import type { Call } from '../call.ts';
import type { Order } from '../order.ts';
import { routedHeaders } from '../routed-headers.ts';
import { answerAccepted, keyHeader, settingOf, submitted } from './create-job.ts';
import { requestOfOrder } from './job-request.ts';
import { hasEnded, type JobRecord } from './job-records.ts';
import { resultOf } from './job-view.ts';
import type { Jobs } from './jobs.ts';
import { foundResult, writeResult } from './large-result.ts';
import { waitForEnd } from './wait-for-end.ts';
import { webhookNamed } from './webhook-named.ts';

/** How long a client may take nothing of a large answer. */
const STALL_MS = 30_000;

/** `waitS` as the caller prefers; the deadline of the order bounds the acceptance, not the job. */
export async function answerAsync(call: Call, jobs: Jobs, order: Order, waitS: number | undefined): Promise<void> {
  const setting = settingOf(jobs, call, {
    scope: order.taskType,
    key: keyHeader(call),
    webhookId: webhookNamed(call, jobs, undefined),
  });
  // Aliases of this header are the patience of a client library with a connection, and a job has none.
  const ownMs = call.header('x-beamline-timeout-ms');
  const deadlineMs = ownMs === undefined ? setting.deadlineMs : Number(ownMs);
  const request = requestOfOrder(call, order, { ...setting, deadlineMs });
  const accepted = await submitted(jobs, call, request, order.deadlineMs);
  const { record } = waitS === undefined ? accepted : await waitForEnd(jobs, call, accepted.record, waitS);
  if (waitS !== undefined && hasEnded(record)) await answerEnded(call, jobs, record, waitS);
  else answerAccepted(call, { ...accepted, record }, ['preference-applied', 'respond-async']);
}

async function answerEnded(call: Call, jobs: Jobs, record: JobRecord, waitS: number): Promise<void> {
  const { state } = record;
  const last = state?.attempts.at(-1);
  const routed = {
    providerId: last?.provider_id,
    model: state?.result?.model ?? last?.model,
    policyId: state?.policy_id,
    policyRevision: state?.policy_revision,
    attempts: state?.attempt ?? 0,
    costMicroUsd: state?.cost_micro_usd,
  };
  call.routed = routed;
  if (state?.status !== 'succeeded') return call.fail(errorOfJob(record));
  const headers = [...routedHeaders(routed, true), 'preference-applied', `wait=${waitS}`];
  const found = await foundResult(jobs.blobs, record);
  if (found !== undefined) return writeResult(call, found, { stallMs: STALL_MS, headers });
  const output = resultOf(record);
  if (output === null) {
    return call.fail(new BeamlineError('provider_protocol_error', 'The answer has no content.'));
  }
  call.send(200, ['content-type', 'application/json', ...headers], JSON.stringify(output));
}

/** Why a job has no result, as the error of whoever waited for it. */
export function errorOfJob({ request: { job_id }, state }: JobRecord): BeamlineError {
  const details = { job_id };
  if (state?.status === 'cancelled') return new BeamlineError('cancelled', 'The job was cancelled.', { details });
  if (state?.status === 'timed_out') return new BeamlineError('timeout', 'The job has expired.', { details });
  const { code = '', message = 'The job has failed.' } = state?.error ?? {};
  return new BeamlineError(isErrorCode(code) ? code : 'execution_failed', message, { details });
}
