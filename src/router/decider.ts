// Answers decide: facts from the message, the pure decision, the reply; and pushes the assignment when it is asked to.
import {
  type DecideRequest,
  type DecideRequestV1,
  type DecideResponse,
  type DecideResponseV1,
} from '../contracts/decide.ts';
import { DEADLINE_MIN_MS } from '../contracts/limits.ts';
import { BeamlineError, errorRow } from '../core/errors.ts';
import { newAssignmentId } from '../core/ids.ts';
import { LiveMap } from '../core/live-map.ts';
import { decide, emptyBecause, type Verdict } from '../policy/decide.ts';
import { type Explanation, minimalOf } from '../policy/explanation.ts';
import type { Facts } from '../policy/facts.ts';
import type { Policy } from '../policy/policy.ts';
import { scopeOf } from '../policy/scope-of.ts';
import { stickyKey } from '../policy/sticky.ts';
import type { Counter, Family } from '../telemetry/metrics.ts';
import { addedTags, attemptMs, marksOf } from './assignment-of.ts';
import { Attempts, callTo } from './attempts.ts';
import type { AttemptsDeps } from './attempts-deps.ts';
import { dryDecide } from './dry-decide.ts';
import { type ExperimentCounts, experimentCounts } from './experiment-counts.ts';
import { factsOf } from './facts-of.ts';
import type { Acceptance } from './jobs/acceptance.ts';
import { DurableDecide } from './jobs/durable-decide.ts';
import { isBounded } from './jobs/job-flights.ts';
import { isDurable } from './jobs/durable-request.ts';
import type { Policies } from './policies.ts';
import type { PolicyBudgets } from './policy-budgets.ts';
import type { Admitted, RateLimits } from './rate-limits.ts';
import type { RequestBudgets } from './request-budgets.ts';
import type { Shadows } from './shadows.ts';

/** `Retry-After` of a router that has no room: about the time of one answer. */
const FULL_RETRY_MS = 1_000;
const MICRO = 1_000_000;
const FIRST = { attempt: 1, failureWords: [] };

export interface DeciderDeps extends AttemptsDeps {
  readonly policies: Policies;
  /** The interactive requests in flight, by assignment. */
  readonly inFlight: LiveMap<Attempts>;
  readonly rateLimits: RateLimits;
  readonly budgets: PolicyBudgets;
  readonly shadows: Shadows;
  /** Takes what is pushed without a way back. */
  readonly acceptance: Acceptance;
}

type Chosen = Extract<Verdict, { kind: 'chosen' }>;

type ExplanationLevel = NonNullable<NonNullable<DecideRequest['options']>['explain']>;

interface How {
  readonly explain: ExplanationLevel;
  readonly version: 'v1' | 'v2';
  readonly isDry?: boolean;
  /** A job: it waits where a provider has as many as it may. */
  readonly isQueued?: boolean;
}

/** One question for a decision. */
interface Asked {
  readonly request: DecideRequest;
  readonly facts: Facts;
  readonly policy: Policy;
  readonly how: How;
}

export class Decider {
  readonly #deps: DeciderDeps;
  readonly #decisions: Family<Counter>;
  readonly #experiments: ExperimentCounts;
  readonly #durable: DurableDecide;
  /** The assignments in flight by tenant and request: whoever pushes a request twice must say so. */
  readonly #pushed = new LiveMap<string>();

  constructor(deps: DeciderDeps) {
    this.#deps = deps;
    this.#durable = new DurableDecide({
      ...deps,
      prepare: (request, policy) => this.#preparedFor(request, policy),
      decide: (facts, policy, version) => {
        // It takes no place among those that run: a job waits for its turn.
        deps.rateLimits.admit(policy, facts, deps.timers.clock.nowMs(), false);
        return this.#told(policy, facts, (budgets) => {
          const decided = this.#decide(facts, policy, { explain: 'none', version, isQueued: true }, budgets);
          this.#bind(decided, policy);
          return { decided, decision: decisionOf(decided, policy) };
        });
      },
    });
    this.#decisions = deps.telemetry.metrics.counter({
      name: 'router_decisions_total',
      help: 'Decisions by contract version and result.',
      labels: ['contract_version', 'result'],
    });
    this.#experiments = experimentCounts(deps.telemetry.metrics);
  }

  /** At once, unless the policy asks extensions first. */
  v1(request: DecideRequestV1): DecideResponseV1 | Promise<DecideResponseV1> {
    if (request.push_assignment === true) return this.#durable.v1(request);
    const policy = this.#deps.policies.find(request.tenant_id, request.policy_id ?? 'default');
    if (policy.extensions.length === 0) return this.#answerV1(request, policy);
    const deadlineMs = Math.min(request.options?.deadline_ms ?? policy.timeoutMs, policy.timeoutMs);
    return this.#prepare(request, policy, deadlineMs).then((prepared) => this.#answerV1(prepared, policy));
  }

  #answerV1(request: DecideRequestV1, policy: Policy): DecideResponseV1 | Promise<DecideResponseV1> {
    const { request_id, trace_id } = request;
    const facts = factsOf(request, this.#deps.timers.clock.epochMs());
    this.#deps.rateLimits.admit(policy, facts, this.#deps.timers.clock.nowMs(), false);
    const how = { explain: request.options?.explain === true ? 'detailed' : 'none', version: 'v1' } as const;
    return this.#told(policy, facts, (budgets) => {
      const verdict = this.#decide(facts, policy, how, budgets);
      this.#bind(verdict, policy);
      return {
        ok: true,
        decision: {
          provider_id: verdict.target.name,
          reason: verdict.reason,
          priority: verdict.priority,
          expected_latency_ms: Math.round(verdict.expectedLatencyMs ?? 0),
          expected_cost: (verdict.expectedCostMicroUsd ?? 0) / MICRO,
          metadata: {},
          policy_id: policy.policyId,
          policy_revision: policy.revision,
          fallback_used: verdict.fallbackUsed,
        },
        ...(verdict.explanation === undefined ? {} : { explanation: { ...verdict.explanation } }),
        context: { request_id, ...(trace_id === undefined ? {} : { trace_id }) },
      };
    });
  }

  /** At once, unless the policy asks extensions first. */
  v2(request: DecideRequest): DecideResponse | Promise<DecideResponse> {
    if (isDurable(request)) return this.#durable.v2(request);
    const policy = this.#deps.policies.find(request.tenant_id, request.policy_id ?? 'default');
    return policy.extensions.length === 0 ? this.#answer(request, policy) : this.#prepared(request, policy);
  }

  /** A dry run has no effect outside, so it asks nobody (policy 11.2). */
  async #prepared(request: DecideRequest, policy: Policy): Promise<DecideResponse> {
    if (request.options?.dry_run === true) return this.#answer(request, policy);
    const { clock } = this.#deps.timers;
    const startedMs = clock.nowMs();
    const budgetMs = Math.min(request.deadline_ms ?? policy.timeoutMs, policy.timeoutMs);
    const prepared = await this.#prepare(request, policy, budgetMs);
    const leftMs = Math.max(0, Math.floor(budgetMs - (clock.nowMs() - startedMs)));
    return this.#answer({ ...prepared, deadline_ms: leftMs }, policy);
  }

  #preparedFor(request: DecideRequest, policy: Policy): DecideRequest | Promise<DecideRequest> {
    if (policy.extensions.length === 0) return { ...request };
    return this.#prepare(request, policy, Math.min(request.deadline_ms ?? policy.timeoutMs, policy.timeoutMs));
  }

  #bind({ stickyKey: key, target }: Chosen, { sticky }: Policy): void {
    if (key !== undefined && sticky !== undefined) this.#deps.bindings.set(key, target.name, sticky.ttlMs);
  }

  async #prepare<R extends DecideRequest | DecideRequestV1>(request: R, policy: Policy, budgetMs: number): Promise<R> {
    const { live, extensions, timers, settings } = this.#deps;
    const facts = factsOf(request, timers.clock.epochMs());
    const scope = scopeOf(policy, facts, live.now(facts.tenantId, policy), FIRST);
    const items = policy.extensions.filter(({ holds }) => holds(scope));
    return extensions.prepare(request, items, {
      policyRevision: policy.revision,
      scope,
      deadlineMs: timers.clock.nowMs() + Math.min(budgetMs, settings.extensions_ms),
    });
  }

  #answer(request: DecideRequest, policy: Policy): DecideResponse | Promise<DecideResponse> {
    const { rateLimits, timers, budgets } = this.#deps;
    const facts = factsOf(request, timers.clock.epochMs());
    const isPush = request.push_assignment === true;
    const asked = { request, facts, policy, how: howOf(request) };
    if (asked.how.isDry) {
      return this.#told(policy, facts, (known) => dryDecide(request, () => this.#decided(asked, undefined, known)));
    }
    const admitted = rateLimits.admit(policy, facts, timers.clock.nowMs(), isPush);
    if (!isPush) return this.#told(policy, facts, (known) => this.#decided(asked, undefined, known));
    const within = budgets.of(policy, facts, Math.min(request.deadline_ms ?? policy.timeoutMs, policy.timeoutMs));
    if (within !== undefined) return this.#decidedWithin(asked, admitted, within);
    try {
      return this.#decided(asked, admitted);
    } catch (fault) {
      admitted.end(0);
      throw fault;
    }
  }

  /** `make` with what budgets say, once that is known; it holds nothing in them, as nobody would tell how it ended. */
  #told<T>(policy: Policy, facts: Facts, make: (budgets?: RequestBudgets) => T): T | Promise<T> {
    const budgets = this.#deps.budgets.of(policy, facts, policy.timeoutMs);
    const reading = budgets?.known();
    return reading === undefined ? make(budgets) : reading.then(() => make(budgets));
  }

  /** `admitted` is undefined where nothing is pushed. */
  #decided(asked: Asked, admitted: Admitted | undefined, budgets?: RequestBudgets): DecideResponse {
    const { facts, policy, how } = asked;
    let verdict = this.#decide(facts, policy, how, budgets);
    if (admitted === undefined) return this.#responseTo(asked, verdict, undefined);
    let assignment = this.#push(asked, verdict, admitted);
    // Who admits nobody now is open for the next decision, so each candidate is refused at most once (policy 6, step 13).
    for (let left = candidates(policy); assignment === undefined && left > 0; left--) {
      verdict = this.#decide(facts, policy, how);
      assignment = this.#push(asked, verdict, admitted);
    }
    if (assignment === undefined) throw nobodyAdmits(true);
    return this.#responseTo(asked, verdict, assignment);
  }

  /** The same where the policy or the tenant has budgets: what an attempt may cost is held before it is pushed. */
  async #decidedWithin(asked: Asked, admitted: Admitted, budgets: RequestBudgets): Promise<DecideResponse> {
    const { request, facts, policy, how } = asked;
    try {
      await budgets.known();
      const refusals = new Set<'breakers' | 'budgets'>();
      for (let left = candidates(policy); left >= 0; left--) {
        const verdict = this.#decide(facts, policy, how, budgets);
        const { target, expectedCostMicroUsd } = verdict;
        // eslint-disable-next-line no-await-in-loop -- a refusal counts for the next decision
        const isHeld = await budgets.hold(target, expectedCostMicroUsd, addedTags(request, verdict));
        const assignment = isHeld ? this.#push(asked, verdict, admitted, budgets) : undefined;
        if (assignment !== undefined) return this.#responseTo(asked, verdict, assignment);
        refusals.add(isHeld ? 'breakers' : 'budgets');
      }
      throw refusals.has('breakers') ? nobodyAdmits(refusals.size === 1) : budgets.exceeded();
    } catch (fault) {
      admitted.end(0);
      budgets.settle();
      throw fault;
    }
  }

  #responseTo(
    { request, policy, how }: Asked,
    verdict: Chosen,
    assignment: DecideResponse['assignment'],
  ): DecideResponse {
    const { policies, settings, timers } = this.#deps;
    const { request_id, tenant_id, trace_id, deliver_to } = request;
    if (!how.isDry) this.#bind(verdict, policy);
    const response: DecideResponse = {
      version: '2',
      ok: true,
      decision: decisionOf(verdict, policy),
      context: trace_id === undefined ? { request_id, tenant_id } : { request_id, tenant_id, trace_id },
    };
    if (assignment !== undefined && deliver_to !== undefined) {
      response.assignment = assignment;
      response.stream = { deliver_to, heartbeat_ms: settings.heartbeat_ms, silence_ms: settings.silence_ms };
    }
    if (verdict.explanation !== undefined) response.explanation = toldAt(how.explain, verdict.explanation);
    if (policies.isStale(timers.clock.nowMs()) && response.decision !== undefined)
      response.decision.policy_stale = true;
    return response;
  }

  #decide(facts: Facts, policy: Policy, how: How, budgets?: RequestBudgets): Chosen {
    const { explain, version, isDry = false, isQueued = false } = how;
    const key = policy.sticky === undefined ? undefined : stickyKey(policy, facts);
    const bound = key === undefined ? undefined : this.#deps.bindings.get(key);
    let snapshot = this.#deps.live.first(facts.tenantId, policy, bound, budgets);
    let verdict = decide(policy, facts, snapshot, explain === 'verbose' ? explain : explain !== 'none');
    if (isQueued && verdict.kind === 'none' && isBounded(policy)) {
      snapshot = this.#deps.live.waiting(facts.tenantId, policy, bound, budgets);
      verdict = decide(policy, facts, snapshot, false);
    }
    if (!isDry) this.#deps.decisions?.decided(policy, facts, snapshot, verdict);
    if (!isDry) this.#decisions.of(version, verdict.kind === 'chosen' ? verdict.reason : verdict.code).add();
    if (verdict.kind === 'chosen') return verdict;
    const explanation = verdict.explanation === undefined ? undefined : toldAt(explain, verdict.explanation);
    if (verdict.code === 'budget_exceeded' && budgets !== undefined) throw budgets.exceeded(explanation);
    throw new BeamlineError(verdict.code, verdict.message, {
      ...(errorRow(verdict.code).retry ? { retryAfterMs: FULL_RETRY_MS } : {}),
      ...(explanation === undefined ? {} : { details: { explanation } }),
    });
  }

  /** Starts the attempts of an interactive request; undefined if the chosen provider admits nobody now. */
  #push(
    { request, facts, policy }: Asked,
    first: Chosen,
    admitted: Admitted,
    budgets?: RequestBudgets,
  ): DecideResponse['assignment'] {
    const { settings, timers, inFlight, shadows } = this.#deps;
    const pushed = `${request.tenant_id} ${request.request_id}`;
    if (request.reask !== 1 && this.#pushed.has(pushed)) {
      throw new BeamlineError('idempotency_conflict', 'the request is executed already', {
        details: { intake: 'IDEMPOTENCY_VIOLATION' },
      });
    }
    if (inFlight.size >= settings.in_flight_max) {
      throw new BeamlineError('service_overloaded', 'the router has no room for another request', {
        retryAfterMs: FULL_RETRY_MS,
      });
    }
    const timeLeftMs = Math.min(request.deadline_ms ?? first.timeoutMs, first.timeoutMs);
    if (timeLeftMs < DEADLINE_MIN_MS) throw new BeamlineError('deadline_exceeded', 'too little time is left');
    const assignmentId = newAssignmentId();
    let isBegun = false;
    const attempts = new Attempts(this.#deps, {
      ordered: { request, policy, assignmentId, routerId: settings.id, marks: marksOf(first) },
      facts,
      first,
      budgets,
      deadlineMs: timers.clock.nowMs() + timeLeftMs,
      onOver: ({ outputTokens, last }) => {
        inFlight.delete(assignmentId);
        if (this.#pushed.get(pushed) === assignmentId) this.#pushed.delete(pushed);
        // One that was never sent is tried again with another provider, under the same admission.
        if (!isBegun) return;
        admitted.end(outputTokens === undefined ? undefined : (facts.inputTokens ?? 0) + outputTokens);
        budgets?.settle();
        if (first.arms.length > 0) this.#experiments.ended(first, last);
      },
    });
    inFlight.set(assignmentId, attempts);
    this.#pushed.set(pushed, assignmentId);
    isBegun = attempts.begin();
    if (!isBegun) return undefined;
    // It may have ended at once, for want of a model.
    if (inFlight.get(assignmentId) === undefined) {
      admitted.end(0);
      budgets?.settle();
    } else if (policy.shadow !== undefined) {
      shadows.offer({ request, policy, facts, timeLeftMs }, policy.shadow);
    }
    return {
      assignment_id: assignmentId,
      attempt: 1,
      subject: callTo(first.target.pool).subject,
      deadline_ms: attemptMs(policy, timeLeftMs),
      durable: false,
    };
  }
}

export function decisionOf(verdict: Chosen, policy: Policy): NonNullable<DecideResponse['decision']> {
  const decision: NonNullable<DecideResponse['decision']> = {
    provider_id: verdict.target.name,
    reason: verdict.reason,
    priority: verdict.priority,
    policy_id: policy.policyId,
    policy_revision: policy.revision,
    fallback_used: verdict.fallbackUsed,
  };
  if (verdict.model !== undefined) decision.model = verdict.model;
  if (verdict.isSticky) decision.sticky = true;
  if (verdict.ruleId !== undefined) decision.rule_id = verdict.ruleId;
  if (verdict.expectedLatencyMs !== undefined) decision.expected_latency_ms = Math.round(verdict.expectedLatencyMs);
  if (verdict.expectedCostMicroUsd !== undefined) {
    decision.expected_cost_micro_usd = Math.round(verdict.expectedCostMicroUsd);
  }
  if (verdict.tags.length > 0) decision.tags = [...verdict.tags];
  if (verdict.arms.length > 0)
    decision.experiments = verdict.arms.map(({ experiment, arm }) => ({ id: experiment, arm }));
  if (policy.canary !== undefined) decision.canary = verdict.reason === 'canary' ? 'canary' : 'stable';
  if (verdict.explanation !== undefined) {
    decision.alternatives = [...verdict.alternatives];
    decision.seed = verdict.seed;
  }
  return decision;
}

const howOf = ({ options }: DecideRequest): How & { readonly isDry: boolean } => ({
  explain: levelOf(options),
  version: 'v2',
  isDry: options?.dry_run === true,
});

/** Each candidate was refused in its turn, while others took what it was to get. */
function nobodyAdmits(onlyBreakers: boolean): BeamlineError {
  const { code, message } = emptyBecause({ onlyBreakers, onlyBudgets: false });
  return new BeamlineError(code, message, { retryAfterMs: FULL_RETRY_MS });
}

/** A dry run always has the steps (policy 11.2). */
function levelOf({ explain = 'none', dry_run: isDry }: NonNullable<DecideRequest['options']> = {}): ExplanationLevel {
  return isDry === true && explain !== 'verbose' ? 'detailed' : explain;
}

const toldAt = (level: ExplanationLevel, explanation: Explanation): Record<string, unknown> => ({
  ...(level === 'minimal' ? minimalOf(explanation) : explanation),
});

const candidates = ({ targets, fallbacks, canary }: Policy): number =>
  targets.length + fallbacks.length + (canary === undefined ? 0 : 1);
