// Jobs over HTTP (gateway 14.1): order, list, read, annotate and delete. The same routes serve the message vocabulary.
import type { ErrorCode } from '../../core/errors.ts';
import { BeamlineError } from '../../core/errors.ts';
import type { Call } from '../call.ts';
import { answerAccepted, keyHeader, settingOf, submitted } from '../jobs/create-job.ts';
import { jobBodySchema, readJobBody } from '../jobs/job-body.ts';
import { type Body, keyOfRepeats, metadataIn, tagsIn } from '../jobs/job-fields.ts';
import { readJobFilter } from '../jobs/job-filter.ts';
import { requestOfDraft } from '../jobs/job-request.ts';
import { hasEnded, requireJob } from '../jobs/job-records.ts';
import { scanJobs } from '../jobs/job-scan.ts';
import { jobSchema, listedJob, shownJob } from '../jobs/job-view.ts';
import type { Jobs } from '../jobs/jobs.ts';
import { withOutput } from '../jobs/large-result.ts';
import { preferenceOf } from '../jobs/prefer.ts';
import { waitForEnd } from '../jobs/wait-for-end.ts';
import { webhookNamed } from '../jobs/webhook-named.ts';
import { readOrderHeaders } from '../order-headers.ts';
import { type BodyLimits, readJson } from '../read-body.ts';
import type { Route } from '../route.ts';
import type { GatewaySettings } from '../settings.ts';
import { invalidField, pageOf } from './policies-request.ts';

export interface JobNeeds {
  readonly jobs: Jobs;
  readonly settings: GatewaySettings;
  readonly bodyLimits: { readonly native: BodyLimits };
}

export type JobsBase = '/api/v1/jobs' | '/api/v1/messages';

export const JOB_ERRORS: readonly ErrorCode[] = ['not_found', 'timeout', 'invalid_reply'];
export const CREATE_ERRORS: readonly ErrorCode[] = [
  'unsupported_feature',
  'policy_not_found',
  'model_not_found',
  'no_provider_available',
  'idempotency_conflict',
  'rate_limit_exceeded',
  'budget_exceeded',
  'invalid_reply',
  'timeout',
];

const createIn = (base: JobsBase): Route<JobNeeds> => ({
  method: 'POST',
  path: base,
  release: 'P1',
  access: 'job:write',
  summary:
    'Order work that is done later; answered when it is durable. idempotency-key and x-beamline-webhook are honoured.',
  request: jobBodySchema,
  response: jobSchema,
  statuses: [202],
  errors: CREATE_ERRORS,
  async handle(call, { jobs, settings, bodyLimits }) {
    const headers = readOrderHeaders(call.req.headers, settings.http.deadline_ms);
    const header = keyHeader(call);
    const { value: body, bytes } = await readJson(call, bodyLimits.native);
    if (base === '/api/v1/messages') refuseForeignForm(body);
    const draft = readJobBody(body, call.tenantId, jobs.timers.clock.epochMs());
    const setting = settingOf(jobs, call, {
      scope: 'jobs',
      key: keyOfRepeats(header, body),
      webhookId: webhookNamed(call, jobs, draft.webhookId),
    });
    const request = requestOfDraft(call, draft, setting, headers, bytes);
    answerAccepted(call, await submitted(jobs, call, request, headers.deadlineMs));
  },
});

/** One wrong base path of a client must not become a silently queued request. */
function refuseForeignForm(body: Body): void {
  if (body['task'] !== undefined || body['model'] === undefined || body['messages'] === undefined) return;
  throw new BeamlineError('invalid_request', 'This path makes jobs; Anthropic messages are served at /v1/messages.', {
    details: { reason: 'wrong_path', path: '/v1/messages' },
  });
}

/** Jobs that one answer of a list looks at. */
const LOOKS_MAX = 1_000;

const listIn = (base: JobsBase): Route<JobNeeds> => ({
  method: 'GET',
  path: base,
  release: 'P1',
  access: 'job:read',
  summary:
    'List jobs, newest first; without results. Reads all states of the tenant and looks at up to 1000 jobs an answer, so a page may be short, or empty, while has_more is true. Filters: status, type, tag, since, until, search, trace_id.',
  response: {
    type: 'object',
    required: ['data', 'pagination'],
    properties: {
      data: { type: 'array', items: jobSchema },
      pagination: {
        type: 'object',
        required: ['limit', 'next_cursor', 'has_more'],
        properties: {
          limit: { type: 'integer' },
          next_cursor: { type: ['string', 'null'] },
          has_more: { type: 'boolean' },
        },
      },
    },
  },
  errors: [],
  async handle(call, { jobs }) {
    const { limit, cursor } = pageOf(call);
    const filter = readJobFilter(queryOf(call));
    using place = placeToScan(jobs, call.tenantId);
    void place;
    const data: unknown[] = [];
    let last = cursor;
    let looks = 0;
    let hasMore = false;
    for await (const scanned of scanJobs(jobs.jobs, call.tenantId, filter, cursor)) {
      if (data.length === limit || looks === LOOKS_MAX) {
        hasMore = true;
        break;
      }
      looks++;
      last = scanned.cursor;
      if (scanned.record !== undefined) data.push(listedJob(scanned.record));
    }
    call.json(200, {
      data,
      pagination: { limit, next_cursor: hasMore ? (last ?? null) : null, has_more: hasMore },
    });
  },
});

/** Throws `service_overloaded` while too many lists are being made. */
export function placeToScan({ scans }: Jobs, tenantId: string): Disposable {
  const place = scans.take(tenantId);
  if (place !== undefined) return place;
  throw new BeamlineError('service_overloaded', 'Too many lists of jobs are being made.', {
    details: { reason: 'scans' },
    retryAfterMs: 1_000,
  });
}

export function queryOf({ req: { url = '' } }: Call): Body {
  return Object.fromEntries(new URLSearchParams(url.includes('?') ? url.slice(url.indexOf('?')) : ''));
}

const readIn = (base: JobsBase): Route<JobNeeds> => ({
  method: 'GET',
  path: `${base}/:id`,
  release: 'P1',
  access: 'job:read',
  summary: 'One job; with `prefer: wait=<s>`, at most 60, when it has ended or the time is over.',
  response: jobSchema,
  errors: JOB_ERRORS,
  async handle(call, { jobs }, { id = '' }) {
    const { waitS } = preferenceOf(call);
    const found = await requireJob(jobs.jobs, call.tenantId, id);
    if (waitS === undefined) return call.json(200, shownJob(await withOutput(jobs.blobs, found)));
    const { record: ended, isGranted } = await waitForEnd(jobs, call, found, waitS);
    const record = await withOutput(jobs.blobs, ended);
    const headers = isGranted ? ['preference-applied', `wait=${waitS}`] : [];
    call.send(200, ['content-type', 'application/json', ...headers], JSON.stringify(shownJob(record)));
  },
});

const annotateIn = (base: JobsBase): Route<JobNeeds> => ({
  method: 'PATCH',
  path: `${base}/:id`,
  release: 'P1',
  access: 'job:write',
  summary: 'Replace the metadata or the tags of a job.',
  request: {
    type: 'object',
    minProperties: 1,
    properties: { metadata: { type: 'object' }, tags: { type: 'array', maxItems: 16, items: { type: 'string' } } },
    additionalProperties: false,
  },
  response: jobSchema,
  errors: [...JOB_ERRORS, 'conflict'],
  async handle(call, { jobs, bodyLimits }, { id = '' }) {
    const { value: body } = await readJson(call, bodyLimits.native);
    const alien = Object.keys(body).find((name) => name !== 'metadata' && name !== 'tags');
    if (alien !== undefined) throw invalidField(alien.slice(0, 64), 'cannot be changed: only metadata and tags can');
    const metadata = metadataIn(body);
    const tags = tagsIn(body);
    if (metadata === undefined && tags === undefined) throw invalidField('metadata', 'or tags must be given');
    await requireJob(jobs.jobs, call.tenantId, id);
    await jobs.control('annotate', call, id, {
      ...(metadata === undefined ? {} : { metadata }),
      ...(tags === undefined ? {} : { tags }),
    });
    call.json(200, shownJob(await requireJob(jobs.jobs, call.tenantId, id)));
  },
});

const removeIn = (base: JobsBase): Route<JobNeeds> => ({
  method: 'DELETE',
  path: `${base}/:id`,
  release: 'P1',
  access: 'job:delete',
  summary: 'Delete the payload and the result of a job that has ended.',
  statuses: [204],
  errors: [...JOB_ERRORS, 'conflict'],
  async handle(call, { jobs }, { id = '' }) {
    await deleteJob(jobs, call, id);
    call.send(204, [], '');
  },
});

/** Throws `conflict` for a job that has not ended. */
export async function deleteJob(jobs: Jobs, call: Call, id: string): Promise<void> {
  const record = await requireJob(jobs.jobs, call.tenantId, id);
  if (!hasEnded(record)) throw new BeamlineError('conflict', 'The job has not ended: cancel it first.');
  const ref = record.state?.result?.output_ref;
  // Before the record, which knows where it is.
  if (ref !== undefined) await jobs.blobs.forget(call.tenantId, ref);
  await jobs.control('delete', call, id);
}

export const jobRoutesIn = (base: JobsBase): readonly Route<JobNeeds>[] => [
  createIn(base),
  listIn(base),
  readIn(base),
  annotateIn(base),
  removeIn(base),
];
