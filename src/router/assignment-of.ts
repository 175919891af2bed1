// The work order of one attempt: the caller's task, the chosen target, and the time that is left. Pure.
import type { ExecAssignment, PostOrder } from '../contracts/assignment.ts';
import type { DecideRequest } from '../contracts/decide.ts';
import { countedTags } from '../contracts/job-order.ts';
import { DEADLINE_MAX_MS, DEADLINE_MIN_MS } from '../contracts/limits.ts';
import type { Expectations } from '../policy/expectations.ts';
import type { Arm, Policy, Target } from '../policy/policy.ts';
import type { Account } from './usage-event.ts';

const MICRO = 1_000_000;

export interface Ordered {
  readonly request: DecideRequest;
  readonly policy: Policy;
  readonly assignmentId: string;
  readonly routerId: string;
  /** What the request's first decision was marked with, for all its attempts; absent for most. */
  readonly marks?: Marks | undefined;
}

/** Of the rules and experiments that hold: usage is counted by them. */
export interface Marks {
  readonly tags?: readonly string[] | undefined;
  readonly arms?: readonly Arm[] | undefined;
}

/** Most decisions have none, and cost nothing. */
export const marksOf = ({ tags = [], arms = [] }: Marks): Marks | undefined =>
  tags.length === 0 && arms.length === 0 ? undefined : { tags, arms };

export interface Try extends Marks, Expectations {
  readonly attempt: number;
  readonly target: Target;
  readonly model: string | undefined;
  readonly reason: string;
  readonly priority: number;
  readonly timeLeftMs: number;
  /** What the worker asks about the output; absent for most. */
  readonly post?: readonly PostOrder[] | undefined;
}

export function assignmentOf(ordered: Ordered, attempt: Try): ExecAssignment {
  const { request, policy, assignmentId, routerId } = ordered;
  const { target, model } = attempt;
  const idleMs = least(policy.timeouts.idleMs, request.idle_ms);
  const { firstChunkMs } = policy.timeouts;
  const { trace_id, deliver_to, dialect, tenant } = request;
  const { type, payload } = request.task;
  const assignment: ExecAssignment = {
    version: '1',
    assignment_id: assignmentId,
    request_id: request.request_id,
    tenant_id: request.tenant_id,
    attempt: attempt.attempt,
    executor:
      model === undefined
        ? { provider_id: target.name, channel: 'nats', pool: target.pool }
        : { provider_id: target.name, channel: 'nats', pool: target.pool, model },
    job: payload === undefined ? { type } : { type, payload },
    options: { deadline_ms: attemptMs(policy, attempt.timeLeftMs) },
    decision: decisionOf(policy, attempt),
    metadata: accountOf(ordered, attempt),
    owner: { router_id: routerId },
    stream: request.stream ?? false,
  };
  if (tenant?.weight !== undefined) assignment.tenant_weight = tenant.weight;
  if (trace_id !== undefined) assignment.correlation = { trace_id };
  if (deliver_to !== undefined) assignment.deliver_to = deliver_to;
  if (dialect !== undefined) assignment.dialect = dialect;
  if (firstChunkMs !== undefined) assignment.limits = { first_chunk_ms: firstChunkMs };
  if (idleMs !== undefined) assignment.limits = { ...assignment.limits, idle_ms: idleMs };
  if (attempt.post !== undefined) assignment.post = [...attempt.post];
  return assignment;
}

function decisionOf(policy: Policy, attempt: Try): NonNullable<ExecAssignment['decision']> {
  const { expectedLatencyMs, expectedCostMicroUsd } = attempt;
  const decision: NonNullable<ExecAssignment['decision']> = {
    provider_id: attempt.target.name,
    reason: attempt.reason,
    priority: attempt.priority,
    policy_id: policy.policyId,
    policy_revision: policy.revision,
  };
  if (expectedLatencyMs !== undefined) decision.expected_latency_ms = Math.round(expectedLatencyMs);
  if (expectedCostMicroUsd !== undefined) decision.expected_cost = Math.round(expectedCostMicroUsd) / MICRO;
  return decision;
}

export const attemptMs = (policy: Policy, timeLeftMs: number): number =>
  Math.floor(
    Math.min(
      DEADLINE_MAX_MS,
      Math.max(DEADLINE_MIN_MS, Math.min(timeLeftMs, policy.timeouts.attemptMs ?? DEADLINE_MAX_MS)),
    ),
  );

/** As many as a usage event may have. */
const ARMS_MAX = 16;
const TAGS_MAX = 32;

const NO_TAGS: readonly string[] = Object.freeze([]);

/** The tags that decisions add to those of the order, as far as usage has room for them; each once. */
export function addedTags({ job }: DecideRequest, { tags = NO_TAGS }: Marks): readonly string[] {
  if (tags.length === 0) return NO_TAGS;
  const ordered = countedTags(job);
  return [...new Set(tags)].filter((tag) => !ordered.includes(tag)).slice(0, TAGS_MAX - ordered.length);
}

function accountOf({ request, policy, marks }: Ordered, attempt: Try): Account {
  const { principal, job } = request;
  const { arms = [] } = marks ?? attempt;
  const ordered = countedTags(job);
  const added = addedTags(request, marks ?? attempt);
  const account: Account = { policy_id: policy.policyId, policy_revision: policy.revision };
  if (principal?.key_id !== undefined) account.key_id = principal.key_id;
  if (principal?.user_id !== undefined) account.user_id = principal.user_id;
  if (ordered.length > 0 || added.length > 0) account.tags = [...ordered, ...added];
  if (arms.length > 0) {
    account.experiments = arms.slice(0, ARMS_MAX).map(({ experiment, arm }) => ({ id: experiment, arm }));
  }
  if (attempt.expectedCostMicroUsd !== undefined) {
    account.expected_cost_micro_usd = Math.round(attempt.expectedCostMicroUsd);
  }
  return account;
}

const least = (a: number | undefined, b: number | undefined): number | undefined =>
  a === undefined ? b : b === undefined ? a : Math.min(a, b);
