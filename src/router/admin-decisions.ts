// What became of a request, from the records of whoever decided it (policy 11.3, gateway 14.1).
// D1. It is told to its tenant only; what is of another one is not there.
// D2. It is explained by deciding again, from the facts and the snapshot of the record: nothing of now enters.
// D3. Every router is asked. One that does not know waits before it says so, as long as there are others, because the
//     first reply is the answer.
import type { AdminParams, DecidedAttempt, StoredDecision } from '../contracts/admin-operations.ts';
import { BeamlineError } from '../core/errors.ts';
import type { Timers } from '../core/timers.ts';
import { decide } from '../policy/decide.ts';
import { type AttemptRecord, type DecisionRecord, type OutcomeRecord, snapshotOf } from '../policy/decision-record.ts';
import type { ExplanationStep } from '../policy/explanation-step.ts';
import type { Policy } from '../policy/policy.ts';
import { REASONS } from '../policy/reasons.ts';
import { candidateOf } from './admin-candidate.ts';
import type { PolicyAdmin } from './admin-policy-reads.ts';
import type { AdminPrincipal, Operations } from './admin-principal.ts';
import { decisionOf } from './decider.ts';
import { inSlices, type KeptRecords } from './kept-records.ts';

/** Beside the time of its own look, which is about that of the others. */
const LAST_WORD_MS = 1_500;
const LOOKS_MAX = 8;
/** Attempts and outcomes of one request: more than any policy allows, each with its repeats on other workers. */
const ENTRIES_MAX = 128;
const BUSY_RETRY_MS = 1_000;
/** A step of a search goes through a piece of a file, which is a turn's worth. */
const SLICE_MAX = 1;

export interface DecisionsDeps {
  readonly policies: PolicyAdmin;
  readonly timers: Timers;
  /** Undefined: nothing is recorded. */
  readonly records: () => Promise<KeptRecords | undefined>;
  /** Whether nobody else could know a request. */
  readonly isAlone: () => boolean;
}

interface Found {
  readonly decisions: readonly [DecisionRecord, ...DecisionRecord[]];
  /** What followed without another decision. */
  readonly followed: readonly AttemptRecord[];
  readonly outcomes: readonly OutcomeRecord[];
  /** The revision that made the first decision. */
  readonly own: Policy | undefined;
}

export function decisionReads(deps: DecisionsDeps): Operations<'get_decision'> {
  // Both subscriptions of this router hear one question, and look once.
  const looks = new Map<string, Promise<Found | undefined>>();
  return {
    async get_decision(params, by) {
      const { tenant_id, request_id } = params;
      const key = `${tenant_id} ${request_id}`;
      const look = looks.get(key) ?? begin(deps, looks, key, params);
      const found = await look;
      if (found !== undefined && isTold(found, params, by)) return storedOf(deps.policies, found, params);
      if (!deps.isAlone()) await deps.timers.sleep(LAST_WORD_MS);
      throw new BeamlineError('not_found', 'no decision of this request is recorded');
    },
  };
}

type Params = AdminParams['get_decision'];

function begin(
  deps: DecisionsDeps,
  looks: Map<string, Promise<Found | undefined>>,
  key: string,
  { tenant_id, request_id }: Params,
): Promise<Found | undefined> {
  if (looks.size >= LOOKS_MAX) {
    throw new BeamlineError('service_overloaded', 'too many records are looked for', { retryAfterMs: BUSY_RETRY_MS });
  }
  const look = find(deps, tenant_id, request_id).finally(() => looks.delete(key));
  looks.set(key, look);
  return look;
}

async function find({ records }: DecisionsDeps, tenantId: string, requestId: string): Promise<Found | undefined> {
  const kept = await records();
  if (kept === undefined) return undefined;
  const decisions: DecisionRecord[] = [];
  const followed: AttemptRecord[] = [];
  const outcomes: OutcomeRecord[] = [];
  let own: Policy | undefined;
  await inSlices(kept.find(tenantId, requestId), SLICE_MAX, (step) => {
    if (step?.entry.type === 'outcome') outcomes.push(step.entry);
    else if (step?.entry.type === 'attempt') followed.push(step.entry);
    else if (step?.entry.type === 'decision' && decisions.push(step.entry) === 1) own = step.own();
    return decisions.length + followed.length + outcomes.length < ENTRIES_MAX;
  });
  const [first, ...more] = decisions;
  return first === undefined ? undefined : { decisions: [first, ...more], followed, outcomes, own };
}

function isTold({ decisions: [{ policy_id }] }: Found, params: Params, by: AdminPrincipal): boolean {
  if (params.policy_id !== undefined && params.policy_id !== policy_id) return false;
  return by.policies?.has(policy_id) ?? true;
}

async function storedOf(policies: PolicyAdmin, found: Found, params: Params): Promise<StoredDecision> {
  const { decisions, followed, outcomes, own } = found;
  const [first] = decisions;
  const { tenant_id, request_id, policy: document, revision } = params;
  const named = { tenantId: tenant_id, policyId: first.policy_id, document, revision };
  const isOwn = document === undefined && revision === undefined;
  const policy = isOwn ? own : await candidateOf(policies, named);
  const told = policy === undefined ? recorded(first) : decidedAgain(policy, first, isOwn ? followed : []);
  return {
    request_id,
    tenant_id,
    policy_id: first.policy_id,
    policy_revision: policy?.revision ?? first.revision,
    time_ms: first.time_ms,
    ...told,
    attempts: [...decisions.map(decidedOn), ...followed.map(followedOn)]
      .toSorted((one, other) => one.attempt - other.attempt)
      .map((one) => ended(one, outcomes)),
  };
}

type Answer = Pick<StoredDecision, 'decision' | 'refusal' | 'explanation'>;

function decidedAgain(policy: Policy, record: DecisionRecord, followed: readonly AttemptRecord[]): Answer {
  const verdict = decide(policy, record.facts, snapshotOf(record), true);
  const { steps = [] } = verdict.explanation ?? {};
  const explanation = { ...verdict.explanation, steps: [...steps, ...stepsOf(followed, steps.length)] };
  if (verdict.kind === 'chosen') return { decision: decisionOf(verdict, policy), explanation };
  return { refusal: { code: verdict.code, message: verdict.message }, explanation };
}

/** What followed the decision, as the last steps of its explanation (policy 7.1); `n` is the number of the step before. */
const stepsOf = (followed: readonly AttemptRecord[], n: number): readonly ExplanationStep[] =>
  followed.map(({ attempt, provider_id, reason, after, why }, index) => ({
    n: n + index + 1,
    stage: 'attempt',
    outcome: 'chosen',
    detail: `${reason} on ${provider_id} after ${after}${why === undefined ? '' : `: ${why}`}`,
    data: { attempt, provider_id, reason, after, ...(why === undefined ? {} : { why }) },
  }));

/** Without the policy there is only what was written down. */
function recorded({ verdict, policy_id, revision, seed }: DecisionRecord): Answer {
  if (verdict.kind === 'none') return { refusal: { code: verdict.code, message: 'nothing was chosen' } };
  const { provider_id, reason, model, expected_latency_ms, expected_cost_micro_usd } = verdict;
  const { priority, fallbackUsed } = isReason(reason) ? REASONS[reason] : { priority: 0, fallbackUsed: false };
  const decision: NonNullable<StoredDecision['decision']> = {
    provider_id,
    reason,
    priority,
    policy_id,
    policy_revision: revision,
    fallback_used: fallbackUsed,
    seed,
  };
  if (model !== undefined) decision.model = model;
  if (expected_latency_ms !== undefined) decision.expected_latency_ms = Math.round(expected_latency_ms);
  if (expected_cost_micro_usd !== undefined) decision.expected_cost_micro_usd = Math.round(expected_cost_micro_usd);
  return { decision };
}

const isReason = (reason: string): reason is keyof typeof REASONS => Object.hasOwn(REASONS, reason);

function decidedOn({ attempt, time_ms, verdict }: DecisionRecord): DecidedAttempt {
  if (verdict.kind === 'none') return { attempt, time_ms, code: verdict.code };
  const { reason, provider_id, model } = verdict;
  return { attempt, time_ms, provider_id, ...(model === undefined ? {} : { model }), reason };
}

function followedOn({ attempt, time_ms, provider_id, model, reason, after, why }: AttemptRecord): DecidedAttempt {
  return {
    attempt,
    time_ms,
    provider_id,
    ...(model === undefined ? {} : { model }),
    reason,
    after,
    ...(why === undefined ? {} : { why }),
  };
}

/** The attempt with its end, if that is known: a provider that admitted nobody was decided on and never called. */
function ended(attempt: DecidedAttempt, outcomes: readonly OutcomeRecord[]): DecidedAttempt {
  const end = outcomes.findLast((one) => one.attempt === attempt.attempt && one.provider_id === attempt.provider_id);
  if (end === undefined) return attempt;
  const { state, code, latency_ms } = end;
  return { ...attempt, outcome: { state, ...(code === undefined ? {} : { code }), latency_ms } };
}
