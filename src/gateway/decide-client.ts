// Asks the router: for a decision alone, or for one that is pushed to a worker and delivered as frames.
import type { Bus } from '../bus/bus.ts';
import { type Address, at } from '../contracts/contract.ts';
import { decideV1, decideV2, type DecideRequest, type DecideResponse } from '../contracts/decide.ts';
import type { frames } from '../contracts/frames.ts';
import { type Histogram, LONG_SECONDS } from '../telemetry/metrics.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import type { ContractSwitch } from '../contracts/contract-switch.ts';
import type { Clock } from '../core/clock.ts';
import { asV1, asV2, speaksV2 } from './contract-versions.ts';
import type { Order } from './order.ts';
import { addWishes } from './wishes.ts';

const router = at(decideV2);
const routerV1 = at(decideV1);

/** What policies may know of a tenant; the operator says it, never the caller. */
export type TenantFacts = NonNullable<DecideRequest['tenant']>;

/** Rejects with `unavailable`, `timeout` or `invalid_reply`; a refusal of the router is a reply with `ok: false`. */
export const askRouter = (bus: Bus, request: DecideRequest, timeoutMs: number): Promise<DecideResponse> =>
  bus.request(router, request, {
    timeoutMs,
    correlation: { traceId: request.trace_id ?? '-', tenantId: request.tenant_id },
  });

export interface AskDeps {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  readonly contracts: { readonly current: ContractSwitch };
}

/** Asks for a decision alone, in the version that the switch gives the request; v1's answers come in the words of v2. */
export function decisionsOver({ bus, clock, telemetry, contracts }: AskDeps) {
  const { metrics } = telemetry;
  const total = metrics.counter({
    name: 'gateway_decides_total',
    help: 'Plain decisions by contract version and result.',
    labels: ['contract_version', 'result'],
  });
  const seconds = metrics.histogram(
    { name: 'gateway_decide_seconds', help: 'Time of a plain decision.', labels: ['contract_version'] },
    LONG_SECONDS,
  );
  const took: Readonly<Record<'v1' | 'v2', Histogram>> = { v1: seconds.of('v1'), v2: seconds.of('v2') };

  return async (request: DecideRequest, timeoutMs: number): Promise<DecideResponse> => {
    const question = speaksV2(contracts.current, request.tenant_id, request.request_id) ? undefined : asV1(request);
    const version = question === undefined ? 'v2' : 'v1';
    const startedMs = clock.nowMs();
    let result = 'unanswered';
    try {
      const correlation = { traceId: request.trace_id ?? '-', tenantId: request.tenant_id };
      const response =
        question === undefined
          ? await askRouter(bus, request, timeoutMs)
          : asV2(await bus.request(routerV1, question, { timeoutMs, correlation }));
      result = response.ok ? 'ok' : 'refused';
      return response;
    } finally {
      total.of(version, result).add();
      took[version].observe((clock.nowMs() - startedMs) / 1000);
    }
  };
}

/** The decide request of an order, with the assignment pushed to where its frames shall go. */
export function requestOf(
  order: Order,
  push: {
    readonly deliverTo: Address<typeof frames>;
    readonly timeLeftMs: number;
    readonly isReask: boolean;
    readonly tenant: TenantFacts | undefined;
  },
): DecideRequest {
  const { model, providersAllow, idleMs, attemptsMax, keyId, userId, outputTokensMax, sizeBytes } = order;
  // The one list of its key, which nobody changes.
  const scopes = order.scopes as string[];
  const request: DecideRequest = {
    version: '2',
    request_id: order.requestId,
    tenant_id: order.tenantId,
    trace_id: order.traceId,
    task:
      model === undefined
        ? { type: order.taskType, payload: order.body }
        : { type: order.taskType, payload: order.body, model },
    policy_id: order.policyId,
    push_assignment: true,
    stream: order.stream,
    deliver_to: push.deliverTo.subject,
    deadline_ms: Math.max(0, Math.floor(push.timeLeftMs)),
    dialect: order.dialect,
    context: order.context,
    principal: userId === undefined ? { key_id: keyId, scopes } : { key_id: keyId, user_id: userId, scopes },
    estimate:
      outputTokensMax === undefined
        ? { input_tokens: order.inputTokensEstimate, size_bytes: sizeBytes }
        : { input_tokens: order.inputTokensEstimate, max_output_tokens: outputTokensMax, size_bytes: sizeBytes },
  };
  if (providersAllow !== undefined) request.constraints = { providers_allow: [...providersAllow] };
  if (idleMs !== undefined) request.idle_ms = idleMs;
  if (attemptsMax !== undefined) request.options = { retry: { max_attempts: attemptsMax } };
  if (order.wishes !== undefined) addWishes(request, order.wishes);
  if (push.tenant !== undefined) request.tenant = push.tenant;
  if (push.isReask) request.reask = 1;
  return request;
}
