// Asks the router to act on a job that exists: only it writes their state.
import type { Bus } from '../../bus/bus.ts';
import { at } from '../../contracts/contract.ts';
import { type JobCommand, jobControl, type JobOperation, type JobReply } from '../../contracts/job-control.ts';
import { errorOfReply } from '../bus-error.ts';
import type { Call } from '../call.ts';

const TIMEOUT_MS = 10_000;

export type JobCommandMore = Pick<JobCommand, 'metadata' | 'tags' | 'option' | 'comment'>;

/** Rejects with the router's refusal, or with `unavailable`, `timeout`, `invalid_reply`; each operation may be repeated. */
export type ControlJob = (op: JobOperation, call: Call, jobId: string, more?: JobCommandMore) => Promise<JobReply>;

export const controlOver =
  (bus: Bus): ControlJob =>
  async (op, { requestId, traceId, tenantId, principal }, jobId, more = {}) => {
    const command: JobCommand = { version: '2', request_id: requestId, tenant_id: tenantId, job_id: jobId, ...more };
    if (principal !== undefined) command.principal = { key_id: principal.keyId, role: principal.role };
    const reply = await bus.request(at(jobControl, { op }), command, {
      timeoutMs: TIMEOUT_MS,
      correlation: { traceId, tenantId },
    });
    if (!reply.ok) throw errorOfReply(reply);
    return reply;
  };
