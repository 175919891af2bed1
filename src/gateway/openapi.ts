// OpenAPI 3.1 out of the route table: what a route declares is what the document says (gateway 18).
import { createHash } from 'node:crypto';
import { type ErrorCode, errorRow } from '../core/errors.ts';
import { dialectOf, HTTP_DIALECTS, type HttpDialect } from './http-dialect.ts';
import type { Route } from './route.ts';
import { routeTable } from './route-table.ts';

type Declared = Omit<Route, 'handle'>;
type Json = Readonly<Record<string, unknown>>;

export interface ServedDocument {
  readonly text: string;
  readonly etag: string;
}

const ALWAYS: readonly ErrorCode[] = ['invalid_request', 'headers_too_large', 'request_timeout', 'internal'];
const WITH_KEY: readonly ErrorCode[] = [
  'unauthorized',
  'tenant_required',
  'forbidden',
  'unavailable',
  'draining',
  'service_overloaded',
];
const WITH_BODY: readonly ErrorCode[] = ['request_too_large', 'unsupported_media_type', 'timeout'];

const text = { type: 'string' };
const ENVELOPES: Record<HttpDialect, Json> = {
  openai: {
    type: 'object',
    required: ['error'],
    properties: {
      error: {
        type: 'object',
        required: ['message', 'type', 'code', 'param', 'request_id'],
        properties: { message: text, type: text, code: text, param: { type: ['string', 'null'] }, request_id: text },
      },
    },
  },
  anthropic: {
    type: 'object',
    required: ['type', 'error', 'request_id'],
    properties: {
      type: { const: 'error' },
      error: { type: 'object', required: ['type', 'message'], properties: { type: text, message: text } },
      request_id: text,
    },
  },
  native: {
    type: 'object',
    required: ['type', 'title', 'status', 'ok', 'error', 'context'],
    properties: {
      type: text,
      title: text,
      status: { type: 'integer' },
      ok: { const: false },
      error: {
        type: 'object',
        required: ['code', 'message', 'intake_error_code', 'details'],
        properties: {
          code: text,
          message: text,
          intake_error_code: { type: ['string', 'null'] },
          details: { type: 'object' },
        },
      },
      context: { type: 'object', properties: { request_id: text, trace_id: text, tenant_id: text } },
    },
  },
};

/** The document of every route of the table. */
export function openApiDocument(): Json {
  const paths: Record<string, Record<string, Json>> = {};
  for (const route of routeTable) {
    const path = templateOf(route.path);
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: operationOf(route) };
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Beamline',
      version: '1',
      description: 'Paths marked P2, and those that answer 501, are to come.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/', description: 'The gateway that serves this document.' }],
    paths,
    components: {
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer' },
        key: { type: 'apiKey', in: 'header', name: 'x-api-key' },
      },
      responses: Object.fromEntries(
        HTTP_DIALECTS.map((dialect) => [
          errorName(dialect),
          {
            description: 'A failure; x-error-codes of the operation lists the codes.',
            content: json({ $ref: `#/components/schemas/${errorName(dialect)}` }),
          },
        ]),
      ),
      schemas: Object.fromEntries(Object.entries(ENVELOPES).map(([dialect, schema]) => [errorName(dialect), schema])),
    },
  };
}

/** The document as it is sent. */
export function servedDocument(): ServedDocument {
  const text = JSON.stringify(openApiDocument());
  return { text, etag: `"${createHash('sha256').update(text).digest('base64url').slice(0, 22)}"` };
}

const errorName = (dialect: string): string => `${dialect}_error`;

/** `:name` and a closing `*` as `{name}` and `{rest}`. */
const templateOf = (path: string): string => path.replaceAll(/:(\w+)/g, '{$1}').replace('*', '{rest}');

function operationOf(route: Declared): Json {
  const isPublic = route.access === 'public';
  const parameters = [...templateOf(route.path).matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
    name,
    in: 'path',
    required: true,
    schema: text,
  }));
  return {
    operationId: operationIdOf(route),
    summary: route.summary,
    'x-release': route.release,
    'x-permission': route.permission ?? route.access,
    security: isPublic ? [] : [{ bearer: [] }, { key: [] }],
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(route.request === undefined ? {} : { requestBody: { required: true, content: json(route.request) } }),
    'x-error-codes': codesOf(route),
    responses: responsesOf(route),
  };
}

/** `GET /v1/models/*` is `get_v1_models_rest`: what generated clients call it, so it lasts as long as the path. */
const operationIdOf = ({ method, path }: Declared): string =>
  `${method.toLowerCase()}_${(templateOf(path).match(/\w+/g) ?? []).join('_')}`;

function codesOf(route: Declared): readonly ErrorCode[] {
  const codes = new Set([...route.errors, ...ALWAYS]);
  if (route.access !== 'public') for (const code of WITH_KEY) codes.add(code);
  if (route.request !== undefined) for (const code of WITH_BODY) codes.add(code);
  return [...codes].toSorted();
}

function responsesOf(route: Declared): Json {
  const name = errorName(dialectOf(route.path, {}));
  const statuses = new Set(codesOf(route).map((code) => errorRow(code).http));
  const failures = Object.fromEntries(
    Array.from(statuses, (status) => [status, { $ref: `#/components/responses/${name}` }]),
  );
  const good = route.response === undefined ? {} : { content: json(route.response) };
  const done = (route.statuses ?? [200]).map((status) => [
    status,
    { description: 'As asked.', ...(status === NO_CONTENT ? {} : good) },
  ]);
  return { ...(isPromise(route) ? {} : Object.fromEntries(done)), ...failures };
}

const NO_CONTENT = 204;

/** Promised, not built. */
const isPromise = ({ errors, response }: Declared): boolean =>
  errors.includes('not_implemented') && response === undefined;

const json = (schema: Json): Json => ({ 'application/json': { schema } });
