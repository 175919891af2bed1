// What a decide request says, as the facts of its decision; frozen once per request (policy 3.4, contracts 4.1).
import type { DecideRequest, DecideRequestV1 } from '../contracts/decide.ts';
import type { Facts } from '../policy/facts.ts';

const MICRO = 1_000_000;

type Payload = Readonly<Record<string, unknown>>;

/** Context merges over metadata, metadata over constraints. `timeMs` is the epoch's, taken once. */
export function factsOf(request: DecideRequest | DecideRequestV1, timeMs: number): Facts {
  const { metadata, context, options } = request;
  const { payload, payload_ref: ref, type, model } = request.task;
  const isReferred = ref !== undefined;
  const more: Partial<DecideRequest> = request.version === '2' ? request : {};
  const constraints: DecideRequest['constraints'] = request.constraints;
  const costUsd = constraints?.max_cost;
  return {
    tenantId: request.tenant_id,
    requestId: request.request_id,
    taskType: type,
    model,
    stream: more.stream ?? false,
    context:
      metadata === undefined && constraints === undefined
        ? (context ?? {})
        : { ...constraints, ...metadata, ...context },
    providersAllow: constraints?.providers_allow,
    providersDeny: constraints?.providers_deny,
    inputTokens: more.estimate?.input_tokens,
    maxOutputTokens: more.estimate?.max_output_tokens,
    maxCostMicroUsd: constraints?.max_cost_micro_usd ?? (costUsd === undefined ? undefined : costUsd * MICRO),
    maxLatencyMs: constraints?.max_latency_ms,
    sizeBytes: more.estimate?.size_bytes,
    taskSizeBytes: more.estimate?.task_size_bytes ?? (isReferred ? undefined : more.estimate?.size_bytes),
    durable: request.push_assignment === true && more.deliver_to === undefined,
    dialect: more.dialect,
    priority: options?.priority,
    deadlineMs: more.deadline_ms ?? (request.version === '1' ? request.options?.deadline_ms : undefined),
    hasTools: Array.isArray(payload?.['tools']) && payload['tools'].length > 0,
    hasImages: payload !== undefined && hasImages(payload),
    idempotent: request.idempotency_key !== undefined,
    keyId: more.principal?.key_id,
    userId: more.principal?.user_id,
    scopes: more.principal?.scopes,
    tenantTier: more.tenant?.tier,
    tenantLabels: more.tenant?.labels,
    taskParams: payload === undefined ? undefined : paramsOf(payload),
    timeMs,
    maxAttempts: options?.retry?.max_attempts,
    backoffMs: options?.retry?.backoff_ms,
  };
}

/** Texts that set how a task runs. Any other text may be what somebody wrote, and facts are recorded. */
const TEXT_PARAMS: ReadonlySet<string> = new Set([
  'model',
  'reasoning_effort',
  'service_tier',
  'tool_choice',
  'verbosity',
]);

/** The scalar parameters of a payload, such as `temperature`, and never its content. */
function paramsOf(payload: Payload): Payload {
  const params: Record<string, unknown> = {};
  for (const name in payload) {
    const value = payload[name];
    const isParam = typeof value === 'number' || typeof value === 'boolean';
    if (isParam || (typeof value === 'string' && TEXT_PARAMS.has(name))) params[name] = value;
  }
  return params;
}

/** Looks at the parts of messages that are lists; a text has none. */
function hasImages({ messages }: Payload): boolean {
  if (!Array.isArray(messages)) return false;
  return messages.some((message: unknown) => {
    const content = (message as { content?: unknown } | null)?.content;
    return Array.isArray(content) && content.some((part: unknown) => IMAGE_PARTS.has(typeOf(part)));
  });
}

const IMAGE_PARTS: ReadonlySet<unknown> = new Set(['image_url', 'input_image', 'image']);
const typeOf = (part: unknown): unknown => (part as { type?: unknown } | null)?.type;
