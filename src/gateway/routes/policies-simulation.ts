// What a policy would do, without doing it (gateway 14.2): validate, complexity, explain, dry run.
import type { AdminParams, StoredDecision } from '../../contracts/admin-operations.ts';
import { decideV2 } from '../../contracts/decide.ts';
import type { ErrorCode } from '../../core/errors.ts';
import { callerOf } from '../admin-client.ts';
import type { Call } from '../call.ts';
import { readJson } from '../read-body.ts';
import type { JsonSchema, Route } from '../route.ts';
import type { PolicyNeeds } from './policies.ts';
import { policyReplay } from './policies-replay.ts';
import { checked, invalidField, keyIn } from './policies-request.ts';

type Body = Readonly<Record<string, unknown>>;

const BASE = '/api/v1/policies/:tenant';
const ERRORS: readonly ErrorCode[] = ['policy_not_found', 'not_found', 'validation_failed', 'invalid_reply', 'timeout'];
const CALLS: readonly ErrorCode[] = [...ERRORS, 'service_overloaded'];

const findings = { type: 'array', items: { type: 'object', required: ['path', 'code', 'message'] } };
const fields = (decideV2.request.schema as { properties?: Record<string, unknown> }).properties ?? {};
/** Of a decide request, without what says where and for whom it is executed. */
const COPIED = [
  'request_id',
  'task',
  'context',
  'constraints',
  'metadata',
  'stream',
  'tenant',
  'principal',
  'estimate',
  'deadline_ms',
  'options',
] as const;
/** Of the body, beside the request: what stands in for the stored policy, the draw, the time and the router's knowledge. */
const GIVEN = ['revision', 'seed', 'time_ms', 'snapshot', 'extensions'] as const;

const simulated: JsonSchema = {
  type: 'object',
  required: ['request'],
  properties: {
    request: {
      type: 'object',
      required: ['task'],
      properties: Object.fromEntries(COPIED.map((name) => [name, fields[name]])),
    },
    document: { type: 'object' },
    revision: { type: 'integer', minimum: 0 },
    seed: { type: 'string' },
    time_ms: { type: 'integer', minimum: 0 },
    snapshot: { type: 'object' },
    extensions: { enum: ['skip', 'call'] },
  },
};
const explained: JsonSchema = {
  type: 'object',
  required: ['ok', 'explanation', 'context'],
  properties: {
    ok: { const: true },
    decision: { type: 'object' },
    refusal: { type: 'object', required: ['code', 'message'] },
    explanation: { type: ['object', 'null'] },
    context: { type: 'object' },
  },
};
/** A request is described, or one that was recorded is named. */
const explainable: JsonSchema = {
  type: 'object',
  properties: { ...(simulated['properties'] as object), request_id: { type: 'string' } },
};
const dryRun: JsonSchema = {
  ...explained,
  properties: {
    ...(explained['properties'] as object),
    executed_extensions: {
      type: 'array',
      items: { type: 'object', required: ['id', 'type', 'status', 'latency_ms'] },
    },
    final_payload: { type: 'object' },
    payload_digest: { type: 'string' },
    blocked_by: { type: ['string', 'null'] },
  },
};

const validate: Route<PolicyNeeds> = {
  method: 'POST',
  path: `${BASE}/validate`,
  release: 'P1',
  access: 'policy:simulate',
  tenantIn: 'path',
  summary: 'Check a document without writing it.',
  request: { type: 'object', required: ['document'], properties: { document: {}, policy_id: { type: 'string' } } },
  response: {
    type: 'object',
    required: ['valid', 'errors', 'warnings'],
    properties: { valid: { type: 'boolean' }, errors: findings, warnings: findings },
  },
  errors: ERRORS,
  async handle(call, { administer, bodyLimits }) {
    const { value: body } = await readJson(call, bodyLimits.native);
    const { document: policy, policy_id: policyId } = body;
    if (policy === undefined) throw invalidField('document', 'is required');
    if (policyId !== undefined && typeof policyId !== 'string') throw invalidField('policy_id', 'must be a text');
    const key = policyId === undefined ? { tenant_id: call.tenantId } : keyIn(call, policyId);
    call.json(200, await administer('validate_policy', { ...key, policy }, callerOf(call)));
  },
};

const complexity: Route<PolicyNeeds> = {
  method: 'GET',
  path: `${BASE}/:policy/complexity`,
  release: 'P1',
  access: 'policy:read',
  tenantIn: 'path',
  summary: 'What the extensions of a policy cost a request.',
  response: {
    type: 'object',
    required: ['extensions', 'score', 'level', 'estimated_latency_ms', 'warnings'],
    properties: { score: { type: 'integer' }, level: { type: 'string' }, warnings: findings },
  },
  errors: ERRORS,
  async handle(call, { administer }, params) {
    call.json(200, await administer('get_complexity', keyIn(call, params['policy']), callerOf(call)));
  },
};

const explain: Route<PolicyNeeds> = {
  method: 'POST',
  path: `${BASE}/:policy/explain`,
  release: 'P1',
  access: 'policy:simulate',
  tenantIn: 'path',
  summary: 'Decide for a request that is only described, or for a recorded one, and explain it.',
  request: explainable,
  response: explained,
  errors: CALLS,
  async handle(call, { administer, bodyLimits }, params) {
    const { value: body } = await readJson(call, bodyLimits.native);
    const requestId = body['request_id'];
    const { decision, refusal, explanation } =
      requestId === undefined
        ? await administer('dry_run', paramsOf(call, body, params['policy']), callerOf(call))
        : await administer('get_decision', recordedOf(call, body, params['policy']), callerOf(call));
    call.json(200, { ...toldOf({ decision, refusal, explanation }), context: contextOf(call) });
  },
};

const dryRunOf = (path: string, where: Pick<Route, 'tenantIn'>): Route<PolicyNeeds> => ({
  method: 'POST',
  path,
  release: 'P1',
  access: 'policy:simulate',
  ...where,
  summary: 'Decide for a request without any effect, and explain it.',
  request: simulated,
  response: dryRun,
  errors: CALLS,
  async handle(call, { administer, bodyLimits }, params) {
    const { value: body } = await readJson(call, bodyLimits.native);
    const asked = paramsOf(call, body, params['policy']);
    const done = await administer('dry_run', asked, callerOf(call));
    call.json(200, {
      ...toldOf(done),
      executed_extensions: done.executed_extensions,
      final_payload: done.final_payload ?? asked.request.task.payload,
      payload_digest: done.payload_digest,
      blocked_by: done.blocked_by ?? null,
      context: contextOf(call),
    });
  },
});

interface Told {
  readonly decision?: StoredDecision['decision'] | undefined;
  readonly refusal?: StoredDecision['refusal'] | undefined;
  readonly explanation?: StoredDecision['explanation'] | undefined;
}

const toldOf = ({ decision, refusal, explanation }: Told) => ({
  ok: true,
  explanation: explanation ?? null,
  ...(decision && { decision }),
  ...(refusal && { refusal }),
});

/** A recorded request, explained by what the body names, else by what decided it. */
function recordedOf(call: Call, body: Body, policyId: string | undefined): AdminParams['get_decision'] {
  if (body['request'] !== undefined) throw invalidField('request_id', 'excludes request');
  const params: Record<string, unknown> = { ...keyIn(call, policyId), request_id: body['request_id'] };
  if (body['revision'] !== undefined) params['revision'] = body['revision'];
  if (body['document'] !== undefined) params['policy'] = body['document'];
  return checked('get_decision', params);
}

/** `policyId` is that of the path; without one the body names it. */
function paramsOf(call: Call, body: Body, policyId?: string): AdminParams['dry_run'] {
  const given = body['request'];
  if (typeof given !== 'object' || given === null) throw invalidField('request', 'must be an object');
  const named = policyId ?? textOf(body['policy_id']);
  const request: Record<string, unknown> = { version: '2', request_id: call.requestId, ...keyIn(call, named) };
  for (const name of COPIED) if (Object.hasOwn(given, name)) request[name] = (given as Body)[name];
  const params: Record<string, unknown> = { request };
  for (const name of GIVEN) if (body[name] !== undefined) params[name] = body[name];
  if (body['document'] !== undefined) params['policy'] = body['document'];
  return checked('dry_run', params);
}

const contextOf = (call: Call) => ({ request_id: call.requestId, trace_id: call.traceId, tenant_id: call.tenantId });

export const policySimulationRoutes: readonly Route<PolicyNeeds>[] = [
  validate,
  complexity,
  explain,
  policyReplay,
  dryRunOf(`${BASE}/:policy/dry-run`, { tenantIn: 'path' }),
  dryRunOf('/api/v1/policies/dry-run', {}),
];

/** What is no text names no policy, and is refused as such. */
const textOf = (id: unknown): string => (id === undefined ? 'default' : typeof id === 'string' ? id : '');
