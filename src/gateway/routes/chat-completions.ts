// POST /v1/chat/completions: reads the request, resolves its model, and lets a reader answer it (gateway 13).
import type { ErrorCode } from '../../core/errors.ts';
import { readChatRequest } from '../../dialect/openai-chat.ts';
import { answerAsync } from '../jobs/answer-async.ts';
import type { Jobs } from '../jobs/jobs.ts';
import { preferenceOf } from '../jobs/prefer.ts';
import type { ModelNames } from '../model-port.ts';
import type { Exchanges } from '../order.ts';
import { readOrderHeaders } from '../order-headers.ts';
import { orderOf } from '../order-of.ts';
import { type BodyLimits, readJson } from '../read-body.ts';
import type { JsonSchema, Route } from '../route.ts';
import type { GatewaySettings } from '../settings.ts';
import { StreamAnswer } from '../stream-answer.ts';
import { WholeAnswer } from '../whole-answer.ts';
import type { EdgeMetrics } from '../edge-metrics.ts';

/** What an inference route works with. */
export interface InferenceNeeds {
  readonly settings: GatewaySettings;
  readonly bodyLimits: { readonly inference: BodyLimits };
  readonly exchanges: Exchanges;
  readonly jobs: Jobs;
  readonly names: ModelNames;
}

interface ChatNeeds extends InferenceNeeds {
  readonly metrics: EdgeMetrics;
}

export const INFERENCE_ERRORS: readonly ErrorCode[] = [
  'idempotency_conflict',
  'not_implemented',
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
];

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
  errors: INFERENCE_ERRORS,
  async handle(call, { settings, bodyLimits, exchanges, jobs, names, metrics }) {
    const headers = readOrderHeaders(call.req.headers, settings.http.deadline_ms);
    const body = await readJson(call, bodyLimits.inference);
    const asked = readChatRequest(body.value, body.bytes);
    const order = orderOf(call, headers, names, {
      ...asked,
      taskType: 'ai.chat',
      dialect: 'openai.chat',
      body: body.value,
      sizeBytes: body.bytes,
      outputTokensMax: asked.maxOutputTokens,
    });
    const preference = asked.stream ? undefined : preferenceOf(call);
    if (preference?.isAsync !== true) call.edge.backpressure.admit(call);
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
