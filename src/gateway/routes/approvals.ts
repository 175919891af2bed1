// Questions that jobs wait for (gateway 14.5, worker 11): list, read, decide. The router counts votes and goes on.
import { type Approval, approval, approvalKey } from '../../contracts/approval.ts';
import { keyPattern } from '../../contracts/bucket.ts';
import { BeamlineError } from '../../core/errors.ts';
import type { Call } from '../call.ts';
import { shortTextIn, textIn } from '../jobs/job-fields.ts';
import { readIfLegal, readRecord } from '../jobs/job-records.ts';
import { timeOf } from '../jobs/job-view.ts';
import type { Jobs } from '../jobs/jobs.ts';
import { readJson } from '../read-body.ts';
import type { JsonSchema, Route } from '../route.ts';
import { type JobNeeds, placeToScan, queryOf } from './jobs.ts';
import { invalidField, pageOf } from './policies-request.ts';

const ID = /^[\x21-\x7e]{1,128}$/;
const STATUSES = ['pending', 'decided', 'expired', 'cancelled'];
const COMMENT_CHARS_MAX = 1_024;

const text = { type: 'string' };
const approvalSchema: JsonSchema = {
  type: 'object',
  required: ['id', 'tenant_id', 'job_id', 'title', 'options', 'approvers', 'quorum', 'status', 'votes', 'created_at'],
  properties: {
    id: text,
    tenant_id: text,
    job_id: text,
    title: text,
    body: text,
    artefacts: { type: 'array' },
    options: { type: 'array', items: text },
    approvers: { type: 'array', items: text },
    quorum: { type: 'integer' },
    requester: text,
    on_timeout: { enum: ['reject', 'approve', 'fail'] },
    status: { enum: STATUSES },
    votes: { type: 'array', items: { type: 'object', required: ['approver', 'option', 'at'] } },
    verdict: { type: 'object' },
    created_at: text,
    expires_at: text,
  },
};

function shown(record: Approval): Record<string, unknown> {
  const { version: _, approval_id, assignment_id: __, votes, created_at_ms, expires_at_ms, verdict, ...rest } = record;
  return {
    id: approval_id,
    ...rest,
    votes: votes.map(({ approver, option, comment, at_ms }) => ({ approver, option, comment, at: timeOf(at_ms) })),
    ...(verdict === undefined
      ? {}
      : {
          verdict: {
            outcome: verdict.outcome,
            option: verdict.option ?? null,
            decided_at: timeOf(verdict.decided_at_ms),
          },
        }),
    created_at: timeOf(created_at_ms),
    expires_at: timeOf(expires_at_ms),
  };
}

const list: Route<JobNeeds> = {
  method: 'GET',
  path: '/api/v1/approvals',
  release: 'P1',
  access: 'approval:read',
  summary: 'List approvals, newest first. Filter: status. Reads all approvals of the tenant.',
  response: {
    type: 'object',
    required: ['data', 'pagination'],
    properties: { data: { type: 'array', items: approvalSchema }, pagination: { type: 'object' } },
  },
  errors: [],
  async handle(call, { jobs }) {
    const { limit, cursor } = pageOf(call);
    const status = textIn(queryOf(call), 'status');
    if (status !== undefined && !STATUSES.includes(status)) {
      throw invalidField('status', `must be one of ${STATUSES.join(', ')}`);
    }
    using place = placeToScan(jobs, call.tenantId);
    void place;
    const entries = await jobs.approvals.entries(keyPattern(call.tenantId, undefined));
    const all = entries
      .map(({ value }) => readIfLegal(approval, value))
      .filter((record) => record !== undefined)
      .filter((record) => status === undefined || record.status === status)
      .toSorted((a, b) => b.created_at_ms - a.created_at_ms || (a.approval_id < b.approval_id ? 1 : -1));
    const from = cursor === undefined ? 0 : placeAfter(all, cursor);
    const page = all.slice(from, from + limit);
    const hasMore = from + limit < all.length;
    const last = page.at(-1);
    call.json(200, {
      data: page.map(shown),
      pagination: { limit, next_cursor: hasMore && last !== undefined ? cursorOf(last) : null, has_more: hasMore },
    });
  },
};

const cursorOf = ({ created_at_ms, approval_id }: Approval): string => `${created_at_ms}.${approval_id}`;

/** Index of the first one after the cursor, whether or not the one that it names is still there. */
function placeAfter(all: readonly Approval[], cursor: string): number {
  const [, created, id] = /^(\d{1,16})\.([\x21-\x7e]{1,128})$/.exec(cursor) ?? [];
  if (created === undefined || id === undefined) throw invalidField('cursor', 'must be one that a list gave');
  const ms = Number(created);
  const index = all.findIndex(
    ({ created_at_ms, approval_id }) => created_at_ms < ms || (created_at_ms === ms && approval_id < id),
  );
  return index < 0 ? all.length : index;
}

const read: Route<JobNeeds> = {
  method: 'GET',
  path: '/api/v1/approvals/:id',
  release: 'P1',
  access: 'approval:read',
  summary: 'One approval.',
  response: approvalSchema,
  errors: ['not_found'],
  async handle(call, { jobs }, { id = '' }) {
    call.json(200, shown(await requireApproval(jobs, call, id)));
  },
};

const decide: Route<JobNeeds> = {
  method: 'POST',
  path: '/api/v1/approvals/:id/decision',
  release: 'P1',
  access: 'approval:decide',
  summary: 'Choose an option, once, as a listed approver who is not the requester.',
  request: {
    type: 'object',
    required: ['option'],
    properties: {
      option: { type: 'string', maxLength: 64 },
      comment: { type: 'string', maxLength: COMMENT_CHARS_MAX },
    },
  },
  response: approvalSchema,
  errors: ['not_found', 'conflict', 'gone', 'timeout', 'invalid_reply'],
  async handle(call, { jobs, bodyLimits }, { id = '' }) {
    const { value: body } = await readJson(call, bodyLimits.native);
    const option = shortTextIn(body, 'option', 64);
    const comment = shortTextIn(body, 'comment', COMMENT_CHARS_MAX);
    if (option === undefined) throw invalidField('option', 'must be one of the options');
    const { job_id, options } = await requireApproval(jobs, call, id);
    if (!options.includes(option)) throw invalidField('option', `must be one of ${options.join(', ').slice(0, 256)}`);
    await jobs.control('approve', call, job_id, comment === undefined ? { option } : { option, comment });
    call.json(200, shown(await requireApproval(jobs, call, id)));
  },
};

/** Throws `not_found`, the same for a foreign one as for one that is not there. */
async function requireApproval({ approvals }: Jobs, { tenantId }: Call, id: string): Promise<Approval> {
  const entry = ID.test(id) ? await approvals.get(approvalKey(tenantId, id)) : undefined;
  if (entry === undefined) throw new BeamlineError('not_found', 'The tenant has no such approval.');
  return readRecord(approval, entry.value);
}

export const approvalRoutes: readonly Route<JobNeeds>[] = [list, read, decide];
