// POST /v1/chat/completions: reads the request, resolves its model, and lets a reader answer it (gateway 13).
import type { Principal } from '../../auth/principal.ts';
import { BeamlineError } from '../../core/errors.ts';
import { readChatRequest } from '../../dialect/openai-chat.ts';
import type { Call } from '../call.ts';
import { answerAsync } from '../jobs/answer-async.ts';
import type { Jobs } from '../jobs/jobs.ts';
import { preferenceOf } from '../jobs/prefer.ts';
import type { ModelTarget, ModelNames } from '../model-port.ts';
import type { Exchanges, Order } from '../order.ts';
import { readOrderHeaders } from '../order-headers.ts';
import { overloaded } from '../overload.ts';
import { type BodyLimits, readJson } from '../read-body.ts';
import type { JsonSchema, Route } from '../route.ts';
import type { GatewaySettings } from '../settings.ts';
import { StreamAnswer } from '../stream-answer.ts';
import { WholeAnswer } from '../whole-answer.ts';
import type { EdgeMetrics } from '../edge-metrics.ts';

interface ChatNeeds {
  readonly settings: GatewaySettings;
  readonly bodyLimits: { readonly inference: BodyLimits };
  readonly exchanges: Exchanges;
  readonly jobs: Jobs;
  readonly names: ModelNames;
  readonly metrics: EdgeMetrics;
}

const requestSchema: JsonSchema = {
  type: 'object',
  required: ['model', 'messages'],
  properties: {
    model: { type: 'string', minLength: 1, maxLength: 256 },
    messages: { type: 'array', minItems: 1, maxItems: 4096, items: { type: 'object', required: ['role'] } },
    stream: { type: ['boolean', 'null'] },
    stream_options: { type: ['object', 'null'], properties: { include_usage: { type: 'boolean' } } },
  },
  additionalProperties: true,
};

const responseSchema: JsonSchema = {
  type: 'object',
  description:
    'The completion as the provider wrote it; with `stream` a sequence of chunk events that ends with [DONE].',
  additionalProperties: true,
};

export const chatCompletions: Route<ChatNeeds> = {
  method: 'POST',
  path: '/v1/chat/completions',
  release: 'P1',
  access: 'inference:call',
  summary: 'Create a chat completion, whole or as a stream; with `prefer: respond-async` as a job.',
  request: requestSchema,
  response: responseSchema,
  statuses: [200, 202],
  errors: [
    'idempotency_conflict',
    'rate_limit_exceeded',
    'model_not_found',
    'context_length_exceeded',
    'content_blocked',
    'provider_error',
    'provider_protocol_error',
    'provider_rate_limited',
    'provider_unavailable',
    'no_provider_available',
    'worker_lost',
  ],
  async handle(call, { settings, bodyLimits, exchanges, jobs, names, metrics }) {
    const headers = readOrderHeaders(call.req.headers, settings.http.deadline_ms);
    const body = await readJson(call, bodyLimits.inference);
    const asked = readChatRequest(body.value, body.bytes);
    const target = resolveModel(names, call, { model: asked.model, policyId: headers.policyId });
    const preference = asked.stream ? undefined : preferenceOf(call);
    if (preference?.isAsync !== true && exchanges.active >= settings.backpressure.max_in_flight)
      throw overloaded(call.requestId);
    const order: Order = {
      requestId: call.requestId,
      traceId: call.traceId,
      tenantId: call.tenantId,
      keyId: call.principal?.keyId ?? '',
      userId: headers.userId ?? userOf(asked.user),
      taskType: 'ai.chat',
      dialect: 'openai.chat',
      body: body.value,
      stream: asked.stream,
      policyId: target.policyId,
      model: target.model,
      providersAllow: narrowed(target.providersAllow, headers.providerId),
      context: headers.sessionId === undefined ? NOTHING : { session_id: headers.sessionId },
      inputTokensEstimate: asked.estimateInputTokens,
      outputTokensMax: asked.maxOutputTokens,
      deadlineMs: headers.deadlineMs,
      idleMs: headers.idleMs,
      attemptsMax: headers.attemptsMax,
    };
    if (call.isOver) return;
    if (preference?.isAsync === true) return answerAsync(call, jobs, order, preference.waitS);
    if (asked.stream) {
      new StreamAnswer(call, exchanges, order, {
        settings: settings.stream,
        includeUsage: asked.includeUsage,
        chunks: metrics.chunks.of('openai'),
      });
    } else new WholeAnswer(call, exchanges, order);
  },
};

/** Throws `model_not_found` also for what the key may not call: a caller learns nothing of foreign names. */
function resolveModel(
  names: ModelNames,
  { principal, tenantId }: Call,
  asked: { readonly model: string; readonly policyId: string | undefined },
): ModelTarget {
  const target = names.resolve(tenantId, asked.model, asked.policyId);
  if (target !== undefined && mayCall(principal, asked.model, target.policyId)) return target;
  throw new BeamlineError('model_not_found', `The model '${asked.model.slice(0, 64)}' is not available to this key.`, {
    details: { param: 'model' },
  });
}

const mayCall = (principal: Principal | undefined, model: string, policyId: string): boolean =>
  (principal?.models?.has(model) ?? true) && (principal?.policies?.has(policyId) ?? true);

const NOTHING = {};

/** An empty list, where the header names a provider that does not serve the model, leaves no candidate. */
function narrowed(allowed: readonly string[] | undefined, only: string | undefined): readonly string[] | undefined {
  if (only === undefined) return allowed;
  return allowed === undefined || allowed.includes(only) ? [only] : [];
}

/** The body's `user` is for attribution only: a text that the contracts cannot carry is left out. */
const userOf = (user: string | undefined): string | undefined =>
  user === undefined || user === '' || Buffer.byteLength(user) > 256 ? undefined : user;
