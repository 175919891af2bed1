// What was asked for, as a digest: the same key with another body is a conflict (contracts 6).
import type { DecideRequest } from '../../contracts/decide.ts';
import { canonicalDigest } from '../../core/canonical-json.ts';

/**
 * SHA-256 in hex. What a repeat may change is left out: the ids of the message, the time that is left, who asks, and
 * what the gateway knows of the tenant.
 */
export function digestOf(request: DecideRequest): string {
  const { task, policy_id, constraints, metadata, context, options, run_id, flow_id, step_id, dialect, job } = request;
  const { type, tags, run_at_ms, retry_of, webhook_id, answer_as } = job ?? {};
  return canonicalDigest({
    task,
    policy_id: policy_id ?? 'default',
    constraints,
    metadata,
    context,
    options,
    run: [run_id, flow_id, step_id].filter((id) => id !== undefined),
    dialect,
    job: { type, tags, run_at_ms, retry_of, webhook_id, answer_as },
  }).slice('sha256:'.length);
}
