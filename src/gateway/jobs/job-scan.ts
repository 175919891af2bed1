// Goes through the jobs of a tenant, newest first. There is no index: it reads the states of the tenant at once, without
// their results, and then the requests of those that may match, one batch after the other, as far as somebody asks.
import type { KeyValue } from '../../bus/bus.ts';
import { keyPattern } from '../../contracts/bucket.ts';
import { type JobState, jobKey, jobRequest, jobState } from '../../contracts/job.ts';
import { decodeToken } from '../../contracts/subject.ts';
import { invalidField } from '../routes/policies-request.ts';
import { type JobFilter, matches, mayMatch } from './job-filter.ts';
import { type JobRecord, readIfLegal } from './job-records.ts';

/** Where a job stands in the order: by its creation, then by its assignment. */
interface Place {
  readonly createdMs: number;
  readonly assignmentId: string;
}

interface Candidate extends Place {
  readonly state: JobState | undefined;
}

/** One job that was looked at; without a record if it does not match. */
export interface Scanned {
  readonly cursor: string;
  readonly record: JobRecord | undefined;
}

const BATCH = 32;

/** `after` is the cursor of the job before the first one. Throws `unavailable`, `invalid_request` for an alien cursor. */
export async function* scanJobs(
  jobs: KeyValue,
  tenantId: string,
  filter: JobFilter,
  after?: string,
): AsyncGenerator<Scanned, void> {
  const from = after === undefined ? undefined : placeOf(after);
  const all = await candidatesOf(jobs, tenantId);
  const wanted = all
    .filter((candidate) => mayMatch(filter, candidate) && (from === undefined || order(from, candidate) < 0))
    .toSorted(order);
  for (let at = 0; at < wanted.length; at += BATCH) {
    const batch = wanted.slice(at, at + BATCH);
    // eslint-disable-next-line no-await-in-loop -- a reader takes one batch after the other
    const records = await Promise.all(batch.map((candidate) => recordOf(jobs, tenantId, candidate)));
    for (const [index, record] of records.entries()) {
      const place = batch[index];
      if (place === undefined) continue;
      yield { cursor: cursorOf(place), record: record !== undefined && matches(filter, record) ? record : undefined };
    }
  }
}

async function candidatesOf(jobs: KeyValue, tenantId: string): Promise<readonly Candidate[]> {
  // A job that was not dispatched yet is told by its `open` entry only. Read first: what gets its state meanwhile is not missed.
  const open = await jobs.entries(keyPattern(tenantId, undefined, 'open'));
  const states = await jobs.entries(keyPattern(tenantId, undefined, 'state'));
  const found = new Map<string, Candidate>();
  for (const { key, value } of states) {
    const state = readIfLegal(jobState, value);
    if (state === undefined) continue;
    const { result: _, ...slim } = state;
    const assignmentId = assignmentIn(key);
    found.set(assignmentId, { assignmentId, createdMs: state.created_at_ms, state: slim });
  }
  for (const { key, value } of open) {
    const assignmentId = assignmentIn(key);
    if (!found.has(assignmentId)) found.set(assignmentId, { assignmentId, createdMs: atMs(value), state: undefined });
  }
  return [...found.values()];
}

const assignmentIn = (key: string): string => decodeToken(key.split('.')[1] ?? '');

function atMs(value: string): number {
  const found = /"at_ms":\s*(\d{1,16})/.exec(value)?.[1];
  return found === undefined ? 0 : Number(found);
}

async function recordOf(
  jobs: KeyValue,
  tenantId: string,
  { assignmentId, state }: Candidate,
): Promise<JobRecord | undefined> {
  const entry = await jobs.get(jobKey(tenantId, assignmentId, 'req'));
  const request = entry === undefined ? undefined : readIfLegal(jobRequest, entry.value);
  return request === undefined ? undefined : { request, state };
}

/** Newest first. */
const order = (a: Place, b: Place): number =>
  b.createdMs - a.createdMs || (a.assignmentId < b.assignmentId ? 1 : a.assignmentId > b.assignmentId ? -1 : 0);

const cursorOf = ({ createdMs, assignmentId }: Place): string =>
  Buffer.from(`${createdMs} ${assignmentId}`, 'latin1').toString('base64url');

function placeOf(cursor: string): Place {
  const [, created, assignmentId] =
    /^(\d{1,16}) ([\x21-\x7e]{1,128})$/.exec(Buffer.from(cursor, 'base64url').toString('latin1')) ?? [];
  if (created === undefined || assignmentId === undefined) throw invalidField('cursor', 'must be one that a list gave');
  return { createdMs: Number(created), assignmentId };
}
