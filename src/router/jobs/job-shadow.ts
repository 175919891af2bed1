// Offers the first attempt of a job to the shadow of its policy (policy 5.6). The copy is a call and no job: it has no record,
// is not repeated, and takes a free place of a worker or none.
import type { JobRequest } from '../../contracts/job.ts';
import { factsOf } from '../facts-of.ts';
import type { Shadows } from '../shadows.ts';
import type { Go } from './job-plan.ts';
import { isRouted } from './job-target.ts';

/** What a worker asks of the order itself; a call is not asked. */
const SCOPE = 'ai:invoke';

export function offerCopyOf(record: JobRequest, { attempt, policy }: Go, shadows: Shadows): void {
  const { request } = record;
  const { task, principal } = request;
  if (policy.shadow === undefined || attempt.attempt > 1 || !isRouted(task.type)) return;
  // A call carries its payload, and who may not order the job gets no copy of it either.
  if (task.payload === undefined || principal?.scopes?.includes(SCOPE) === false) return;
  const facts = factsOf(request, record.created_at_ms);
  const whole = { ...request, stream: false };
  shadows.offer({ request: whole, policy, facts, timeLeftMs: attempt.timeLeftMs }, policy.shadow);
}
