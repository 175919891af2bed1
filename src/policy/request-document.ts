// A request that a person wrote, for tests and explanations of policies: what its caller would say, without content.
// Names are those of the wire; what is absent is what most requests have.
import type { Facts } from './facts.ts';
import type { Shape } from './shape.ts';

export interface RequestDocument {
  readonly tenant_id?: string;
  readonly request_id?: string;
  readonly tenant?: { readonly tier?: string; readonly labels?: Readonly<Record<string, unknown>> };
  readonly principal?: { readonly key_id?: string; readonly user_id?: string; readonly scopes?: readonly string[] };
  readonly task?: {
    readonly type?: string;
    readonly size_bytes?: number;
    readonly params?: Readonly<Record<string, unknown>>;
  };
  readonly model?: string;
  readonly stream?: boolean;
  readonly durable?: boolean;
  readonly dialect?: string;
  readonly priority?: number;
  readonly deadline_ms?: number;
  readonly size_bytes?: number;
  readonly has_tools?: boolean;
  readonly has_images?: boolean;
  readonly idempotent?: boolean;
  readonly context?: Readonly<Record<string, unknown>>;
  readonly constraints?: {
    readonly providers_allow?: readonly string[];
    readonly providers_deny?: readonly string[];
    readonly max_cost_micro_usd?: number;
    readonly max_latency_ms?: number;
  };
  readonly estimate?: { readonly input_tokens?: number; readonly max_output_tokens?: number };
  readonly max_attempts?: number;
  /** When it came, ISO 8601. */
  readonly time?: string;
}

const id: Shape = { kind: 'text', charsMin: 1, charsMax: 128, pattern: /^[\x21-\x7e]+$/ };
const ids: Shape = { kind: 'list', of: id, min: 0, max: 1_000 };
const count: Shape = { kind: 'number', min: 0, max: Number.MAX_SAFE_INTEGER, isInteger: true };
const record = (shapes: Readonly<Record<string, Shape>>): Shape => ({
  kind: 'record',
  fields: Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [name, { shape }])),
});

const boolean: Shape = { kind: 'boolean' };
const open: Shape = { kind: 'open' };
const time: Shape = {
  kind: 'own',
  check(value, path, { findings }) {
    if (typeof value !== 'string') findings.error(path, 'type', 'must be a text');
    else if (Number.isNaN(Date.parse(value)))
      findings.error(path, 'pattern', 'must be a time such as 2026-03-02T09:00:00Z');
  },
};

export const REQUEST_SHAPE = record({
  tenant_id: id,
  request_id: id,
  tenant: record({ tier: id, labels: open }),
  principal: record({ key_id: id, user_id: id, scopes: ids }),
  task: record({ type: id, size_bytes: count, params: open }),
  model: { kind: 'text', charsMin: 1, charsMax: 256 },
  stream: boolean,
  durable: boolean,
  dialect: id,
  priority: { kind: 'number', min: 0, max: 100, isInteger: true },
  deadline_ms: count,
  size_bytes: count,
  has_tools: boolean,
  has_images: boolean,
  idempotent: boolean,
  context: open,
  constraints: record({ providers_allow: ids, providers_deny: ids, max_cost_micro_usd: count, max_latency_ms: count }),
  estimate: record({ input_tokens: count, max_output_tokens: count }),
  max_attempts: { kind: 'number', min: 1, max: 10, isInteger: true },
  time,
});

/** The facts of a document that keeps to the shape; `requestId` is used if it has none, `seed` replaces that of both. */
export function factsOf(document: RequestDocument, requestId: string, seed?: string): Facts {
  const { tenant, principal, task, constraints, estimate } = document;
  return {
    tenantId: document.tenant_id ?? 'default',
    requestId: document.request_id ?? requestId,
    taskType: task?.type ?? 'ai.chat',
    model: document.model,
    stream: document.stream ?? false,
    context: document.context ?? {},
    providersAllow: constraints?.providers_allow,
    providersDeny: constraints?.providers_deny,
    inputTokens: estimate?.input_tokens,
    maxOutputTokens: estimate?.max_output_tokens,
    maxCostMicroUsd: constraints?.max_cost_micro_usd,
    maxLatencyMs: constraints?.max_latency_ms,
    maxAttempts: document.max_attempts,
    seed,
    durable: document.durable,
    dialect: document.dialect,
    priority: document.priority,
    deadlineMs: document.deadline_ms,
    sizeBytes: document.size_bytes,
    hasTools: document.has_tools,
    hasImages: document.has_images,
    idempotent: document.idempotent,
    keyId: principal?.key_id,
    userId: principal?.user_id,
    scopes: principal?.scopes,
    tenantTier: tenant?.tier,
    tenantLabels: tenant?.labels,
    taskSizeBytes: task?.size_bytes,
    taskParams: task?.params,
    timeMs: document.time === undefined ? undefined : Date.parse(document.time),
  };
}
