// A request that a person wrote, for tests and explanations of policies: what its caller would say, without content.
// Names are those of the wire; what is absent is what most requests have.
import type { Facts } from './facts.ts';
import type { Shape } from './shape.ts';

export interface RequestDocument {
  readonly tenant_id?: string;
  readonly request_id?: string;
  readonly task?: { readonly type?: string };
  readonly model?: string;
  readonly stream?: boolean;
  readonly context?: Readonly<Record<string, unknown>>;
  readonly constraints?: {
    readonly providers_allow?: readonly string[];
    readonly providers_deny?: readonly string[];
    readonly max_cost_micro_usd?: number;
    readonly max_latency_ms?: number;
  };
  readonly estimate?: { readonly input_tokens?: number; readonly max_output_tokens?: number };
  readonly max_attempts?: number;
}

const id: Shape = { kind: 'text', charsMin: 1, charsMax: 128, pattern: /^[\x21-\x7e]+$/ };
const ids: Shape = { kind: 'list', of: id, min: 0, max: 1_000 };
const count: Shape = { kind: 'number', min: 0, max: Number.MAX_SAFE_INTEGER, isInteger: true };
const record = (shapes: Readonly<Record<string, Shape>>): Shape => ({
  kind: 'record',
  fields: Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [name, { shape }])),
});

export const REQUEST_SHAPE: Shape = {
  kind: 'record',
  fields: {
    tenant_id: { shape: id },
    request_id: { shape: id },
    task: { shape: record({ type: id }) },
    model: { shape: { kind: 'text', charsMin: 1, charsMax: 256 } },
    stream: { shape: { kind: 'boolean' } },
    context: { shape: { kind: 'open' } },
    constraints: {
      shape: record({ providers_allow: ids, providers_deny: ids, max_cost_micro_usd: count, max_latency_ms: count }),
    },
    estimate: { shape: record({ input_tokens: count, max_output_tokens: count }) },
    max_attempts: { shape: { kind: 'number', min: 1, max: 10, isInteger: true } },
  },
};

/** The facts of a document that keeps to the shape; `requestId` is used if it has none, `seed` replaces that of both. */
export function factsOf(document: RequestDocument, requestId: string, seed?: string): Facts {
  return {
    tenantId: document.tenant_id ?? 'default',
    requestId: document.request_id ?? requestId,
    taskType: document.task?.type ?? 'ai.chat',
    model: document.model,
    stream: document.stream ?? false,
    context: document.context ?? {},
    providersAllow: document.constraints?.providers_allow,
    providersDeny: document.constraints?.providers_deny,
    maxCostMicroUsd: document.constraints?.max_cost_micro_usd,
    maxLatencyMs: document.constraints?.max_latency_ms,
    inputTokens: document.estimate?.input_tokens,
    maxOutputTokens: document.estimate?.max_output_tokens,
    maxAttempts: document.max_attempts,
    seed,
  };
}
