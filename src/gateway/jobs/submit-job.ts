// Hands a job to the router and knows afterwards whether it was accepted (gateway 14.1, "Acceptance").
// S1. Accepted means that the router said so, or that the record is there: never less.
// S2. An unclear end, where the question may have arrived, is asked again under the same id; the router meets its record.
// S3. After an unclear question only a refusal of the router itself counts: that nobody is there now says nothing.
// S4. A look into the store is within the deadline too: a server that stands still does not hold the caller.
import type { Bus, KeyValue } from '../../bus/bus.ts';
import type { DecideRequest } from '../../contracts/decide.ts';
import type { JobOrder } from '../../contracts/job-order.ts';
import { assignmentIdOf } from '../../contracts/job.ts';
import type { CrashPoints } from '../../core/crash-point.ts';
import { BeamlineError } from '../../core/errors.ts';
import type { Timers } from '../../core/timers.ts';
import { errorOfReply } from '../bus-error.ts';
import { askRouter } from '../decide-client.ts';
import { findJob, type JobRecord } from './job-records.ts';

/** The decide request of a job. */
export type JobDecide = DecideRequest & { readonly job: JobOrder };

export interface Accepted {
  readonly record: JobRecord;
  /** Whether the record was there before: a repeat of the same key. */
  readonly isDuplicate: boolean;
}

export interface SubmitOptions {
  /** Until then an unclear end is asked again. */
  readonly deadlineMs: number;
  /** Whether nobody waits for the answer any more. */
  readonly isAbandoned: () => boolean;
}

/** Rejects with the router's refusal, or with `timeout` or `unavailable`, whose `details.job_id` may still exist. */
export type SubmitJob = (request: JobDecide, options: SubmitOptions) => Promise<Accepted>;

export interface SubmitDeps {
  readonly bus: Bus;
  readonly jobs: KeyValue;
  readonly timers: Timers;
  /** Time of one question. */
  readonly decideTimeoutMs: number;
  /** Absent in production. */
  readonly crash?: CrashPoints | undefined;
}

const PAUSE_MIN_MS = 100;
const PAUSE_MAX_MS = 2_000;
/** Longest look into the store; it is a part of the caller's time, at most so much of it. */
const LOOK_MS = 500;
const LOOK_SHARE = 0.25;

export const submitOver =
  (deps: SubmitDeps): SubmitJob =>
  async (request, options) => {
    const startedEpochMs = deps.timers.clock.epochMs();
    deps.crash?.(19);
    const { isDuplicate, atMs } = await accept(deps, request, options);
    deps.crash?.(20);
    const record = atMs === undefined ? await recordOf(deps, request, startedEpochMs) : newRecord(request, atMs);
    return { record, isDuplicate };
  };

interface Taken {
  /** Whether the record was there before; false also where the reply was lost and only the record tells. */
  readonly isDuplicate: boolean;
  /** When it was stored as it was asked for; undefined where only the record tells what it is. */
  readonly atMs: number | undefined;
}

type Answer =
  | ({ readonly kind: 'accepted' } & Taken)
  | { readonly kind: 'refused'; readonly error: BeamlineError }
  /** Nothing came of the question itself: nobody heard it, or the router could not reach its store. */
  | { readonly kind: 'void'; readonly error: BeamlineError }
  | { readonly kind: 'unclear'; readonly error: BeamlineError };

async function accept(
  deps: SubmitDeps,
  request: JobDecide,
  { deadlineMs, isAbandoned }: SubmitOptions,
): Promise<Taken> {
  const { timers } = deps;
  const lookMs = Math.min(LOOK_MS, deadlineMs * LOOK_SHARE);
  const endMs = timers.clock.nowMs() + deadlineMs - lookMs;
  let isUnclear = false;
  for (let pauseMs = PAUSE_MIN_MS; ; pauseMs = Math.min(PAUSE_MAX_MS, pauseMs * 2)) {
    // eslint-disable-next-line no-await-in-loop -- one question after the other
    const answer = await ask(deps, request, endMs - timers.clock.nowMs());
    if (answer.kind === 'accepted') return answer;
    if (answer.kind === 'refused' || (answer.kind === 'void' && !isUnclear)) throw answer.error;
    isUnclear ||= answer.kind === 'unclear';
    if (endMs - timers.clock.nowMs() <= pauseMs || isAbandoned()) {
      // eslint-disable-next-line no-await-in-loop -- the last look
      if ((await found(deps, request, lookMs)) !== undefined) return { isDuplicate: false, atMs: undefined };
      throw notKnown(answer.error, request.job.id);
    }
    // eslint-disable-next-line no-await-in-loop -- as above
    await timers.sleep(pauseMs);
  }
}

async function ask({ bus, decideTimeoutMs }: SubmitDeps, request: JobDecide, leftMs: number): Promise<Answer> {
  try {
    const reply = await askRouter(bus, request, Math.max(1, Math.min(leftMs, decideTimeoutMs)));
    if (reply.ok) return { kind: 'accepted', isDuplicate: reply.duplicate === true, atMs: reply.accepted_at_ms };
    const error = errorOfReply(reply);
    return { kind: error.code === 'unavailable' ? 'void' : 'refused', error };
  } catch (thrown) {
    const error = BeamlineError.from(thrown);
    if (error.code === 'unavailable' && error.details['reason'] === 'no_responders') return { kind: 'void', error };
    return { kind: LOST.has(error.code) ? 'unclear' : 'refused', error };
  }
}

/** Ends of a question that may have arrived. */
const LOST: ReadonlySet<string> = new Set(['unavailable', 'timeout', 'invalid_reply']);

const notKnown = (cause: BeamlineError, jobId: string): BeamlineError =>
  new BeamlineError(cause.code, 'It is not known whether the job was accepted; its id may be asked for.', {
    details: { ...cause.details, job_id: jobId },
    cause,
  });

/** Undefined also where the store cannot be read in this time. */
function found(
  { jobs, timers }: SubmitDeps,
  { tenant_id, job }: JobDecide,
  ms: number,
): Promise<JobRecord | undefined> {
  return new Promise((resolve) => {
    const timer = timers.after(ms, () => resolve(undefined));
    const end = (record?: JobRecord): void => {
      timer.cancel();
      resolve(record);
    };
    findJob(jobs, tenant_id, job.id).then(end, () => end());
  });
}

/** As it stands, or, where the store cannot be read now, as it was asked for. */
async function recordOf(deps: SubmitDeps, request: JobDecide, nowMs: number): Promise<JobRecord> {
  return (await found(deps, request, LOOK_MS)) ?? newRecord(request, nowMs);
}

const newRecord = (request: JobDecide, atMs: number): JobRecord => ({
  request: {
    job_id: request.job.id,
    tenant_id: request.tenant_id,
    assignment_id: assignmentIdOf(request.tenant_id, request.job.id),
    request,
    created_at_ms: atMs,
    expires_at_ms: request.job.expires_at_ms,
  },
  state: undefined,
});
