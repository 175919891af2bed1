// The work order of one attempt: the caller's task, the chosen target, and the time that is left. Pure.
import type { ExecAssignment } from '../contracts/assignment.ts';
import type { DecideRequest } from '../contracts/decide.ts';
import { DEADLINE_MAX_MS, DEADLINE_MIN_MS } from '../contracts/limits.ts';
import type { Policy, Target } from '../policy/policy.ts';
import type { Account } from './usage-emitter.ts';

export interface Ordered {
  readonly request: DecideRequest;
  readonly policy: Policy;
  readonly assignmentId: string;
  readonly routerId: string;
}

export interface Try {
  readonly attempt: number;
  readonly target: Target;
  readonly model: string | undefined;
  readonly reason: string;
  readonly priority: number;
  readonly timeLeftMs: number;
}

export function assignmentOf({ request, policy, assignmentId, routerId }: Ordered, attempt: Try): ExecAssignment {
  const { target, model } = attempt;
  const idleMs = least(policy.timeouts.idleMs, request.idle_ms);
  const { firstChunkMs } = policy.timeouts;
  return {
    version: '1',
    assignment_id: assignmentId,
    request_id: request.request_id,
    tenant_id: request.tenant_id,
    attempt: attempt.attempt,
    executor: {
      provider_id: target.name,
      channel: 'nats',
      pool: target.pool,
      ...(model === undefined ? {} : { model }),
    },
    job: {
      type: request.task.type,
      ...(request.task.payload === undefined ? {} : { payload: request.task.payload }),
    },
    options: { deadline_ms: attemptMs(policy, attempt.timeLeftMs) },
    decision: {
      provider_id: target.name,
      reason: attempt.reason,
      priority: attempt.priority,
      policy_id: policy.policyId,
      policy_revision: policy.revision,
    },
    metadata: accountOf(request, policy),
    owner: { router_id: routerId },
    stream: request.stream ?? false,
    ...(request.trace_id === undefined ? {} : { correlation: { trace_id: request.trace_id } }),
    ...(request.deliver_to === undefined ? {} : { deliver_to: request.deliver_to }),
    ...(request.dialect === undefined ? {} : { dialect: request.dialect }),
    ...(firstChunkMs === undefined && idleMs === undefined
      ? {}
      : {
          limits: {
            ...(firstChunkMs === undefined ? {} : { first_chunk_ms: firstChunkMs }),
            ...(idleMs === undefined ? {} : { idle_ms: idleMs }),
          },
        }),
  };
}

export const attemptMs = (policy: Policy, timeLeftMs: number): number =>
  Math.floor(
    Math.min(
      DEADLINE_MAX_MS,
      Math.max(DEADLINE_MIN_MS, Math.min(timeLeftMs, policy.timeouts.attemptMs ?? DEADLINE_MAX_MS)),
    ),
  );

/** A type and not an interface, so that it is an open object on the wire. */
function accountOf({ principal }: DecideRequest, policy: Policy): Record<string, unknown> {
  const account: Account = {
    policy_id: policy.policyId,
    policy_revision: policy.revision,
    ...(principal?.key_id === undefined ? {} : { key_id: principal.key_id }),
    ...(principal?.user_id === undefined ? {} : { user_id: principal.user_id }),
  };
  return { ...account };
}

const least = (a: number | undefined, b: number | undefined): number | undefined =>
  a === undefined ? b : b === undefined ? a : Math.min(a, b);
