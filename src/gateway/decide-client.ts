// Asks the router: for a decision alone, or for one that is pushed to a worker and delivered as frames.
import type { Bus } from '../bus/bus.ts';
import { type Address, at } from '../contracts/contract.ts';
import { decideV2, type DecideRequest, type DecideResponse } from '../contracts/decide.ts';
import type { frames } from '../contracts/frames.ts';
import type { Order } from './order.ts';

const router = at(decideV2);

/** Rejects with `unavailable`, `timeout` or `invalid_reply`; a refusal of the router is a reply with `ok: false`. */
export const askRouter = (bus: Bus, request: DecideRequest, timeoutMs: number): Promise<DecideResponse> =>
  bus.request(router, request, {
    timeoutMs,
    correlation: { traceId: request.trace_id ?? '-', tenantId: request.tenant_id },
  });

/** The decide request of an order, with the assignment pushed to where its frames shall go. */
export function requestOf(
  order: Order,
  push: {
    readonly deliverTo: Address<typeof frames>;
    readonly timeLeftMs: number;
    readonly isReask: boolean;
  },
): DecideRequest {
  const { model, providersAllow, idleMs, attemptsMax, userId, outputTokensMax } = order;
  return {
    version: '2',
    request_id: order.requestId,
    tenant_id: order.tenantId,
    trace_id: order.traceId,
    task: { type: order.taskType, ...(model === undefined ? {} : { model }), payload: order.body },
    policy_id: order.policyId,
    push_assignment: true,
    stream: order.stream,
    deliver_to: push.deliverTo.subject,
    deadline_ms: Math.max(0, Math.floor(push.timeLeftMs)),
    dialect: order.dialect,
    context: order.context,
    principal: { key_id: order.keyId, ...(userId === undefined ? {} : { user_id: userId }) },
    estimate: {
      input_tokens: order.inputTokensEstimate,
      ...(outputTokensMax === undefined ? {} : { max_output_tokens: outputTokensMax }),
    },
    ...(providersAllow === undefined ? {} : { constraints: { providers_allow: [...providersAllow] } }),
    ...(idleMs === undefined ? {} : { idle_ms: idleMs }),
    ...(attemptsMax === undefined ? {} : { options: { retry: { max_attempts: attemptsMax } } }),
    ...(push.isReask ? { reask: 1 } : {}),
  };
}
