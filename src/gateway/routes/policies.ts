// Policies over HTTP (gateway 14.2, policy 12.2): read, list, write, delete, revisions and rollback.
// The tenant is in the path; the router does the work, and authorizes the caller once more.
import type { ErrorCode } from '../../core/errors.ts';
import { type Administer, callerOf } from '../admin-client.ts';
import type { Call } from '../call.ts';
import { type BodyLimits, readJson } from '../read-body.ts';
import type { JsonSchema, PathParams, Route } from '../route.ts';
import { etagOf, expectation, isFresh } from './policies-preconditions.ts';
import { asConflict, invalidField, keyIn, pageOf, sinceOf } from './policies-request.ts';

export interface PolicyNeeds {
  readonly administer: Administer;
  readonly bodyLimits: { readonly native: BodyLimits };
}

const ALL = '/api/v1/policies';
const BASE = `${ALL}/:tenant`;
const ONE = `${BASE}/:policy`;
const ERRORS: readonly ErrorCode[] = ['policy_not_found', 'not_found', 'invalid_reply', 'timeout'];
const WRITE_ERRORS: readonly ErrorCode[] = [...ERRORS, 'precondition_failed', 'validation_failed', 'capacity_exceeded'];

const integer = { type: 'integer' };
const text = { type: 'string' };
const document: JsonSchema = { type: 'object', required: ['version'] };
const version = {
  revision: integer,
  digest: text,
  updated_at_ms: integer,
  updated_by: text,
  deleted: { type: 'boolean' },
};
const record: JsonSchema = {
  type: 'object',
  required: ['tenant_id', 'policy_id', 'policy', ...Object.keys(version)],
  properties: { tenant_id: text, policy_id: text, policy: {}, ...version },
};
const written: JsonSchema = {
  type: 'object',
  required: ['revision', 'warnings'],
  properties: { revision: integer, warnings: { type: 'array' } },
};
const listOf = (properties: JsonSchema, more: JsonSchema = {}): JsonSchema => ({
  type: 'object',
  required: ['data', 'pagination', ...Object.keys(more)],
  properties: {
    ...more,
    data: { type: 'array', items: { type: 'object', required: Object.keys(properties), properties } },
    pagination: {
      type: 'object',
      required: ['limit', 'next_cursor', 'has_more'],
      properties: { limit: integer, next_cursor: { type: ['string', 'null'] }, has_more: { type: 'boolean' } },
    },
  },
});

type Draft = Omit<Route<PolicyNeeds>, 'release' | 'tenantIn'> & Pick<Route, 'tenantIn'>;
const route = (draft: Draft): Route<PolicyNeeds> => ({ release: 'P1', tenantIn: 'path', ...draft });
/** In the headers of a message about no tenant in particular. */
const NO_TENANT = '-';

const list = route({
  method: 'GET',
  path: BASE,
  access: 'policy:read',
  summary: 'List the policies of a tenant.',
  response: listOf({ policy_id: text, revision: integer, updated_at_ms: integer }),
  errors: ERRORS,
  async handle(call, { administer }) {
    const page = pageOf(call);
    const { items, next_cursor } = await administer(
      'list_policies',
      { tenant_id: call.tenantId, ...page },
      callerOf(call),
    );
    const pagination = { limit: page.limit, next_cursor: next_cursor ?? null, has_more: next_cursor !== undefined };
    call.json(200, { data: items, pagination });
  },
});

const changes = route({
  method: 'GET',
  path: ALL,
  access: 'policy:read',
  tenantIn: 'none',
  summary: 'The policies of all tenants, or those that changed since an earlier page; for a key of all tenants.',
  response: listOf({ tenant_id: text, policy_id: text, policy: {}, ...version }, { revision: integer }),
  errors: ['gone', 'invalid_reply', 'timeout'],
  async handle(call, { administer }) {
    const { limit, ...page } = pageOf(call);
    const params = { since: sinceOf(call), limit, ...page };
    const caller = { ...callerOf(call), tenantId: NO_TENANT };
    const { items, revision, next_cursor } = await administer('policy_changes', params, caller);
    const pagination = { limit, next_cursor: next_cursor ?? null, has_more: next_cursor !== undefined };
    call.json(200, { data: items, revision, pagination });
  },
});

const create = route({
  method: 'POST',
  path: BASE,
  access: 'policy:write',
  summary: 'Create a policy; the document names its policy_id.',
  request: { ...document, required: ['version', 'policy_id'] },
  response: written,
  statuses: [201],
  errors: [...WRITE_ERRORS, 'conflict'],
  async handle(call, { administer, bodyLimits }) {
    const { value: policy } = await readJson(call, bodyLimits.native);
    const policyId = policy['policy_id'];
    if (typeof policyId !== 'string') throw invalidField('policy_id', 'must be the name of the new policy');
    const params = { ...keyIn(call, policyId), policy, expected_revision: 0 };
    const { revision, warnings } = await administer('put_policy', params, callerOf(call)).catch(asConflict);
    const location = `/api/v1/policies/${call.tenantId}/${encodeURIComponent(policyId)}`;
    answer(call, 201, { revision, warnings }, ['location', location]);
  },
});

const read = route({
  method: 'GET',
  path: ONE,
  access: 'policy:read',
  summary: 'The current revision of a policy.',
  response: record,
  statuses: [200, 304],
  errors: ERRORS,
  async handle(call, { administer }, params) {
    const found = await administer('get_policy', keyIn(call, params['policy']), callerOf(call));
    if (isFresh(call, found.revision)) call.send(304, ['etag', etagOf(found.revision)], '');
    else answer(call, 200, { ...found });
  },
});

const put = route({
  method: 'PUT',
  path: ONE,
  access: 'policy:write',
  summary: 'Create or replace a policy; if-match and if-none-match are honoured.',
  request: document,
  response: written,
  statuses: [200, 201],
  errors: WRITE_ERRORS,
  async handle(call, { administer, bodyLimits }, params) {
    const key = { ...keyIn(call, params['policy']), ...expectation(call) };
    const { value: policy } = await readJson(call, bodyLimits.native);
    const { created, revision, warnings } = await administer('put_policy', { ...key, policy }, callerOf(call));
    answer(call, created ? 201 : 200, { revision, warnings });
  },
});

const remove = route({
  method: 'DELETE',
  path: ONE,
  access: 'policy:delete',
  summary: 'Delete a policy; if-match is honoured.',
  statuses: [204],
  errors: [...ERRORS, 'precondition_failed'],
  async handle(call, { administer }, params) {
    await administer('delete_policy', { ...keyIn(call, params['policy']), ...expectation(call) }, callerOf(call));
    call.send(204, [], '');
  },
});

const versions = route({
  method: 'GET',
  path: `${ONE}/versions`,
  access: 'policy:read',
  summary: 'The revisions of a policy that are kept, newest first.',
  response: listOf(version),
  errors: ERRORS,
  async handle(call, { administer }, params) {
    const { revisions } = await administer('policy_history', keyIn(call, params['policy']), callerOf(call));
    // There are never more than one page of them.
    call.json(200, { data: revisions, pagination: { limit: revisions.length, next_cursor: null, has_more: false } });
  },
});

const oneVersion = route({
  method: 'GET',
  path: `${ONE}/versions/:revision`,
  access: 'policy:read',
  summary: 'One revision of a policy.',
  response: record,
  errors: ERRORS,
  async handle(call, { administer }, params) {
    const key = { ...keyIn(call, params['policy']), revision: revisionIn(params) };
    answer(call, 200, { ...(await administer('get_policy', key, callerOf(call))) });
  },
});

const rollback = route({
  method: 'POST',
  path: `${ONE}/rollback`,
  access: 'policy:write',
  summary: 'Make a new revision with the content of an old one; if-match is honoured.',
  request: { type: 'object', required: ['revision'], properties: { revision: integer } },
  response: written,
  errors: WRITE_ERRORS,
  async handle(call, { administer, bodyLimits }, params) {
    const key = { ...keyIn(call, params['policy']), ...expectation(call) };
    const { revision } = (await readJson(call, bodyLimits.native)).value;
    if (!isRevision(revision)) throw invalidField('revision', 'must be an integer from 0');
    const done = await administer('rollback_policy', { ...key, to_revision: revision }, callerOf(call));
    answer(call, 200, { revision: done.revision, warnings: done.warnings });
  },
});

const isRevision = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 0;

function revisionIn({ revision = '' }: PathParams): number {
  if (/^\d{1,15}$/.test(revision)) return Number(revision);
  throw invalidField('revision', 'must be an integer from 0');
}

type Revised = { readonly revision: number } & Readonly<Record<string, unknown>>;

function answer(call: Call, status: number, body: Revised, headers: readonly string[] = []): void {
  const all = ['content-type', 'application/json', 'etag', etagOf(body.revision), ...headers];
  call.send(status, all, JSON.stringify(body));
}

export const policyRoutes: readonly Route<PolicyNeeds>[] = [
  changes,
  list,
  create,
  read,
  put,
  remove,
  versions,
  oneVersion,
  rollback,
];
