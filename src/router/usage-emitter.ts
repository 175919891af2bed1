// Takes each result from its stream: makes one usage event of it if something was consumed, which any router can from the
// result alone, and tells what it means for a job.
// U1. The result is acknowledged only after the stream confirmed the event; the ledger's key makes a repeat harmless.
// U2. And only after the job's state knows it. A call has no record, so its result reads none.
import type { Bus, Delivery, Subscription } from '../bus/bus.ts';
import type { DeadLetters } from '../bus/dead-letters.ts';
import { at } from '../contracts/contract.ts';
import { isJobAssignment } from '../contracts/job.ts';
import { type ExecResult, execResult } from '../contracts/result.ts';
import { resultStream, routerResults, usageStream } from '../contracts/streams.ts';
import { type UsageEvent, usageMessageId, usageMetered } from '../contracts/usage.ts';
import type { Usage } from '../contracts/fields.ts';
import type { Timers } from '../core/timers.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import { held } from './held-result.ts';

const CONFIRM_MS = 20_000;

/** What the router that pushed an assignment wrote into its metadata for the account; a type, so it is an open object. */
export type Account = {
  policy_id: string;
  policy_revision: number;
  key_id?: string;
  user_id?: string;
  tags?: string[];
  experiments?: { id: string; arm: string }[];
  expected_cost_micro_usd?: number;
};

/** What jobs make of results. */
export interface JobResults {
  /** Throws `unavailable`, and may be repeated. */
  ended(result: ExecResult, assignmentId: string): Promise<void>;
  /** The assignment of a result that names only its request; undefined if that is no job. */
  assignmentOf(result: ExecResult): Promise<string | undefined>;
}

export interface UsageEmitterDeps {
  readonly bus: Bus;
  readonly timers: Timers;
  readonly telemetry: Telemetry;
  readonly jobs: JobResults;
  readonly deadLetters: DeadLetters;
}

export async function startUsageEmitter({
  bus,
  timers,
  telemetry,
  jobs,
  deadLetters,
}: UsageEmitterDeps): Promise<Subscription> {
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

  const emit = async (event: UsageEvent, result: ExecResult): Promise<void> => {
    const correlation = { traceId: result.trace_id ?? '-', tenantId: result.tenant_id };
    try {
      await bus.append(to, event, {
        messageId: usageMessageId(event),
        timeoutMs: CONFIRM_MS,
        correlation,
        urgency: 'batched',
      });
      sent.add();
    } catch (fault) {
      failed.add();
      throw fault;
    }
  };

  const take = async (delivery: Delivery<ExecResult>): Promise<void> => {
    const { message: result } = delivery;
    const assignmentId = result.assignment_id ?? (await jobs.assignmentOf(result));
    const consumed = consumedBy(result);
    if (consumed === undefined || assignmentId === undefined) nothing.add();
    else await emit(usageEventOf(delivery, assignmentId, consumed), result);
    if (assignmentId !== undefined && isJobAssignment(assignmentId)) await jobs.ended(result, assignmentId);
  };
  const from = { stream: resultStream, consumer: routerResults };
  const closing = new AbortController();
  const consuming = await bus.consume(
    { ...from, message: execResult.message, undeliverable: (message) => deadLetters.give(message, from) },
    (delivery) => held(delivery, take, { bus, timers, telemetry, signal: closing.signal }),
  );
  const drain = (): Promise<void> => {
    closing.abort();
    return consuming.drain();
  };
  return {
    get pending() {
      return consuming.pending;
    },
    drain,
    [Symbol.asyncDispose]: drain,
  };
}

type Consumed = Usage | Pick<Usage, 'cost_micro_usd'>;

/** What was counted; a worker of version 1 tells only what it cost, in USD. */
function consumedBy({ usage, cost = 0 }: ExecResult): Consumed | undefined {
  if (usage !== undefined || cost === 0) return usage;
  return { cost_micro_usd: Math.round(cost * 1e6) };
}

function usageEventOf(delivery: Delivery<ExecResult>, assignmentId: string, usage: Consumed): UsageEvent {
  const { message: result } = delivery;
  const attempt = result.attempt ?? 1;
  const account = (result.job?.metadata ?? {}) as Partial<Account>;
  const { request_id, trace_id, worker_id, ttft_ms, finish_reason, run_id, flow_id, step_id } = result;
  const event: UsageEvent = {
    version: '1',
    usage_id: `${result.tenant_id}:${assignmentId}:${attempt}`,
    tenant_id: result.tenant_id,
    provider_id: result.provider_id ?? 'worker',
    event_type: result.job?.type ?? 'ai.chat',
    status: result.status,
    latency_ms: result.latency_ms ?? 0,
    cost: usage.cost_micro_usd / 1e6,
    // A worker of version 1 may tell no moment.
    timestamp: result.timestamp ?? delivery.storedAtMs,
    assignment_id: assignmentId,
    attempt,
    ...usage,
    currency: 'USD',
    billable: true,
  };
  if (result.shadow === true) Object.assign(event, { shadow: true, billable: false });
  if (request_id !== undefined) event.request_id = request_id;
  if (trace_id !== undefined) event.trace_id = trace_id;
  if (worker_id !== undefined) event.worker_id = worker_id;
  if (ttft_ms !== undefined) event.ttft_ms = ttft_ms;
  if (finish_reason !== undefined) event.finish_reason = finish_reason;
  if (run_id !== undefined) event.run_id = run_id;
  if (flow_id !== undefined) event.flow_id = flow_id;
  if (step_id !== undefined) event.step_id = step_id;
  if (account.policy_id !== undefined) event.policy_id = account.policy_id;
  if (account.policy_revision !== undefined) event.policy_revision = account.policy_revision;
  if (account.key_id !== undefined) event.key_id = account.key_id;
  if (account.user_id !== undefined) event.user_id = account.user_id;
  return markedBy(event, account);
}

/** With what the decision marked the request. A worker of others may have members of these names that mean something else. */
function markedBy(event: UsageEvent, account: Partial<Account>): UsageEvent {
  const { tags, experiments, expected_cost_micro_usd } = account;
  if (tags === undefined && experiments === undefined && expected_cost_micro_usd === undefined) return event;
  const marked: UsageEvent = { ...event };
  if (tags !== undefined) marked.tags = tags;
  if (experiments !== undefined) marked.experiments = experiments;
  if (expected_cost_micro_usd !== undefined) marked.expected_cost_micro_usd = expected_cost_micro_usd;
  return usageMetered.message.check(marked) ? marked : event;
}
