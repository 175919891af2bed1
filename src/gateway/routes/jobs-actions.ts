// What is done to jobs (gateway 14.1): retry, cancel, both and delete for many at a time, and export.
import { requirePermission } from '../../auth/roles.ts';
import { BeamlineError, errorRow } from '../../core/errors.ts';
import type { Call } from '../call.ts';
import { answerAccepted, keyHeader, settingOf, submitted } from '../jobs/create-job.ts';
import type { Body } from '../jobs/job-fields.ts';
import { exportJobs } from '../jobs/job-export.ts';
import { FILTER_PROPERTIES, readJobFilter } from '../jobs/job-filter.ts';
import { requestOfRetry } from '../jobs/job-request.ts';
import { hasEnded, requireJob } from '../jobs/job-records.ts';
import { scanJobs } from '../jobs/job-scan.ts';
import { jobSchema, shownJob, shownStatus } from '../jobs/job-view.ts';
import type { Jobs } from '../jobs/jobs.ts';
import type { Accepted } from '../jobs/submit-job.ts';
import { readOrderHeaders } from '../order-headers.ts';
import { readJson } from '../read-body.ts';
import type { Route } from '../route.ts';
import { CREATE_ERRORS, deleteJob, JOB_ERRORS, type JobNeeds, type JobsBase, placeToScan } from './jobs.ts';
import { invalidField } from './policies-request.ts';

const retryIn = (base: JobsBase): Route<JobNeeds> => ({
  method: 'POST',
  path: `${base}/:id/retry`,
  release: 'P1',
  access: 'job:write',
  summary: 'Order the work of a job that ended without success again, as a new job.',
  response: jobSchema,
  statuses: [202],
  errors: [...CREATE_ERRORS, 'not_found', 'conflict'],
  async handle(call, { jobs, settings }, { id = '' }) {
    const { deadlineMs } = readOrderHeaders(call.req.headers, settings.http.deadline_ms);
    answerAccepted(call, await retryJob(jobs, call, id, { key: keyHeader(call), deadlineMs }));
  },
});

/** Throws `conflict` for a job that runs or has succeeded. */
async function retryJob(
  jobs: Jobs,
  call: Call,
  id: string,
  { key, deadlineMs }: { readonly key: string | undefined; readonly deadlineMs: number },
): Promise<Accepted> {
  const record = await requireJob(jobs.jobs, call.tenantId, id);
  if (!hasEnded(record)) throw new BeamlineError('conflict', 'The job has not ended.');
  if (record.state?.status === 'succeeded') throw new BeamlineError('conflict', 'The job has completed.');
  const named = record.request.request.job?.webhook_id;
  const webhookId = named !== undefined && jobs.webhooks.has(call.tenantId, named) ? named : undefined;
  const setting = settingOf(jobs, call, { scope: `retry ${id}`, key, webhookId });
  return submitted(jobs, call, requestOfRetry(call, record, setting), deadlineMs);
}

const cancelIn = (base: JobsBase): Route<JobNeeds> => ({
  method: 'POST',
  path: `${base}/:id/cancel`,
  release: 'P1',
  access: 'job:write',
  summary: 'Cancel a job; 200 if it was cancelled before.',
  response: jobSchema,
  statuses: [200, 202],
  errors: [...JOB_ERRORS, 'conflict'],
  async handle(call, { jobs }, { id = '' }) {
    const status = await cancelJob(jobs, call, id);
    call.json(status, shownJob(await requireJob(jobs.jobs, call.tenantId, id)));
  },
});

/** 202, or 200 for a job that was cancelled before. Throws `conflict` for one that ended otherwise. */
async function cancelJob(jobs: Jobs, call: Call, id: string): Promise<200 | 202> {
  const record = await requireJob(jobs.jobs, call.tenantId, id);
  if (record.state?.status === 'cancelled') return 200;
  if (hasEnded(record)) throw ended(shownStatus(record.state));
  const { status, changed } = await jobs.control('cancel', call, id);
  if (status === 'cancelled') return changed === false ? 200 : 202;
  if (status === 'succeeded' || status === 'failed' || status === 'timed_out') throw ended(status);
  return 202;
}

const ended = (status: string): BeamlineError =>
  new BeamlineError('conflict', 'The job has ended.', { details: { status } });

const ACTIONS = {
  delete: async (jobs, call, id) => {
    await deleteJob(jobs, call, id);
    return { status: 204 };
  },
  cancel: async (jobs, call, id) => ({ status: await cancelJob(jobs, call, id) }),
  retry: async (jobs, call, id, deadlineMs) => {
    const { record } = await retryJob(jobs, call, id, { key: undefined, deadlineMs });
    return { status: 202, job_id: record.request.job_id };
  },
} as const satisfies Record<string, Act>;
type Action = keyof typeof ACTIONS;
type Act = (jobs: Jobs, call: Call, id: string, deadlineMs: number) => Promise<Outcome>;
interface Outcome {
  readonly status: number;
  readonly job_id?: string;
  readonly error?: { readonly code: string; readonly message: string };
}

const BULK_MAX = 1_000;
const BULK_AT_ONCE = 16;

/** `bulk_<action>` and `message_ids` are the same in the vocabulary of messages. */
const bulkIn = (base: JobsBase, named?: Action): Route<JobNeeds> => ({
  method: 'POST',
  path: `${base}/${named === undefined ? 'bulk' : `bulk_${named}`}`,
  release: 'P1',
  access: 'job:write',
  summary: 'Delete, retry or cancel up to 1000 jobs; delete needs job:delete. An outcome per id.',
  request: {
    type: 'object',
    properties: {
      action: { enum: Object.keys(ACTIONS) },
      ids: { type: 'array', minItems: 1, maxItems: BULK_MAX, items: { type: 'string' } },
    },
  },
  response: {
    type: 'object',
    required: ['data'],
    properties: {
      data: {
        type: 'array',
        items: {
          type: 'object',
          required: ['id', 'ok', 'status'],
          properties: { id: { type: 'string' }, ok: { type: 'boolean' }, status: { type: 'integer' } },
        },
      },
    },
  },
  errors: ['timeout'],
  async handle(call, { jobs, settings, bodyLimits }) {
    const { deadlineMs } = readOrderHeaders(call.req.headers, settings.http.deadline_ms);
    const { value: body } = await readJson(call, bodyLimits.native);
    const action = named ?? actionIn(body);
    if (action === 'delete' && call.principal !== undefined) requirePermission(call.principal, 'job:delete');
    const ids = idsIn(body);
    const { clock } = jobs.timers;
    const endMs = clock.nowMs() + deadlineMs;
    const data: (Outcome & { readonly id: string; readonly ok: boolean })[] = [];
    for (let at = 0; at < ids.length && !call.isOver; at += BULK_AT_ONCE) {
      const batch = ids.slice(at, at + BULK_AT_ONCE).map(async (id) => {
        const outcome = await outcomeOf(async () => {
          const leftMs = endMs - clock.nowMs();
          if (leftMs <= 0) throw new BeamlineError('timeout', 'The deadline has passed.');
          return ACTIONS[action](jobs, call, id, leftMs);
        });
        return Object.assign(outcome, { id, ok: outcome.error === undefined });
      });
      // eslint-disable-next-line no-await-in-loop -- a bounded number at a time
      data.push(...(await Promise.all(batch)));
    }
    call.json(200, { data });
  },
});

async function outcomeOf(act: () => Promise<Outcome>): Promise<Outcome> {
  try {
    return await act();
  } catch (thrown) {
    const { code, message } = BeamlineError.from(thrown);
    const row = errorRow(code);
    return {
      status: row.http,
      error: { code: row.as ?? code, message: code === 'internal' ? 'an internal fault' : message },
    };
  }
}

const isAction = (word: unknown): word is Action => typeof word === 'string' && Object.hasOwn(ACTIONS, word);

function actionIn({ action }: Body): Action {
  const word = typeof action === 'string' ? action.replace(/^bulk_/, '') : action;
  if (isAction(word)) return word;
  throw invalidField('action', `must be one of ${Object.keys(ACTIONS).join(', ')}`);
}

function idsIn(body: Body): readonly string[] {
  const name = body['ids'] === undefined && body['message_ids'] !== undefined ? 'message_ids' : 'ids';
  const ids: unknown = body[name];
  if (!Array.isArray(ids) || ids.length === 0 || ids.length > BULK_MAX) {
    throw invalidField(name, `must be a list of 1 to ${BULK_MAX} ids`);
  }
  const wrong = ids.findIndex((id) => typeof id !== 'string' || id.length === 0 || id.length > 128);
  if (wrong >= 0) throw invalidField(`${name}.${wrong}`, 'must be a text of 1 to 128 characters');
  return [...new Set(ids as readonly string[])];
}

const exportIn = (base: JobsBase): Route<JobNeeds> => ({
  method: 'POST',
  path: `${base}/export`,
  release: 'P1',
  access: 'job:export',
  summary: 'All jobs that the filters let through, without results, as a stream of lines of JSON or of CSV.',
  request: {
    type: 'object',
    properties: { format: { enum: ['ndjson', 'csv'], default: 'ndjson' }, ...FILTER_PROPERTIES },
  },
  errors: [],
  async handle(call, { jobs, bodyLimits, settings }) {
    const { value: body } = await readJson(call, bodyLimits.native);
    const { format = 'ndjson' } = body;
    if (format !== 'ndjson' && format !== 'csv') throw invalidField('format', 'must be ndjson or csv');
    const filter = readJobFilter(body);
    using place = placeToScan(jobs, call.tenantId);
    void place;
    const scanned = scanJobs(jobs.jobs, call.tenantId, filter);
    await exportJobs(call, scanned, { format, stallMs: settings.stream.stall_ms });
  },
});

export const jobActionRoutesIn = (base: JobsBase): readonly Route<JobNeeds>[] => [
  retryIn(base),
  cancelIn(base),
  bulkIn(base),
  exportIn(base),
];

export const bulkDeleteMessages = bulkIn('/api/v1/messages', 'delete');
