// Which jobs a list or an export is about, out of a query or a body.
import type { JobRecord } from './job-records.ts';
import { invalidField } from '../routes/policies-request.ts';
import { type Body, shortTextIn, timeIn } from './job-fields.ts';
import { SHOWN_STATUSES, shownStatus, type ShownStatus, tagsOf, typeOf } from './job-view.ts';

export interface JobFilter {
  readonly statuses: ReadonlySet<ShownStatus> | undefined;
  readonly type: string | undefined;
  readonly tag: string | undefined;
  readonly traceId: string | undefined;
  readonly sinceMs: number | undefined;
  readonly untilMs: number | undefined;
  /** In lower case. */
  readonly search: string | undefined;
}

const TEXT_CHARS_MAX = 128;

export const FILTER_PROPERTIES = {
  status: { type: 'string', description: 'One status or several, comma separated.' },
  type: { type: 'string' },
  tag: { type: 'string' },
  trace_id: { type: 'string' },
  since: { type: 'string', format: 'date-time' },
  until: { type: 'string', format: 'date-time' },
  search: { type: 'string', description: 'Part of the id, the type, the key, a tag, a metadata text or the error.' },
};

/** Throws `invalid_request` with the name of the filter. */
export function readJobFilter(given: Body): JobFilter {
  if (given['batch_id'] !== undefined) throw invalidField('batch_id', 'is not served: there are no batches yet');
  return {
    statuses: statusesIn(given),
    type: shortTextIn(given, 'type', TEXT_CHARS_MAX),
    tag: shortTextIn(given, 'tag', TEXT_CHARS_MAX),
    traceId: shortTextIn(given, 'trace_id', TEXT_CHARS_MAX),
    sinceMs: timeIn(given, 'since'),
    untilMs: timeIn(given, 'until'),
    search: shortTextIn(given, 'search', TEXT_CHARS_MAX)?.toLowerCase(),
  };
}

const isShown = (word: string): word is ShownStatus => (SHOWN_STATUSES as readonly string[]).includes(word);

function statusesIn(given: Body): ReadonlySet<ShownStatus> | undefined {
  const words = shortTextIn(given, 'status', TEXT_CHARS_MAX)?.split(',');
  if (words === undefined) return undefined;
  if (words.every(isShown)) return new Set(words);
  throw invalidField('status', `must be of ${SHOWN_STATUSES.join(', ')}`);
}

/** What can be said before the request of a job was read. */
export const mayMatch = ({ statuses }: JobFilter, state: JobRecord['state']): boolean =>
  statuses === undefined || statuses.has(shownStatus(state));

export const matches = (
  { type, tag, traceId, search, sinceMs = 0, untilMs = Infinity }: JobFilter,
  record: JobRecord,
): boolean =>
  record.request.created_at_ms >= sinceMs &&
  record.request.created_at_ms < untilMs &&
  (type === undefined || typeOf(record) === type || record.request.request.task.type === type) &&
  (tag === undefined || tagsOf(record).includes(tag)) &&
  (traceId === undefined || record.request.request.trace_id === traceId) &&
  (search === undefined || textsOf(record).some((text) => text.toLowerCase().includes(search)));

function textsOf(record: JobRecord): readonly string[] {
  const { request: accepted, state } = record;
  const { request } = accepted;
  const metadata = Object.values(state?.metadata ?? request.metadata ?? {});
  return [
    accepted.job_id,
    typeOf(record),
    request.job?.idempotency_key ?? '',
    state?.error?.message ?? '',
    ...tagsOf(record),
    ...metadata.filter((value) => typeof value === 'string'),
  ];
}
