// The order of an inference request: what its headers ask, what its dialect read in its body, and where its model leads.
import type { Principal } from '../auth/principal.ts';
import { BeamlineError } from '../core/errors.ts';
import type { Call } from './call.ts';
import type { ModelNames, ModelTarget } from './model-port.ts';
import type { Order } from './order.ts';
import { type OrderHeaders, refuseTags } from './order-headers.ts';

/** What the dialect read, and what the route says. */
export interface Asked extends Pick<Order, 'taskType' | 'dialect' | 'body' | 'stream' | 'outputTokensMax'> {
  readonly model: string;
  readonly estimateInputTokens: number;
  readonly sizeBytes: number;
  readonly user: string | undefined;
}

/** Throws `model_not_found` also for what the key may not call: a caller learns nothing of foreign names. */
export function orderOf(call: Call, headers: OrderHeaders, names: ModelNames, asked: Asked): Order {
  refuseTags(headers);
  const target = resolveModel(names, call, { model: asked.model, policyId: headers.policyId });
  return {
    requestId: call.requestId,
    traceId: call.traceId,
    tenantId: call.tenantId,
    keyId: call.principal?.keyId ?? '',
    scopes: call.principal?.scopes ?? NO_SCOPES,
    userId: headers.userId ?? userOf(asked.user),
    taskType: asked.taskType,
    dialect: asked.dialect,
    body: asked.body,
    stream: asked.stream,
    policyId: target.policyId,
    model: target.model,
    providersAllow: narrowed(target.providersAllow, headers.providerId),
    context: headers.sessionId === undefined ? NOTHING : { session_id: headers.sessionId },
    inputTokensEstimate: asked.estimateInputTokens,
    sizeBytes: asked.sizeBytes,
    outputTokensMax: asked.outputTokensMax,
    deadlineMs: headers.deadlineMs,
    idleMs: headers.idleMs,
    attemptsMax: headers.attemptsMax,
    wishes: headers.wishes,
  };
}

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
const NO_SCOPES: readonly string[] = [];

/** An empty list, where the header names a provider that does not serve the model, leaves no candidate. */
function narrowed(allowed: readonly string[] | undefined, only: string | undefined): readonly string[] | undefined {
  if (only === undefined) return allowed;
  return allowed === undefined || allowed.includes(only) ? [only] : [];
}

/** The body's `user` is for attribution only: a text that the contracts cannot carry is left out. */
const userOf = (user: string | undefined): string | undefined =>
  user === undefined || user === '' || Buffer.byteLength(user) > 256 ? undefined : user;
