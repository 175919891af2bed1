// The entries of a job in its bucket: what was accepted, which never changes, and what became of it.
// J1. The request is created once; that entry is the acceptance.
// J2. The state is written by compare-and-set only; a terminal one never changes but for its annotations.
// J3. An `open` entry stands from before the acceptance until after the end, so that a sweep reads only what is open.
import { createHash } from 'node:crypto';
import { Type } from 'typebox';
import type { BucketSpec } from './bucket.ts';
import { keyOf } from './bucket.ts';
import { payload } from './contract.ts';
import { DecideRequestV2 } from './decide.ts';
import { Count, Id, maybe, ModelName, OpenObject, RunIds, Text, Usage, Word } from './fields.ts';

const DAY_MS = 86_400_000;
/** The states of a job that is tried four times; of one with more the oldest are replaced after all. */
const HISTORY = 16;

/**
 * Seven days after the end, a day of work before it, and a day of slack: the bucket forgets by itself. Routers may be told
 * other bounds (`router.jobs_bytes_max`, `router.jobs_retention_hours`).
 */
export const jobBucket: BucketSpec = {
  name: 'jobs',
  ttlMs: 9 * DAY_MS,
  bytesMax: 4 * 1024 ** 3,
  history: HISTORY,
  supersedes,
};

export type JobPart = 'req' | 'state' | 'open';
export const jobKey = (tenantId: string, assignmentId: string, part: JobPart): string =>
  keyOf(tenantId, assignmentId, part);

/**
 * The assignment of durable work: a UUID that follows from the tenant and the key of its decide (contracts 1.3), so that
 * a repeat meets the record of the first. The first 16 bytes of SHA-256, marked as version 8 (RFC 9562).
 */
export function assignmentIdOf(tenantId: string, decideKey: string): string {
  const bytes = createHash('sha256').update(`${tenantId}\n${decideKey}`).digest().subarray(0, 16);
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x80;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = bytes.toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}

/** Whether an assignment is durable work: such an id follows from a key and says so by its version (RFC 9562). */
export const isJobAssignment = (assignmentId: string): boolean => assignmentId[VERSION_PLACE] === '8';
const VERSION_PLACE = 14;

const JobRequest = Type.Object({
  version: Type.Literal('2'),
  job_id: Id,
  assignment_id: Id,
  tenant_id: Id,
  // As it was decided on: with its payload and its `job`, without a way back.
  request: DecideRequestV2,
  // SHA-256 in hex of what was asked for: the same key with another body is a conflict.
  digest: Type.String({ pattern: '^[0-9a-f]{64}$' }),
  router_id: Id,
  // The decision and the assignment that were answered, for repeats.
  answer: maybe(OpenObject),
  created_at_ms: Count,
  expires_at_ms: Count,
});
export type JobRequest = Type.Static<typeof JobRequest>;

export const JOB_STATUSES = [
  'queued',
  'running',
  'retry_wait',
  'succeeded',
  'failed',
  'timed_out',
  'cancelled',
] as const;
export type JobStatus = (typeof JOB_STATUSES)[number];

const TERMINAL: ReadonlySet<JobStatus> = new Set(['succeeded', 'failed', 'timed_out', 'cancelled']);
export const isTerminal = (status: JobStatus): boolean => TERMINAL.has(status);

export const JobFailure = Type.Object({
  // Code of an answer, and the execution code that it came from.
  code: Id,
  error_code: maybe(Id),
  message: Text,
  retryable: Type.Boolean(),
  detail_code: maybe(Id),
});
export type JobFailure = Type.Static<typeof JobFailure>;

const JobAttempt = Type.Object({
  attempt: Count,
  provider_id: Id,
  model: maybe(ModelName),
  pool: Id,
  reason: Id,
  status: Type.Enum(['published', 'running', 'succeeded', 'failed', 'timed_out', 'cancelled', 'lost']),
  worker_id: maybe(Id),
  published_at_ms: Count,
  // Where it stands on the stream of its pool, so that a router can ask whether it still does.
  stored_seq: maybe(Count),
  // The result must have come by then, else the attempt counts as lost.
  due_at_ms: Count,
  started_at_ms: maybe(Count),
  ended_at_ms: maybe(Count),
  error: maybe(JobFailure),
  cost_micro_usd: maybe(Count),
});
export type JobAttempt = Type.Static<typeof JobAttempt>;

const JobState = Type.Object({
  version: Type.Literal('2'),
  job_id: Id,
  assignment_id: Id,
  tenant_id: Id,
  status: Type.Enum([...JOB_STATUSES]),
  waiting_for: maybe(Type.Enum(['approval', 'run_at'])),
  // Of the last attempt that was published; 0 before the first.
  attempt: Count,
  attempts: Type.Array(JobAttempt),
  // When a job that waits goes on.
  next_at_ms: maybe(Count),
  policy_id: maybe(Id),
  policy_revision: maybe(Count),
  // What the policy needs to know of earlier attempts to say what follows.
  history: maybe(OpenObject),
  cancel: maybe(Type.Object({ reason: Id, at_ms: Count })),
  result: maybe(
    Type.Object({
      output: maybe(Type.Unknown()),
      output_ref: maybe(Type.String({ minLength: 1, maxLength: 512 })),
      model: maybe(ModelName),
      finish_reason: maybe(Word),
      usage: maybe(Usage),
    }),
  ),
  error: maybe(JobFailure),
  // Of all attempts.
  cost_micro_usd: Count,
  // Every change of status, numbered from 1: what an event stream is replayed from.
  transitions: Type.Array(Type.Object({ seq: Count, status: Id, at_ms: Count, attempt: Count })),
  metadata: maybe(OpenObject),
  tags: maybe(Type.Array(Word, { maxItems: 16 })),
  ...RunIds,
  created_at_ms: Count,
  updated_at_ms: Count,
  ended_at_ms: maybe(Count),
});
export type JobState = Type.Static<typeof JobState>;

export const jobRequest = payload('beamline.job.JobRequest', '2', JobRequest);
export const jobState = payload('beamline.job.JobState', '2', JobState);

/** A request never changes. Of two states of a job the one is newer that is further; of two ends the first counts. */
function supersedes(ours: string, standing: string): boolean {
  const [one, other] = [stateIn(ours), stateIn(standing)];
  if (one === undefined || other === undefined || one.created_at_ms !== other.created_at_ms) return false;
  const { ended_at_ms: oneEnd = Infinity } = one;
  const { ended_at_ms: otherEnd = Infinity } = other;
  if (oneEnd !== otherEnd) return oneEnd < otherEnd;
  return isFurther(progressOf(one), progressOf(other));
}

function stateIn(text: string): JobState | undefined {
  const value: unknown = JSON.parse(text);
  return jobState.check(value) ? value : undefined;
}

const progressOf = ({ transitions, attempts, cancel, updated_at_ms }: JobState): readonly number[] => [
  attempts.length,
  transitions.length,
  cancel === undefined ? 0 : 1,
  updated_at_ms,
];

function isFurther(one: readonly number[], other: readonly number[]): boolean {
  const place = one.findIndex((value, index) => value !== other[index]);
  return place >= 0 && (one[place] ?? 0) > (other[place] ?? 0);
}
