// POST /api/v1/routes/decide: what a policy would choose, without doing it (gateway 14.1).
// The body is checked as the message that it becomes; fields that we do not know are dropped.
import { decideV2, type DecideRequest, type DecideResponse } from '../../contracts/decide.ts';
import { BeamlineError } from '../../core/errors.ts';
import { errorOfReply } from '../bus-error.ts';
import type { Call } from '../call.ts';
import { type OrderHeaders, readOrderHeaders, refuseTags } from '../order-headers.ts';
import { type BodyLimits, readJson } from '../read-body.ts';
import type { JsonSchema, Route } from '../route.ts';
import type { GatewaySettings } from '../settings.ts';
import { addWishes } from '../wishes.ts';

interface DecideNeeds {
  readonly settings: GatewaySettings;
  readonly bodyLimits: { readonly native: BodyLimits };
  readonly decide: (request: Omit<DecideRequest, 'version'>, timeoutMs: number) => Promise<DecideResponse>;
}

type Body = Readonly<Record<string, unknown>>;

const COPIED = ['task', 'policy_id', 'context', 'constraints', 'metadata'] as const;

const fields = (decideV2.request.schema as { properties?: Record<string, unknown> }).properties ?? {};
const answers = (decideV2.reply.schema as { properties?: Record<string, unknown> }).properties ?? {};

const requestSchema: JsonSchema = {
  type: 'object',
  required: ['task'],
  properties: {
    ...Object.fromEntries(COPIED.map((name) => [name, fields[name]])),
    options: { type: 'object', properties: { explain: { type: 'boolean' } } },
    deadline_ms: { type: 'integer', minimum: 1 },
    tenant_id: { type: 'string' },
    push_assignment: { type: 'boolean' },
  },
};

const responseSchema: JsonSchema = {
  type: 'object',
  required: ['ok', 'context'],
  properties: {
    ok: { const: true },
    decision: answers['decision'],
    explanation: answers['explanation'],
    context: answers['context'],
  },
};

export const decideRoute: Route<DecideNeeds> = {
  method: 'POST',
  path: '/api/v1/routes/decide',
  release: 'P1',
  access: 'decision:write',
  summary: 'Decide by policy without executing.',
  request: requestSchema,
  response: responseSchema,
  errors: ['policy_not_found', 'no_provider_available', 'invalid_reply', 'timeout', 'not_implemented'],
  async handle(call, { settings, bodyLimits, decide }) {
    const headers = readOrderHeaders(call.req.headers, settings.http.deadline_ms);
    refuseTags(headers);
    const { value: body } = await readJson(call, bodyLimits.native);
    if (body['push_assignment'] === true) {
      throw new BeamlineError('not_implemented', 'Decisions are not executed here yet.');
    }
    const timeoutMs = Math.min(headers.deadlineMs, deadlineOf(body));
    const request = requestOf(call, body, { ...headers, timeoutMs });
    const { backpressure } = call.edge;
    if (backpressure.isActive) throw backpressure.refusal(call);
    const response = await decide(request, timeoutMs);
    if (!response.ok) throw errorOfReply(response);
    const { decision, explanation } = response;
    const context = { request_id: call.requestId, trace_id: call.traceId, tenant_id: call.tenantId };
    call.json(200, { ok: true, decision, explanation, context });
  },
};

/** Throws `invalid_request` for a body that makes no legal message, `forbidden` for what the key may not ask. */
function requestOf(
  call: Call,
  body: Body,
  asked: Pick<OrderHeaders, 'policyId' | 'wishes'> & { readonly timeoutMs: number },
): Omit<DecideRequest, 'version'> {
  const { tenantId, principal } = call;
  if (body['tenant_id'] !== undefined && body['tenant_id'] !== tenantId) {
    throw new BeamlineError('forbidden', 'The body names another tenant.');
  }
  const message: Record<string, unknown> = {
    version: '2',
    request_id: call.requestId,
    tenant_id: tenantId,
    trace_id: call.traceId,
    push_assignment: false,
    deadline_ms: asked.timeoutMs,
    options: { explain: wantsExplanation(body) ? 'detailed' : 'none' },
    principal: { key_id: principal?.keyId ?? '', scopes: [...(principal?.scopes ?? [])] },
  };
  if (asked.policyId !== undefined) message['policy_id'] = asked.policyId;
  for (const name of COPIED) if (body[name] !== undefined) message[name] = body[name];
  if (!decideV2.request.check(message)) throw invalid(decideV2.request.fault(message));
  if (!(principal?.policies?.has(message.policy_id ?? 'default') ?? true)) {
    throw new BeamlineError('forbidden', 'The key may not use this policy.');
  }
  if (asked.wishes !== undefined) addWishes(message, asked.wishes);
  const { version: _, ...request } = message;
  return request;
}

function wantsExplanation(body: Body): boolean {
  const options = body['options'];
  if (options === undefined) return false;
  if (typeof options !== 'object' || options === null) throw invalid('/options: must be object');
  const { explain = false } = options as { readonly explain?: unknown };
  if (typeof explain !== 'boolean') throw invalid('/options/explain: must be boolean');
  return explain;
}

function deadlineOf(body: Body): number {
  const deadlineMs = body['deadline_ms'];
  if (deadlineMs === undefined) return Number.POSITIVE_INFINITY;
  if (typeof deadlineMs === 'number' && Number.isInteger(deadlineMs) && deadlineMs > 0) return deadlineMs;
  throw invalid('/deadline_ms: must be a positive integer');
}

/** `fault` is a pointer, a colon and what is wrong there. */
function invalid(fault: string): BeamlineError {
  const [pointer = '', ...rest] = fault.split(': ');
  const path = pointer.slice(1).replaceAll('/', '.').slice(0, 64);
  const message = `${path === '' ? 'The body' : path} ${rest.join(': ')}`;
  return new BeamlineError('invalid_request', message, {
    details: { reason: 'schema', fields: [{ path, code: 'invalid', message }] },
  });
}
