// The work order of one attempt of a job, as it stands on its stream. Pure.
import type { ApprovalVerdict, ExecAssignment } from '../../contracts/assignment.ts';
import type { JobRequest } from '../../contracts/job.ts';
import type { Policy } from '../../policy/policy.ts';
import { assignmentOf, type Try } from '../assignment-of.ts';
import { isRouted } from './job-target.ts';

export interface JobTry {
  readonly attempt: Try;
  readonly policy: Policy;
  readonly routerId: string;
  readonly priorCostMicroUsd: number;
  readonly verdict: ApprovalVerdict | undefined;
}

export function jobAssignmentOf(record: JobRequest, of: JobTry): ExecAssignment {
  const { request, assignment_id: assignmentId, expires_at_ms } = record;
  const { attempt, policy, routerId, verdict } = of;
  const order = assignmentOf({ request, policy, assignmentId, routerId }, attempt);
  const { options, principal, run_id, flow_id, step_id, task } = request;
  order.options = { deadline_ms: attempt.timeLeftMs };
  if (options?.priority !== undefined) order.options.priority = options.priority;
  // A whole answer: nobody reads the frames of a job.
  order.stream = false;
  order.expires_at_ms = expires_at_ms;
  order.idempotency_key = request.idempotency_key ?? `${record.tenant_id}:${assignmentId}`;
  order.prior_cost_micro_usd = of.priorCostMicroUsd;
  if (task.payload_ref !== undefined) order.job = { ...order.job, payload_ref: task.payload_ref };
  if (principal?.scopes !== undefined) order.scopes = principal.scopes.slice(0, SCOPES_MAX);
  if (run_id !== undefined) order.run_id = run_id;
  if (flow_id !== undefined) order.flow_id = flow_id;
  if (step_id !== undefined) order.step_id = step_id;
  if (verdict !== undefined) order.approval = verdict;
  // Limits of a stream say nothing of a block.
  if (!isRouted(task.type)) delete order.limits;
  return order;
}

const SCOPES_MAX = 64;
