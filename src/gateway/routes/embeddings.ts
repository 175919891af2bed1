// POST /v1/embeddings: vectors for texts, written through as the provider made them (gateway 13).
import { readEmbeddingsRequest } from '../../dialect/openai-embeddings.ts';
import { answerAsync } from '../jobs/answer-async.ts';
import { preferenceOf } from '../jobs/prefer.ts';
import { readOrderHeaders } from '../order-headers.ts';
import { orderOf } from '../order-of.ts';
import { readJson } from '../read-body.ts';
import type { JsonSchema, Route } from '../route.ts';
import { WholeAnswer } from '../whole-answer.ts';
import { INFERENCE_ERRORS, type InferenceNeeds } from './chat-completions.ts';

const text = { type: 'string', minLength: 1 };
const tokens = { type: 'array', minItems: 1, items: { type: 'integer', minimum: 0 } };
const many = { type: 'array', minItems: 1, maxItems: 2048 };
const requestSchema: JsonSchema = {
  type: 'object',
  required: ['model', 'input'],
  properties: {
    model: { type: 'string', minLength: 1, maxLength: 256 },
    input: { anyOf: [text, { ...many, items: text }, tokens, { ...many, items: tokens }] },
    encoding_format: { enum: ['float', 'base64', null] },
    dimensions: { type: ['integer', 'null'], minimum: 1, maximum: 65_536 },
  },
  additionalProperties: true,
};

const responseSchema: JsonSchema = {
  type: 'object',
  description: 'The list of vectors as the provider wrote it.',
  additionalProperties: true,
};

export const embeddings: Route<InferenceNeeds> = {
  method: 'POST',
  path: '/v1/embeddings',
  release: 'P1',
  access: 'inference:call',
  summary: 'Create embeddings of texts or token lists; with `prefer: respond-async` as a job.',
  request: requestSchema,
  response: responseSchema,
  statuses: [200, 202],
  errors: INFERENCE_ERRORS,
  async handle(call, { settings, bodyLimits, exchanges, jobs, names }) {
    const headers = readOrderHeaders(call.req.headers, settings.http.deadline_ms);
    const body = await readJson(call, bodyLimits.inference);
    const order = orderOf(call, headers, names, {
      ...readEmbeddingsRequest(body.value, body.bytes),
      taskType: 'ai.embed',
      dialect: 'openai.embeddings',
      body: body.value,
      sizeBytes: body.bytes,
      stream: false,
      // Vectors are no tokens.
      outputTokensMax: 0,
    });
    const preference = preferenceOf(call);
    if (preference.isAsync !== true) call.edge.backpressure.admit(call);
    if (call.isOver) return;
    if (preference.isAsync) return answerAsync(call, jobs, order, preference.waitS);
    new WholeAnswer(call, exchanges, order);
  },
};
