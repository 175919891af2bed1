// What a provider wrote with a refusal goes nowhere (worker 7): the log has its digest, to find it in the provider's own log
// and to tell one refusal from another.
import type { ExecAssignment } from '../contracts/assignment.ts';
import type { Log } from '../telemetry/log.ts';
import type { AttemptEnd } from './attempt-messages.ts';

export function logRefusal(log: Log, assignment: ExecAssignment, end: AttemptEnd): void {
  if (end.state === 'succeeded' || end.failure.originalSha256 === undefined) return;
  const { code, detailCode, httpStatus, originalSha256 } = end.failure;
  log.info('provider_refused', {
    request_id: assignment.request_id,
    tenant_id: assignment.tenant_id,
    assignment_id: assignment.assignment_id,
    attempt: assignment.attempt,
    provider: assignment.executor.provider_id,
    model: assignment.executor.model,
    code,
    detail_code: detailCode,
    status: httpStatus,
    original_sha256: originalSha256,
  });
}
