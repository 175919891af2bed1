// The records of jobs in their bucket, behind the few operations that are allowed on them (invariants: contracts/job.ts).
import type { KeyValue } from '../../bus/bus.ts';
import { assertValid } from '../../contracts/codec.ts';
import { keyPattern } from '../../contracts/bucket.ts';
import type { Payload } from '../../contracts/contract.ts';
import { isTerminal, type JobRequest, jobKey, jobRequest, type JobState, jobState } from '../../contracts/job.ts';
import { BeamlineError } from '../../core/errors.ts';
import { RecentJobs } from './recent-jobs.ts';

/** Tries of one compare-and-set; losing more often in a row means that something writes without end. */
const TRIES_MAX = 8;

export interface JobRef {
  readonly tenantId: string;
  readonly assignmentId: string;
}

export interface FoundJob {
  readonly request: JobRequest;
  /** Undefined: queued and not dispatched. */
  readonly state: JobState | undefined;
  /** Of the state's entry; 0 if there is none. */
  readonly revision: number;
}

/** The state after a change, or as it is where the change did not apply. */
export interface Changed extends FoundJob {
  readonly isChanged: boolean;
}

export interface Stored {
  readonly request: JobRequest;
  readonly isNew: boolean;
  /** Of what was written. */
  readonly chars: number;
}

/** What the `open` entry says. */
export interface OpenJob extends JobRef {
  readonly atMs: number;
}

export const refOf = ({ tenant_id, assignment_id }: { tenant_id: string; assignment_id: string }): JobRef => ({
  tenantId: tenant_id,
  assignmentId: assignment_id,
});

export class JobStore {
  readonly #bucket: KeyValue;
  readonly #recent = new RecentJobs();
  /** Characters of a request as it was written or read. */
  readonly #sizes = new WeakMap<JobRequest, number>();

  constructor(bucket: KeyValue) {
    this.#bucket = bucket;
  }

  /**
   * Creates the record, which is the acceptance. One that is there is given back if it was asked for the same thing;
   * else throws `idempotency_conflict`. Throws `unavailable`: then nothing was accepted, or a repeat will find it.
   */
  async accept(request: JobRequest): Promise<Stored> {
    assertValid(jobRequest, request);
    const ref = refOf(request);
    const open = { at_ms: request.created_at_ms, tenant_id: ref.tenantId, assignment_id: ref.assignmentId };
    await this.#bucket.putPassing(keyTo(ref, 'open'), JSON.stringify(open));
    try {
      const text = JSON.stringify(request);
      await this.#bucket.update(keyTo(ref, 'req'), text, 0);
      this.#sizes.set(request, text.length);
      return { request, isNew: true, chars: text.length };
    } catch (thrown) {
      if (!isLost(thrown)) throw thrown;
    }
    const stored = await this.request(ref);
    if (stored === undefined) throw new BeamlineError('unavailable', 'the record of the job came and went');
    return { request: sameAs(stored, request.digest), isNew: false, chars: 0 };
  }

  async request(ref: JobRef): Promise<JobRequest | undefined> {
    const entry = await this.#bucket.get(keyTo(ref, 'req'));
    if (entry === undefined) return undefined;
    const request = parsed(jobRequest, entry.value);
    this.#sizes.set(request, entry.value.length);
    return request;
  }

  /** Undefined for a job that is not there. */
  async read(ref: JobRef): Promise<FoundJob | undefined> {
    const [request, entry] = await Promise.all([this.request(ref), this.#bucket.get(keyTo(ref, 'state'))]);
    if (request === undefined) return undefined;
    const state = entry === undefined ? undefined : parsed(jobState, entry.value);
    // A job that was deleted may have left its state to one that was accepted under the same key later.
    const isOwn = state?.created_at_ms === request.created_at_ms;
    return { request, state: isOwn ? state : undefined, revision: entry?.revision ?? 0 };
  }

  /**
   * Writes what `make` gives, by compare-and-set; undefined leaves the state alone. `make` may be called again with a
   * newer state. Undefined for a job that is not there. Throws `unavailable`.
   */
  async change(
    ref: JobRef,
    make: (found: FoundJob) => JobState | undefined,
    known?: FoundJob,
  ): Promise<Changed | undefined> {
    const key = keyTo(ref, 'state');
    const recent = known === undefined ? this.#recent.get(key) : undefined;
    let found = known ?? recent ?? (await this.read(ref));
    for (let tries = 0; tries < TRIES_MAX; tries++) {
      if (found === undefined) return undefined;
      const state = make(found);
      if (state === undefined && found === recent) {
        // Nothing is written under a revision that is over, but that nothing applies must not be told from an old state.
        this.#recent.forget(key);
        // eslint-disable-next-line no-await-in-loop -- once
        found = await this.read(ref);
        continue;
      }
      if (state === undefined) return { ...found, isChanged: false };
      assertValid(jobState, state);
      try {
        const text = JSON.stringify(state);
        // eslint-disable-next-line no-await-in-loop -- a try follows one that lost
        const revision = await this.#bucket.update(key, text, found.revision);
        const job = { request: found.request, state, revision };
        this.#keep(key, job, text.length);
        return { ...job, isChanged: true };
      } catch (thrown) {
        if (!isLost(thrown)) throw thrown;
        this.#recent.forget(key);
      }
      // eslint-disable-next-line no-await-in-loop -- as above
      found = await this.read(ref);
    }
    throw new BeamlineError('unavailable', 'the state of the job is written by too many');
  }

  /** Takes the job from those that a sweep looks at. */
  async close(ref: JobRef): Promise<void> {
    await this.#bucket.erase(keyTo(ref, 'open'));
  }

  /**
   * Takes the payload and the result of a job away. What is left of its state is no job, and says until it expires that
   * the key was used: attempts of another job under it would have the ids, and the bills, of this one's.
   */
  async delete(ref: JobRef): Promise<void> {
    this.#recent.forget(keyTo(ref, 'state'));
    await this.change(ref, ({ state }) => (state === undefined ? undefined : stripped(state)));
    await this.#bucket.forgetReplaced(keyTo(ref, 'state'));
    await this.#bucket.delete(keyTo(ref, 'req'));
    await this.close(ref);
  }

  /** Whether the key was that of a job which was deleted. */
  async isUsed(ref: JobRef): Promise<boolean> {
    return (await this.#bucket.get(keyTo(ref, 'state'))) !== undefined;
  }

  /** Until its end, or until another router has written it. */
  #keep(key: string, job: FoundJob, stateChars: number): void {
    const requestChars = this.#sizes.get(job.request);
    if (requestChars === undefined || job.state === undefined || isTerminal(job.state.status)) this.#recent.forget(key);
    else this.#recent.keep(key, job, requestChars + stateChars);
  }

  async openJobs(): Promise<readonly OpenJob[]> {
    const entries = await this.#bucket.entries(keyPattern(undefined, undefined, 'open'));
    return entries.map(({ value }) => openIn(value)).filter((open) => open !== undefined);
  }
}

function stripped(state: JobState): JobState {
  const { result: _, error: __, metadata: ___, tags: ____, history: _____, ...rest } = state;
  return rest;
}

/** Throws `idempotency_conflict` unless the stored request was asked for the same thing. */
export function sameAs(stored: JobRequest, digest: string): JobRequest {
  if (stored.digest === digest) return stored;
  throw usedKey('the key was used for another request');
}

export const usedKey = (message: string): BeamlineError =>
  new BeamlineError('idempotency_conflict', message, { details: { intake: 'IDEMPOTENCY_VIOLATION' } });

const keyTo = ({ tenantId, assignmentId }: JobRef, part: 'req' | 'state' | 'open'): string =>
  jobKey(tenantId, assignmentId, part);

const isLost = (thrown: unknown): boolean => BeamlineError.from(thrown).code === 'precondition_failed';

function parsed<T>(record: Payload<T>, text: string): T {
  const value: unknown = JSON.parse(text);
  if (record.check(value)) return value;
  throw new BeamlineError('internal', `an entry is no ${record.id}@${record.version}: ${record.fault(value)}`);
}

/** Undefined for an entry that is not one of ours: one must not hide the others. */
function openIn(text: string): OpenJob | undefined {
  try {
    const { at_ms, tenant_id, assignment_id } = JSON.parse(text) as Readonly<Record<string, unknown>>;
    if (typeof at_ms !== 'number' || typeof tenant_id !== 'string' || typeof assignment_id !== 'string')
      return undefined;
    return { atMs: at_ms, tenantId: tenant_id, assignmentId: assignment_id };
  } catch {
    return undefined;
  }
}
