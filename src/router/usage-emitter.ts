// Makes one usage event of each result that consumed something; any router can, from the result alone.
// U1. The result is acknowledged only after the stream confirmed the event; the ledger's key makes a repeat harmless.
import type { Bus, Subscription } from '../bus/bus.ts';
import { at } from '../contracts/contract.ts';
import { type ExecResult, execResult } from '../contracts/result.ts';
import { resultStream, routerResults, usageStream } from '../contracts/streams.ts';
import { type UsageEvent, usageMetered } from '../contracts/usage.ts';
import type { Usage } from '../contracts/fields.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';

const CONFIRM_MS = 20_000;

/** What the router that pushed an assignment wrote into its metadata for the account; a type, so it is an open object. */
export type Account = {
  policy_id: string;
  policy_revision: number;
  key_id?: string;
  user_id?: string;
};

export async function startUsageEmitter(bus: Bus, telemetry: Telemetry): Promise<Subscription> {
  const to = at(usageMetered);
  const emitted = telemetry.metrics.counter({
    name: 'router_usage_events_total',
    help: 'Usage events by what became of them.',
    labels: ['result'],
  });
  const sent = emitted.of('sent');
  const nothing = emitted.of('nothing_consumed');
  const failed = emitted.of('failed');
  await bus.ensureStream(resultStream);
  await bus.ensureStream(usageStream);

  return bus.consume(
    { stream: resultStream, consumer: routerResults, message: execResult.message },
    async (delivery) => {
      const { message: result } = delivery;
      if (result.usage === undefined || result.assignment_id === undefined) {
        nothing.add();
        delivery.ack();
        return;
      }
      const event = usageEventOf(result, result.assignment_id, result.usage);
      const correlation = { traceId: result.trace_id ?? '-', tenantId: result.tenant_id };
      try {
        await bus.append(to, event, {
          messageId: `usage:${event.usage_id}`,
          timeoutMs: CONFIRM_MS,
          correlation,
          urgency: 'batched',
        });
        sent.add();
        delivery.ack();
      } catch (fault) {
        // The bus delivers again after the consumer's delay whatever its handler throws.
        failed.add();
        throw fault;
      }
    },
  );
}

function usageEventOf(result: ExecResult, assignmentId: string, usage: Usage): UsageEvent {
  const attempt = result.attempt ?? 1;
  const account = (result.job?.metadata ?? {}) as Partial<Account>;
  const { request_id, trace_id, worker_id, ttft_ms, finish_reason } = result;
  const event: UsageEvent = {
    version: '1',
    usage_id: `${result.tenant_id}:${assignmentId}:${attempt}`,
    tenant_id: result.tenant_id,
    provider_id: result.provider_id ?? 'worker',
    event_type: result.job?.type ?? 'ai.chat',
    status: result.status,
    latency_ms: result.latency_ms ?? 0,
    cost: usage.cost_micro_usd / 1e6,
    timestamp: result.timestamp ?? 0,
    assignment_id: assignmentId,
    attempt,
    ...usage,
    currency: 'USD',
    billable: true,
  };
  if (request_id !== undefined) event.request_id = request_id;
  if (trace_id !== undefined) event.trace_id = trace_id;
  if (worker_id !== undefined) event.worker_id = worker_id;
  if (ttft_ms !== undefined) event.ttft_ms = ttft_ms;
  if (finish_reason !== undefined) event.finish_reason = finish_reason;
  if (account.policy_id !== undefined) event.policy_id = account.policy_id;
  if (account.policy_revision !== undefined) event.policy_revision = account.policy_revision;
  if (account.key_id !== undefined) event.key_id = account.key_id;
  if (account.user_id !== undefined) event.user_id = account.user_id;
  return event;
}
