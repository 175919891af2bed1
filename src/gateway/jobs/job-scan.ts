// Goes through the jobs of a tenant, newest first. A request is written once, so the revisions of requests are the order:
// a list of their keys says which come next, and only those that somebody asks for are read, a few at a time.
import type { KeyValue } from '../../bus/bus.ts';
import { keyPattern } from '../../contracts/bucket.ts';
import { jobKey, jobRequest, jobState } from '../../contracts/job.ts';
import { decodeToken } from '../../contracts/subject.ts';
import { invalidField } from '../routes/policies-request.ts';
import { type JobFilter, matches, mayMatch } from './job-filter.ts';
import { type JobRecord, readIfLegal } from './job-records.ts';

/** One job that was looked at; without a record if it does not match. */
export interface Scanned {
  readonly cursor: string;
  readonly record: JobRecord | undefined;
}

interface Place {
  readonly revision: number;
  readonly assignmentId: string;
}

const BATCH = 32;
/** Keys in memory; behind them the list is made again. */
const KEYS_MAX = 50_000;
/** A store tells the time of a write by its own clock. */
const SKEW_MS = 600_000;

/** `after` is the cursor of the job before the first one. Throws `unavailable`, `invalid_request` for an alien cursor. */
export async function* scanJobs(
  jobs: KeyValue,
  tenantId: string,
  filter: JobFilter,
  after?: string,
): AsyncGenerator<Scanned, void> {
  let below = after === undefined ? Infinity : revisionOf(after);
  for (;;) {
    // eslint-disable-next-line no-await-in-loop -- one part after the other
    const places = await newestBelow(jobs, { tenantId, filter, below });
    for (let at = 0; at < places.length; at += BATCH) {
      const batch = places.slice(at, at + BATCH);
      // eslint-disable-next-line no-await-in-loop -- a reader takes one batch after the other
      const records = await Promise.all(batch.map((place) => recordOf(jobs, tenantId, place, filter)));
      for (const [index, record] of records.entries()) {
        const place = batch[index];
        if (place !== undefined) yield { cursor: cursorOf(place), record };
      }
    }
    if (places.length < KEYS_MAX) return;
    below = places.at(-1)?.revision ?? 0;
  }
}

async function newestBelow(
  jobs: KeyValue,
  of: { readonly tenantId: string; readonly filter: JobFilter; readonly below: number },
): Promise<readonly Place[]> {
  const { sinceMs = 0, untilMs = Infinity } = of.filter;
  let places: Place[] = [];
  for await (const { key, revision, writtenAtMs } of jobs.keys(keyPattern(of.tenantId, undefined, 'req'))) {
    if (revision >= of.below || writtenAtMs < sinceMs - SKEW_MS || writtenAtMs >= untilMs + SKEW_MS) continue;
    places.push({ revision, assignmentId: decodeToken(key.split('.')[1] ?? '') });
    if (places.length >= 2 * KEYS_MAX) places = newest(places);
  }
  return newest(places);
}

const newest = (places: readonly Place[]): Place[] =>
  places.toSorted((one, other) => other.revision - one.revision).slice(0, KEYS_MAX);

/** The state first: what it rules out needs no request. */
async function recordOf(
  jobs: KeyValue,
  tenantId: string,
  { assignmentId }: Place,
  filter: JobFilter,
): Promise<JobRecord | undefined> {
  const entry = await jobs.get(jobKey(tenantId, assignmentId, 'state'));
  const read = entry === undefined ? undefined : readIfLegal(jobState, entry.value);
  const { result: _, ...state } = read ?? {};
  const slim = read === undefined ? undefined : (state as typeof read);
  if (!mayMatch(filter, slim)) return undefined;
  const stored = await jobs.get(jobKey(tenantId, assignmentId, 'req'));
  const request = stored === undefined ? undefined : readIfLegal(jobRequest, stored.value);
  const record = request === undefined ? undefined : { request, state: slim };
  return record !== undefined && matches(filter, record) ? record : undefined;
}

const cursorOf = ({ revision }: Place): string => Buffer.from(`r${revision}`, 'latin1').toString('base64url');

function revisionOf(cursor: string): number {
  const [, revision] = /^r(\d{1,16})$/.exec(Buffer.from(cursor, 'base64url').toString('latin1')) ?? [];
  if (revision === undefined) throw invalidField('cursor', 'must be one that a list gave');
  return Number(revision);
}
