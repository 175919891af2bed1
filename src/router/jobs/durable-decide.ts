// Answers decide where the work is durable: decides, so that what cannot be decided is refused at once, and accepts.
import type { DecideRequest, DecideRequestV1, DecideResponse, DecideResponseV1 } from '../../contracts/decide.ts';
import { contextOf } from '../../contracts/failure.ts';
import { BeamlineError } from '../../core/errors.ts';
import type { Timers } from '../../core/timers.ts';
import type { Facts } from '../../policy/facts.ts';
import type { Policy } from '../../policy/policy.ts';
import { factsOf } from '../facts-of.ts';
import type { Policies } from '../policies.ts';
import type { Acceptance, Accepted, Order } from './acceptance.ts';
import { fromV1, v1DeadlineMs } from './durable-request.ts';
import type { Decided } from './job-plan.ts';
import { blockChoice, isRouted } from './job-target.ts';

const MICRO = 1_000_000;

type Decision = Order['decision'];

interface Made {
  readonly decided: Decided;
  readonly decision: Decision;
}

export interface DurableDecideDeps {
  readonly timers: Timers;
  readonly policies: Policies;
  readonly acceptance: Acceptance;
  /** Asks the extensions of the policy; the request as they left it. */
  readonly prepare: (request: DecideRequest, policy: Policy) => DecideRequest | Promise<DecideRequest>;
  /** Throws what no decision is. */
  readonly decide: (facts: Facts, policy: Policy, version: 'v1' | 'v2') => Made | Promise<Made>;
}

export class DurableDecide {
  readonly #deps: DurableDecideDeps;

  constructor(deps: DurableDecideDeps) {
    this.#deps = deps;
  }

  async v2(asked: DecideRequest): Promise<DecideResponse> {
    const { answer, isDuplicate, atMs } = await this.#take(asked, 'v2');
    const { request_id, tenant_id, trace_id } = asked;
    const context = trace_id === undefined ? { request_id, tenant_id } : { request_id, tenant_id, trace_id };
    const told = {
      ...(isDuplicate ? { duplicate: true } : {}),
      ...(atMs === undefined ? {} : { accepted_at_ms: atMs }),
    };
    return { version: '2', ok: true, ...answer, ...told, context };
  }

  async v1(request: DecideRequestV1): Promise<DecideResponseV1> {
    const { answer } = await this.#take(fromV1(request), 'v1');
    const { request_id, trace_id } = contextOf(request);
    const context = {
      ...(request_id === undefined ? {} : { request_id }),
      ...(trace_id === undefined ? {} : { trace_id }),
    };
    return { ok: true, ...(answer === undefined ? {} : { decision: decisionV1(answer.decision) }), context };
  }

  async #take(asked: DecideRequest, version: 'v1' | 'v2'): Promise<Accepted> {
    const { policies, acceptance, prepare, timers } = this.#deps;
    const policy = policies.find(asked.tenant_id, asked.policy_id ?? 'default');
    // A repeat has no effect: no extension hears of it.
    const known = await acceptance.known(asked);
    if (known !== undefined) return known;
    const prepared = await prepare(asked, policy);
    const { decided, decision } = await this.#decide(prepared, policy, version);
    // A copy: it is stored with the job, and repeats are answered by what was true then.
    const told = policies.isStale(timers.clock.nowMs()) ? { ...decision, policy_stale: true } : decision;
    if (version === 'v1') prepared.deadline_ms ??= v1DeadlineMs(decided?.expectedLatencyMs);
    const accepted = await acceptance.accept({ asked, prepared, policy, decision: told, decided });
    // What an extension may have changed is in the record alone.
    return policy.extensions.length === 0 ? accepted : { ...accepted, atMs: undefined };
  }

  async #decide(
    request: DecideRequest,
    policy: Policy,
    version: 'v1' | 'v2',
  ): Promise<{ readonly decided: Decided | undefined; readonly decision: Decision }> {
    if (!isRouted(request.task.type)) return { decided: undefined, decision: blockDecision(policy) };
    const made = await this.#deps.decide(factsOf(request, this.#deps.timers.clock.epochMs()), policy, version);
    // Callers of version 1 may name the model inside the payload, which is their worker's.
    if (made.decided.model !== undefined || version === 'v1') return made;
    throw new BeamlineError('invalid_request', 'neither the request nor the policy names a model');
  }
}

const blockDecision = ({ policyId, revision }: Policy): Decision => ({
  provider_id: blockChoice.target.name,
  reason: blockChoice.reason,
  priority: blockChoice.priority,
  policy_id: policyId,
  policy_revision: revision,
  fallback_used: false,
});

const decisionV1 = (decision: Decision): NonNullable<DecideResponseV1['decision']> => ({
  provider_id: decision.provider_id,
  reason: decision.reason,
  priority: decision.priority,
  expected_latency_ms: decision.expected_latency_ms ?? 0,
  expected_cost: (decision.expected_cost_micro_usd ?? 0) / MICRO,
  metadata: {},
  policy_id: decision.policy_id,
  policy_revision: decision.policy_revision,
  fallback_used: decision.fallback_used,
});
