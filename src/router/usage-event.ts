// The metered fact of one attempt, made of its result alone. Pure.
import type { Usage } from '../contracts/fields.ts';
import type { ExecResult } from '../contracts/result.ts';
import { type UsageEvent, usageMetered } from '../contracts/usage.ts';

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

export type Consumed = Usage | Pick<Usage, 'cost_micro_usd'>;

/** What the result does not tell, or not in these words. */
interface Told {
  readonly assignmentId: string;
  readonly usage: Consumed;
  readonly timestamp: number;
}

export function usageEventOf(result: ExecResult, { assignmentId, usage, timestamp }: Told): UsageEvent {
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
    timestamp,
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
