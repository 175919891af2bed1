// What a document would do, without doing it: validation, complexity, dry run (policy 11.2, 11.4, 11.5).
// A dry run is the code of every decision with nothing behind it: no limiter, permit, binding, push, record or metric.
import { createHash } from 'node:crypto';
import type { AdminParams, Complexity, DryRun } from '../contracts/admin-operations.ts';
import { BeamlineError } from '../core/errors.ts';
import { complexityOf } from '../policy/complexity.ts';
import type { Clock } from '../core/clock.ts';
import { decide } from '../policy/decide.ts';
import type { Facts, Snapshot } from '../policy/facts.ts';
import { Findings } from '../policy/issue.ts';
import type { Policy } from '../policy/policy.ts';
import { check, isMembers } from '../policy/shape.ts';
import { SNAPSHOT_SHAPE, type SnapshotDocument, snapshotOf } from '../policy/snapshot-document.ts';
import type { Moment } from './admin-moment.ts';
import { absent, type PolicyAdmin, recordOf } from './admin-policy-reads.ts';
import type { Operations } from './admin-principal.ts';
import { decisionOf } from './decider.ts';
import { factsOf } from './facts-of.ts';

/** Revision of a document that is not stored. */
const NO_REVISION = 0;
/** The tenant of policies that every tenant has. */
const BUILT_IN = '*';

export const simulations = (
  policies: PolicyAdmin,
  moment: Moment,
  clock: Clock,
): Operations<'validate_policy' | 'get_complexity' | 'dry_run'> => ({
  validate_policy(params) {
    const document = documentOf(policies, params);
    const parsed = policies.check(document, keyOf(params, document));
    const { warnings } = parsed;
    return parsed.kind === 'valid'
      ? { valid: true, errors: [], warnings: [...warnings, ...complexityWarnings(document)] }
      : { valid: false, errors: parsed.errors, warnings };
  },
  get_complexity(params) {
    const { policy, tenant_id, policy_id } = params;
    const isBuiltIn = policy === undefined && isUnstored(policies, tenant_id, policy_id);
    return complexity(isBuiltIn ? undefined : documentOf(policies, params));
  },
  async dry_run(params) {
    if (params.extensions === 'call') {
      throw new BeamlineError('not_implemented', 'extensions are not called in dry runs yet: skip them');
    }
    const policy = await policyOf(policies, params);
    const facts: Facts = {
      ...factsOf(params.request, params.time_ms ?? clock.epochMs()),
      ...(params.seed === undefined ? {} : { seed: params.seed }),
    };
    const snapshot = params.snapshot === undefined ? moment(policy, facts) : readSnapshot(params.snapshot);
    const verdict = decide(policy, facts, snapshot, true);
    const { payload } = params.request.task;
    const told = {
      explanation: { ...verdict.explanation },
      executed_extensions: [],
      ...(payload === undefined
        ? {}
        : { payload_digest: createHash('sha256').update(JSON.stringify(payload)).digest('hex') }),
    };
    return verdict.kind === 'chosen'
      ? ({ decision: decisionOf(verdict, policy), ...told } satisfies DryRun)
      : ({ refusal: { code: verdict.code, message: verdict.message }, ...told } satisfies DryRun);
  },
});

type Named = AdminParams['validate_policy'];

/** Whether the policy decides without a document, as the built-in ones do. */
function isUnstored(policies: PolicyAdmin, tenantId: string | undefined, policyId: string | undefined): boolean {
  if (tenantId === undefined || policyId === undefined) return false;
  return policies.get(tenantId, policyId) === undefined && policies.find(tenantId, policyId).tenantId === BUILT_IN;
}

/** The given document, or the stored one. */
function documentOf(policies: PolicyAdmin, { tenant_id, policy_id, policy }: Named): unknown {
  if (policy !== undefined) return policy;
  if (tenant_id === undefined || policy_id === undefined) {
    throw new BeamlineError('invalid_request', 'give a policy, or tenant_id and policy_id');
  }
  const record = policies.get(tenant_id, policy_id);
  if (record !== undefined) return record.policy;
  throw absent();
}

/** The key that is named, else the one that the document gives itself. */
function keyOf({ tenant_id, policy_id }: Named, document: unknown) {
  const own = isMembers(document) ? document : {};
  const text = (value: unknown, otherwise: string): string => (typeof value === 'string' ? value : otherwise);
  return {
    tenantId: tenant_id ?? text(own['tenant_id'], '-'),
    policyId: policy_id ?? text(own['policy_id'], 'default'),
    revision: NO_REVISION,
  };
}

/** The given document, the stored revision, or what decides now. */
async function policyOf(policies: PolicyAdmin, { request, policy, revision }: AdminParams['dry_run']): Promise<Policy> {
  const key = { tenantId: request.tenant_id, policyId: request.policy_id ?? 'default' };
  if (policy === undefined && revision === undefined) return policies.find(key.tenantId, key.policyId);
  if (policy !== undefined) return compiled(policies, policy, { ...key, revision: NO_REVISION });
  const stored = { ...key, revision: revision ?? NO_REVISION };
  const record = await recordOf(policies, stored);
  if (record === undefined || record.deleted) throw absent();
  return compiled(policies, record.policy, stored);
}

/** Throws `validation_failed` with all findings. */
function compiled(policies: PolicyAdmin, document: unknown, key: Parameters<PolicyAdmin['check']>[1]): Policy {
  const parsed = policies.check(document, key);
  if (parsed.kind === 'valid') return parsed.policy;
  const { errors, warnings } = parsed;
  throw new BeamlineError('validation_failed', 'the policy has errors', { details: { errors, warnings } });
}

function readSnapshot(document: Readonly<Record<string, unknown>>): Snapshot {
  const findings = new Findings();
  check(document, SNAPSHOT_SHAPE, '', { findings, major: 2 });
  const { errors } = findings;
  if (errors.length === 0) return snapshotOf(document as SnapshotDocument);
  const fields = errors.map(({ path, code, message }) => ({ path: `/snapshot${path}`, code, message }));
  throw new BeamlineError('invalid_request', 'the snapshot cannot be read', { details: { reason: 'schema', fields } });
}

function complexity(document: unknown): Complexity {
  const { extensions, score, level, estimatedLatencyMs } = complexityOf(document);
  return {
    extensions,
    score,
    level,
    estimated_latency_ms: estimatedLatencyMs,
    warnings: complexityWarnings(document),
  };
}

function complexityWarnings(document: unknown): Complexity['warnings'] {
  const { isWarned, score } = complexityOf(document);
  return isWarned ? [{ path: '', code: 'complexity', message: `the extensions make a complexity of ${score}` }] : [];
}
