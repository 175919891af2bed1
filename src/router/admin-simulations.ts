// What a document would do, without doing it: validation, complexity, dry run (policy 11.2, 11.4, 11.5).
// A dry run is the code of every decision with nothing behind it: no limiter, permit, binding, push, record or metric.
// If it is told to call, pre-processors and validators are really called, and nothing else.
import type { AdminParams, Complexity, DryRun } from '../contracts/admin-operations.ts';
import type { DecideRequest } from '../contracts/decide.ts';
import { BeamlineError } from '../core/errors.ts';
import { complexityOf } from '../policy/complexity.ts';
import type { Clock } from '../core/clock.ts';
import { decide } from '../policy/decide.ts';
import type { Scope } from '../policy/condition.ts';
import { type Facts, seedOf, type Snapshot } from '../policy/facts.ts';
import { Findings } from '../policy/issue.ts';
import type { Policy } from '../policy/policy.ts';
import { scopeOf } from '../policy/scope-of.ts';
import { check, isMembers } from '../policy/shape.ts';
import { SNAPSHOT_SHAPE, type SnapshotDocument, snapshotOf } from '../policy/snapshot-document.ts';
import { candidateOf, NO_REVISION } from './admin-candidate.ts';
import type { ExtensionAdmin } from './admin-extensions.ts';
import type { Moment } from './admin-moment.ts';
import { absent, type PolicyAdmin } from './admin-policy-reads.ts';
import type { Operations } from './admin-principal.ts';
import { decisionOf } from './decider.ts';
import { payloadDigestOf } from './dry-decide.ts';
import type { Rehearsal } from './extensions.ts';
import { factsOf } from './facts-of.ts';

const FIRST = { attempt: 1, failureWords: [] };
/** The tenant of policies that every tenant has. */
const BUILT_IN = '*';

/** Calls the extensions of the policy whose condition holds, and nothing else. */
export type Rehearse = (policy: Policy, request: DecideRequest, scope: Scope) => Promise<Rehearsal>;

export interface SimulationDeps {
  readonly policies: PolicyAdmin;
  readonly moment: Moment;
  readonly clock: Clock;
  readonly rehearse: Rehearse;
  readonly extensions: Pick<ExtensionAdmin, 'p95Ms'>;
}

export const simulations = ({
  policies,
  moment,
  clock,
  rehearse,
  extensions,
}: SimulationDeps): Operations<'validate_policy' | 'get_complexity' | 'dry_run'> => ({
  validate_policy(params) {
    const document = documentOf(policies, params);
    const parsed = policies.check(document, keyOf(params, document));
    const { warnings } = parsed;
    return parsed.kind === 'valid'
      ? { valid: true, errors: [], warnings }
      : { valid: false, errors: parsed.errors, warnings };
  },
  get_complexity(params) {
    const { policy, tenant_id, policy_id } = params;
    const isBuiltIn = policy === undefined && isUnstored(policies, tenant_id, policy_id);
    return complexity(isBuiltIn ? undefined : documentOf(policies, params), extensions.p95Ms);
  },
  async dry_run(params) {
    const { request, policy: document, revision, time_ms: timeMs = clock.epochMs() } = params;
    const { tenant_id: tenantId, policy_id: policyId = 'default' } = request;
    const policy = await candidateOf(policies, { tenantId, policyId, document, revision });
    const given = params.snapshot === undefined ? undefined : readSnapshot(params.snapshot);
    const factsWith = (asked: DecideRequest): Facts => ({
      ...factsOf(asked, timeMs),
      ...(params.seed === undefined ? {} : { seed: params.seed }),
    });
    const facts = factsWith(request);
    const budgets = given === undefined ? await moment.budgetsOf(policy, facts) : undefined;
    const snapshotFor = (asked: Facts): Snapshot => given ?? moment.now(policy, asked, budgets);
    if (params.extensions !== 'call') {
      return { ...decided(policy, facts, snapshotFor(facts)), executed_extensions: [], ...payloadDigestOf(request) };
    }
    const called = await rehearse(policy, request, scopeOf(policy, facts, snapshotFor(facts), FIRST));
    const { payload } = called.request.task;
    const told = {
      executed_extensions: called.executed,
      ...(payload === undefined ? {} : { final_payload: payload }),
      ...payloadDigestOf(called.request),
      ...(called.blockedBy === undefined ? {} : { blocked_by: called.blockedBy }),
    };
    if (called.fault !== undefined) return { ...refusedBy(called.fault, called, policy, facts), ...told };
    const final = factsWith(called.request);
    return { ...decided(policy, final, snapshotFor(final)), ...told };
  },
});

type Answer = Pick<DryRun, 'decision' | 'refusal' | 'explanation'>;

function decided(policy: Policy, facts: Facts, snapshot: Snapshot): Answer {
  const verdict = decide(policy, facts, snapshot, true);
  const explanation = { ...verdict.explanation };
  return verdict.kind === 'chosen'
    ? { decision: decisionOf(verdict, policy), explanation }
    : { refusal: { code: verdict.code, message: verdict.message }, explanation };
}

/** Nothing was decided: the steps are the calls. */
function refusedBy({ code, message }: BeamlineError, called: Rehearsal, policy: Policy, facts: Facts): Answer {
  const { policyId: policy_id, revision: policy_revision, version: policy_version } = policy;
  const steps = called.executed.map(({ id, type, status, latency_ms }, index) => ({
    n: index + 1,
    stage: type,
    outcome: status === 'ok' ? 'matched' : id === called.blockedBy ? 'blocked' : 'error',
    detail: `${id}: ${status}`,
    data: { extension_id: id, latency_ms },
  }));
  const seed = seedOf(facts);
  const explanation = { policy_id, policy_revision, policy_version, seed, attempt: 1, fallback_used: false };
  return { refusal: { code, message }, explanation: { ...explanation, steps, candidates: [] } };
}

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

function readSnapshot(document: Readonly<Record<string, unknown>>): Snapshot {
  const findings = new Findings();
  check(document, SNAPSHOT_SHAPE, '', { findings, major: 2 });
  const { errors } = findings;
  if (errors.length === 0) return snapshotOf(document as SnapshotDocument);
  const fields = errors.map(({ path, code, message }) => ({ path: `/snapshot${path}`, code, message }));
  throw new BeamlineError('invalid_request', 'the snapshot cannot be read', { details: { reason: 'schema', fields } });
}

function complexity(document: unknown, p95Ms: ExtensionAdmin['p95Ms']): Complexity {
  const { extensions, score, level, estimatedLatencyMs, isWarned } = complexityOf(document, p95Ms);
  return {
    extensions,
    score,
    level,
    estimated_latency_ms: Math.round(estimatedLatencyMs),
    warnings: isWarned
      ? [{ path: '', code: 'complexity', message: `the extensions make a complexity of ${score}` }]
      : [],
  };
}
