// Reads what the router has written of jobs; the gateway never writes it.
import type { KeyValue } from '../../bus/bus.ts';
import type { Payload } from '../../contracts/contract.ts';
import {
  assignmentIdOf,
  isTerminal,
  jobKey,
  type JobRequest,
  jobRequest,
  type JobState,
  jobState,
} from '../../contracts/job.ts';
import { BeamlineError } from '../../core/errors.ts';
import { isJobId } from './job-id.ts';

/** A job as its two entries tell it; without a state it was accepted and not dispatched yet. */
export interface JobRecord {
  readonly request: Pick<
    JobRequest,
    'job_id' | 'tenant_id' | 'assignment_id' | 'request' | 'created_at_ms' | 'expires_at_ms'
  >;
  readonly state: JobState | undefined;
}

export const hasEnded = ({ state }: JobRecord): boolean => state !== undefined && isTerminal(state.status);

/** Undefined for a job that the tenant does not have, whatever its id looks like. Throws `unavailable`. */
export async function findJob(jobs: KeyValue, tenantId: string, jobId: string): Promise<JobRecord | undefined> {
  if (!isJobId(jobId)) return undefined;
  return findAssignment(jobs, tenantId, assignmentIdOf(tenantId, jobId));
}

export async function findAssignment(
  jobs: KeyValue,
  tenantId: string,
  assignmentId: string,
): Promise<JobRecord | undefined> {
  const [request, state] = await Promise.all([
    jobs.get(jobKey(tenantId, assignmentId, 'req')),
    jobs.get(jobKey(tenantId, assignmentId, 'state')),
  ]);
  if (request === undefined) return undefined;
  return {
    request: readRecord(jobRequest, request.value),
    state: state === undefined ? undefined : readRecord(jobState, state.value),
  };
}

/** Throws `not_found`, the same for a foreign job as for one that is not there. */
export async function requireJob(jobs: KeyValue, tenantId: string, jobId: string): Promise<JobRecord> {
  const found = await findJob(jobs, tenantId, jobId);
  if (found === undefined) throw new BeamlineError('not_found', 'The tenant has no such job.');
  return found;
}

/** Throws `internal`: an entry that our own router wrote must fit its contract. */
export function readRecord<T>(record: Payload<T>, text: string): T {
  const value = parsed(text);
  if (record.check(value)) return value;
  throw new BeamlineError('internal', `an entry is no ${record.id}@${record.version}: ${record.fault(value)}`);
}

/** Undefined for an entry that is unreadable: one of many must not hide the others. */
export function readIfLegal<T>(record: Payload<T>, text: string): T | undefined {
  const value = parsed(text);
  return record.check(value) ? value : undefined;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
