// Which version of a contract a request speaks, where a message exists in two: plain decisions do.
// V1. Calls and jobs of the gateway need v2 (frames, job orders); v1 has no words for them.
// V2. The share is drawn from tenant and request (policy 5.1), so a repeat speaks the same version.
import type { ContractSwitch } from '../contracts/contract-switch.ts';
import type { DecideRequest, DecideRequestV1, DecideResponse, DecideResponseV1 } from '../contracts/decide.ts';
import { errorRow, isErrorCode } from '../core/errors.ts';
import { unit } from '../core/hash.ts';

const MICRO = 1_000_000;

export function speaksV2({ enabled, percent, tenants }: ContractSwitch, tenantId: string, requestId: string): boolean {
  if (!enabled || percent === 0) return false;
  if (tenants.length > 0 && !tenants.includes(tenantId)) return false;
  return percent === 100 || unit(`${tenantId}:${requestId}`) * 100 < percent;
}

/**
 * The same question in v1; undefined where v1 cannot ask it: named providers, a model, a dry run, or facts of the tenant,
 * without which a policy that reads them would decide otherwise.
 */
export function asV1(request: DecideRequest): DecideRequestV1 | undefined {
  const { constraints, options, task } = request;
  const { providers_allow, providers_deny, max_latency_ms, max_cost, max_cost_micro_usd } = constraints ?? {};
  if (providers_allow !== undefined || providers_deny !== undefined) return undefined;
  if (
    request.tenant !== undefined ||
    task.model !== undefined ||
    options?.dry_run === true ||
    request.push_assignment === true
  )
    return undefined;
  const { request_id, tenant_id, trace_id, policy_id, metadata, context, deadline_ms } = request;
  const question: DecideRequestV1 = { version: '1', request_id, tenant_id, task };
  if (trace_id !== undefined) question.trace_id = trace_id;
  if (policy_id !== undefined) question.policy_id = policy_id;
  if (metadata !== undefined) question.metadata = metadata;
  if (context !== undefined) question.context = context;
  const cost = max_cost_micro_usd === undefined ? max_cost : max_cost_micro_usd / MICRO;
  if (max_latency_ms !== undefined || cost !== undefined) {
    question.constraints = {
      ...(max_latency_ms === undefined ? {} : { max_latency_ms }),
      ...(cost === undefined ? {} : { max_cost: cost }),
    };
  }
  question.options = {
    explain: options?.explain !== undefined && options.explain !== 'none',
    ...(deadline_ms === undefined ? {} : { deadline_ms }),
  };
  return question;
}

/** The answer of v1 in the words of v2. */
export function asV2({ ok, decision, explanation, error, context }: DecideResponseV1): DecideResponse {
  const response: DecideResponse = { version: '2', ok, context };
  if (decision !== undefined) {
    const { provider_id, reason, priority, expected_latency_ms, expected_cost } = decision;
    response.decision = {
      provider_id,
      reason,
      priority,
      policy_id: decision.policy_id ?? 'default',
      policy_revision: decision.policy_revision ?? 0,
      fallback_used: decision.fallback_used ?? false,
      // In v1 zero stands for unknown.
      ...(expected_latency_ms === 0 ? {} : { expected_latency_ms }),
      ...(expected_cost === 0 ? {} : { expected_cost_micro_usd: Math.round(expected_cost * MICRO) }),
    };
  }
  if (explanation !== undefined) response.explanation = explanation;
  if (error !== undefined) response.error = failureOf(error);
  return response;
}

function failureOf(error: NonNullable<DecideResponseV1['error']>): NonNullable<DecideResponse['error']> {
  const seconds = error.details?.['retry_after_seconds'];
  return {
    ...error,
    retryable: isErrorCode(error.code) && errorRow(error.code).retry,
    ...(typeof seconds === 'number' ? { retry_after_ms: seconds * 1000 } : {}),
  };
}
