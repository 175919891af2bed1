// The registry of extensions over HTTP (gateway 14.3): the router keeps it, checks what is written and authorizes once more.
import type { RegisteredExtension } from '../../contracts/admin-operations.ts';
import { EXTENSION_TYPES } from '../../contracts/extension-descriptor.ts';
import { BeamlineError, type ErrorCode } from '../../core/errors.ts';
import { type Administer, callerOf } from '../admin-client.ts';
import type { Call } from '../call.ts';
import { type BodyLimits, readJson } from '../read-body.ts';
import type { JsonSchema, PathParams, Route } from '../route.ts';
import { etagOf, expectation, isFresh } from './policies-preconditions.ts';
import { invalidField, pageOf } from './policies-request.ts';

export interface ExtensionNeeds {
  readonly administer: Administer;
  readonly bodyLimits: { readonly native: BodyLimits };
}

const BASE = '/api/v1/extensions';
const ONE = `${BASE}/:id`;
/** Of those that stand in configurations too. */
const ID = /^[a-z][a-z0-9_]{0,63}$/;
const ERRORS: readonly ErrorCode[] = ['extension_not_found', 'invalid_reply', 'timeout'];
const WRITE_ERRORS: readonly ErrorCode[] = [
  ...ERRORS,
  'conflict',
  'precondition_failed',
  'validation_failed',
  'capacity_exceeded',
];

const text = { type: 'string' };
const integer = { type: 'integer' };
const enabled = { type: 'boolean', default: true };
const part = { type: 'string', pattern: '^[a-z0-9_]{1,32}$' };
const listOf = (maxItems: number, required: readonly string[], properties: JsonSchema): JsonSchema => ({
  type: 'array',
  maxItems,
  items: { type: 'object', required, properties, additionalProperties: false },
});
const FIELDS = {
  id: { type: 'string', pattern: '^[a-z][a-z0-9_]{1,63}$', description: 'Also a part of its subject; not `health`.' },
  type: { enum: [...EXTENSION_TYPES], description: 'Its subject follows from type and id.' },
  timeout_ms: { ...integer, minimum: 10, maximum: 5_000, default: 1_000 },
  retry: { ...integer, minimum: 0, maximum: 3, default: 0 },
  enabled,
  config: { type: 'object', description: "Settings under those of a policy's item, at most 16 KiB." },
  config_schema: {
    type: 'object',
    description: 'JSON Schema of the settings of a policy over these, without references, at most 16 KiB.',
  },
  versions: listOf(16, ['version'], {
    version: part,
    when: { ...text, description: 'Condition in the language of policies; absent: always.' },
    enabled,
  }),
  instances: listOf(64, ['id'], { id: part, weight: { ...integer, minimum: 0, maximum: 100, default: 100 }, enabled }),
};
const bodyWith = (required: readonly string[]): JsonSchema => ({
  type: 'object',
  required,
  properties: FIELDS,
  additionalProperties: false,
});
const shownSchema: JsonSchema = {
  type: 'object',
  required: ['id', 'type', 'timeout_ms', 'retry', 'enabled', 'versions', 'instances', 'source', 'revision'],
  properties: {
    ...FIELDS,
    source: { enum: ['api', 'configuration'] },
    revision: { ...integer, description: '0 of one that stands in the configuration.' },
    updated_at_ms: integer,
    updated_by: text,
  },
};

type Draft = Omit<Route<ExtensionNeeds>, 'release'>;
const route = (draft: Draft): Route<ExtensionNeeds> => ({ release: 'P1', ...draft });

const list = route({
  method: 'GET',
  path: BASE,
  access: 'extension:read',
  summary: 'The extensions that policies may name, by id: those of the configuration and those made here.',
  response: {
    type: 'object',
    required: ['data', 'pagination'],
    properties: { data: { type: 'array', items: shownSchema }, pagination: { type: 'object' } },
  },
  errors: ['invalid_reply', 'timeout'],
  async handle(call, { administer }) {
    const page = pageOf(call);
    const { items, next_cursor } = await administer('list_extensions', page, callerOf(call));
    const pagination = { limit: page.limit, next_cursor: next_cursor ?? null, has_more: next_cursor !== undefined };
    call.json(200, { data: items.map(shown), pagination });
  },
});

const read = route({
  method: 'GET',
  path: ONE,
  access: 'extension:read',
  summary: 'One extension.',
  response: shownSchema,
  statuses: [200, 304],
  errors: ERRORS,
  async handle(call, { administer }, params) {
    const found = await administer('get_extension', { extension_id: idIn(params) }, callerOf(call));
    if (isFresh(call, found.revision)) call.send(304, ['etag', etagOf(found.revision)], '');
    else answer(call, 200, found);
  },
});

const create = route({
  method: 'POST',
  path: BASE,
  access: 'extension:write',
  summary: 'Make an extension. The answering router knows it at once, others a moment later.',
  request: bodyWith(['id', 'type']),
  response: shownSchema,
  statuses: [201],
  errors: WRITE_ERRORS,
  async handle(call, { administer, bodyLimits }) {
    const { value: extension } = await readJson(call, bodyLimits.native);
    const { id } = extension;
    if (typeof id !== 'string' || !ID.test(id)) throw invalidField('id', `must match ${FIELDS.id.pattern}`);
    const params = { extension_id: id, extension, expected_revision: 0 };
    const made = await administer('put_extension', params, callerOf(call)).catch(asTaken);
    answer(call, 201, made, ['location', `${BASE}/${id}`]);
  },
});

const put = route({
  method: 'PUT',
  path: ONE,
  access: 'extension:write',
  summary: 'Make or replace an extension; if-match and if-none-match are honoured.',
  request: bodyWith(['type']),
  response: shownSchema,
  statuses: [200, 201],
  errors: WRITE_ERRORS,
  async handle(call, { administer, bodyLimits }, params) {
    const key = { extension_id: idIn(params), ...expectation(call) };
    const { value: extension } = await readJson(call, bodyLimits.native);
    const done = await administer('put_extension', { ...key, extension }, callerOf(call));
    answer(call, done.created ? 201 : 200, done);
  },
});

const patch = route({
  method: 'PATCH',
  path: ONE,
  access: 'extension:write',
  summary: 'Change members of an extension that was made here; each is replaced whole, and if-match is honoured.',
  request: bodyWith([]),
  response: shownSchema,
  errors: WRITE_ERRORS,
  async handle(call, { administer, bodyLimits }, params) {
    const key = { extension_id: idIn(params) };
    const expected = expectation(call);
    const { value: change } = await readJson(call, bodyLimits.native);
    const { extension: old, revision, source } = await administer('get_extension', key, callerOf(call));
    // What is read here is what is changed; one of the configuration is refused by the router.
    const seen = source === 'configuration' ? {} : { expected_revision: revision };
    const write = { ...key, extension: { ...old, ...change }, ...seen, ...expected };
    answer(call, 200, await administer('put_extension', write, callerOf(call)));
  },
});

const remove = route({
  method: 'DELETE',
  path: ONE,
  access: 'extension:write',
  summary: 'Delete an extension that no policy names; if-match is honoured.',
  statuses: [204],
  errors: [...ERRORS, 'conflict', 'precondition_failed'],
  async handle(call, { administer }, params) {
    await administer('delete_extension', { extension_id: idIn(params), ...expectation(call) }, callerOf(call));
    call.send(204, [], '');
  },
});

const resetBreaker = route({
  method: 'POST',
  path: `${ONE}/breaker/reset`,
  access: 'breaker:reset',
  summary: 'Close the breakers of an extension on every router and every worker and let them judge anew.',
  response: {
    type: 'object',
    required: ['states'],
    properties: {
      states: {
        type: 'object',
        description:
          'By version and instance, as the answering router knows them; it knows none of post-processors, which workers ask.',
        additionalProperties: { type: 'object', properties: { state: { enum: ['closed', 'half_open', 'open'] } } },
      },
    },
  },
  errors: ERRORS,
  async handle(call, { administer }, params) {
    const { health } = await administer('reset_extension_breaker', { extension_id: idIn(params) }, callerOf(call));
    const states = health.map(({ endpoint, breaker }) => [endpoint, { state: breaker }]);
    call.json(200, { states: Object.fromEntries(states) as Readonly<Record<string, unknown>> });
  },
});

function idIn({ id = '' }: PathParams): string {
  if (ID.test(id)) return id;
  throw invalidField('id', `must match ${ID.source}`);
}

/** What is there was not expected to be. */
function asTaken(fault: unknown): never {
  const error = BeamlineError.from(fault);
  if (error.code !== 'precondition_failed') throw error;
  throw new BeamlineError('conflict', 'There is an extension of this id.', { cause: error });
}

const shown = ({ extension, source, revision, updated_at_ms, updated_by }: RegisteredExtension) => ({
  ...extension,
  source,
  revision,
  ...(updated_at_ms === undefined ? {} : { updated_at_ms }),
  ...(updated_by === undefined ? {} : { updated_by }),
});

function answer(call: Call, status: number, one: RegisteredExtension, headers: readonly string[] = []): void {
  const all = ['content-type', 'application/json', 'etag', etagOf(one.revision), ...headers];
  call.send(status, all, JSON.stringify(shown(one)));
}

export const extensionRoutes: readonly Route<ExtensionNeeds>[] = [list, read, create, put, patch, remove, resetBreaker];
