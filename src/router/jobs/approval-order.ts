// A question to people as a caller orders it (worker 11), and as it is kept. Pure.
import { type Approval, approval } from '../../contracts/approval.ts';
import type { JobRequest } from '../../contracts/job.ts';
import { BeamlineError } from '../../core/errors.ts';

const OPTIONS = ['approve', 'reject'];
const EXPIRES_S = 86_400;
const EXPIRES_S_MAX = 30 * EXPIRES_S;
const APPROVER = /^(?:key|user|role):./;

export const approvalIdOf = (assignmentId: string): string => `apr_${assignmentId}`;

/** Throws `invalid_request` for a payload that is no question. */
export function approvalOf(record: JobRequest): Approval {
  const { request, tenant_id, job_id, assignment_id, created_at_ms } = record;
  const { title, body, artefacts, options, approvers, quorum, expires_s, on_timeout } = request.task.payload ?? {};
  const seconds = expires_s ?? EXPIRES_S;
  if (typeof seconds !== 'number' || !Number.isInteger(seconds) || seconds < 1 || seconds > EXPIRES_S_MAX) {
    throw invalid(`expires_s: must be a whole number from 1 to ${EXPIRES_S_MAX}`);
  }
  const from = Math.max(created_at_ms, request.job?.run_at_ms ?? 0);
  const asked = {
    version: '2',
    approval_id: approvalIdOf(assignment_id),
    tenant_id,
    job_id,
    assignment_id,
    title,
    ...(body === undefined ? {} : { body }),
    ...(artefacts === undefined ? {} : { artefacts }),
    options: options ?? OPTIONS,
    approvers,
    quorum: quorum ?? 1,
    ...(request.principal?.key_id === undefined ? {} : { requester: request.principal.key_id }),
    on_timeout: on_timeout ?? 'fail',
    status: 'pending',
    votes: [],
    created_at_ms,
    expires_at_ms: from + seconds * 1_000,
  };
  if (!approval.check(asked)) throw invalid(approval.fault(asked));
  const strange = asked.approvers.find((approver) => !APPROVER.test(approver));
  if (strange !== undefined) throw invalid('approvers: each is key:<id>, user:<id> or role:<name>');
  if (new Set(asked.options).size < asked.options.length) throw invalid('options: each is named once');
  return asked;
}

const invalid = (message: string): BeamlineError =>
  new BeamlineError('invalid_request', `the approval is invalid: ${message}`);
