// What a router knows of providers and workers, learned from what every router hears (policy 4, 5.2, 7.2, 8).
// L1. An attempt that this router sends is held before it leaves and let go when it is over, however it ends; so neither
//     a permit of a half-open breaker nor a place in flight can leak.
import type { AttemptOutcome } from '../contracts/outcome.ts';
import type { BreakerMode } from '../core/breaker.ts';
import type { PriceBook } from '../catalog/price-book.ts';
import type { Clock } from '../core/clock.ts';
import type { Live, Snapshot } from '../policy/facts.ts';
import type { History } from '../policy/history.ts';
import type { Policy, Target } from '../policy/policy.ts';
import { ALONE, partOf, type RouterShare } from '../policy/router-share.ts';
import type { Failure } from '../policy/status-words.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import { Breakers, type BreakerView } from './breakers.ts';
import { Canaries } from './canaries.ts';
import type { CanaryAborts } from './canary-aborts.ts';
import { Cooldowns } from './cooldowns.ts';
import type { Fleet } from './fleet.ts';
import { InFlight } from './in-flight.ts';
import { Latencies } from './latencies.ts';
import { LiveSnapshot } from './live-snapshot.ts';
import type { RequestBudgets } from './request-budgets.ts';
import { type RetryBudget, RetryBudgets } from './retry-budgets.ts';

/** Codes that say something of our workers and nothing of the provider (worker 7). */
const FLEET_CODES: ReadonlySet<string> = new Set(['WORKER_UNAVAILABLE', 'WORKER_LOST']);

/** One attempt on one provider. */
export interface Hold {
  readonly tenantId: string;
  readonly policy: Policy;
  readonly provider: string;
  readonly assignmentId: string;
  /** After it the attempt is over, on the monotonic clock. */
  readonly deadlineMs: number;
}

export class LiveState {
  readonly #clock: Clock;
  readonly #breakers: Breakers;
  readonly #cooldowns: Cooldowns;
  readonly #latencies: Latencies;
  readonly #inFlight: InFlight;
  readonly #budgets: RetryBudgets;
  readonly #canaries: Canaries;
  readonly #snapshot: LiveSnapshot;
  readonly #routers: () => RouterShare;

  constructor(of: {
    readonly clock: Clock;
    readonly telemetry: Telemetry;
    readonly fleet: Fleet;
    readonly canaryAborts: Pick<CanaryAborts, 'isAborted' | 'abort'>;
    readonly prices?: PriceBook | undefined;
    /** What this router has of what policies limit; absent: all of it. */
    readonly routers?: (() => RouterShare) | undefined;
  }) {
    this.#clock = of.clock;
    const { metrics } = of.telemetry;
    this.#breakers = new Breakers(of.telemetry);
    this.#cooldowns = new Cooldowns(metrics);
    this.#latencies = new Latencies(metrics);
    this.#inFlight = new InFlight(metrics);
    this.#budgets = new RetryBudgets(metrics);
    this.#canaries = new Canaries(of.telemetry, of.canaryAborts);
    this.#routers = of.routers ?? (() => ALONE);
    this.#snapshot = new LiveSnapshot({
      breakers: this.#breakers,
      cooldowns: this.#cooldowns,
      latencies: this.#latencies,
      inFlight: this.#inFlight,
      fleet: of.fleet,
      prices: of.prices,
      routers: this.#routers,
    });
    of.telemetry.metrics.beforeRender(() => this.#breakers.elapse(of.clock.nowMs()));
  }

  /** For the first attempt of a request. Valid in this turn only, as the others. */
  first(tenantId: string, policy: Policy, sticky: string | undefined, budgets?: RequestBudgets): Snapshot {
    const snapshot = this.#snapshot.aim(tenantId, policy.breaker, this.#clock.nowMs(), sticky);
    if (policy.canary !== undefined) snapshot.canaryAborted = this.#canaries.isAborted(policy);
    if (budgets !== undefined) snapshot.within(budgets.standing());
    return snapshot;
  }

  /** The same for a job, which waits where a provider has as many as it may. */
  waiting(tenantId: string, policy: Policy, sticky: string | undefined, budgets?: RequestBudgets): Snapshot {
    this.first(tenantId, policy, sticky, budgets);
    return this.#snapshot.withRoom();
  }

  /** For the draw that follows a failed attempt. */
  after(tenantId: string, policy: Policy, history: History, failure: Failure, budgets?: RequestBudgets): Snapshot {
    const snapshot = this.#snapshot.aim(tenantId, policy.breaker, this.#clock.nowMs()).after(history, failure);
    if (policy.canary !== undefined) snapshot.canaryAborted = this.#canaries.isAborted(policy);
    if (budgets !== undefined) snapshot.within(budgets.standing());
    return snapshot;
  }

  /** For what follows a failure without a draw. */
  now(tenantId: string, policy: Policy, budgets?: RequestBudgets): Live {
    const snapshot = this.#snapshot.aim(tenantId, policy.breaker, this.#clock.nowMs());
    return budgets === undefined ? snapshot : snapshot.within(budgets.standing());
  }

  budget(tenantId: string, policy: Policy): RetryBudget {
    const { policyId } = policy;
    return this.#budgets.of({ tenantId, policyId, settings: policy.retry.budget }, this.#clock.nowMs());
  }

  /** Takes a place in flight, and a permit if the breaker is half-open; false: the breaker admits nobody. */
  hold({ tenantId, policy, provider, assignmentId, deadlineMs }: Hold): boolean {
    const nowMs = this.#clock.nowMs();
    const permit = { key: assignmentId, nowMs, deadlineMs };
    if (!this.#breakers.admit(tenantId, provider, policy.breaker, permit)) return false;
    this.#inFlight.begun(tenantId, provider, nowMs);
    return true;
  }

  letGo({ tenantId, provider, assignmentId }: Hold): void {
    this.#breakers.release(tenantId, provider, assignmentId);
    this.#inFlight.ended(tenantId, provider);
  }

  /** Whether the tenant may have one more attempt at the provider. */
  hasRoom(tenantId: string, { name, maxInFlight }: Target): boolean {
    if (maxInFlight === undefined) return true;
    return (this.#inFlight.of(tenantId).get(name)?.count ?? 0) < partOf(maxInFlight, this.#routers());
  }

  /** Takes a place in flight for the attempt of a job, which needs no permit. */
  begin(tenantId: string, provider: string): void {
    this.#inFlight.begun(tenantId, provider, this.#clock.nowMs());
  }

  end(tenantId: string, provider: string): void {
    this.#inFlight.ended(tenantId, provider);
  }

  /** Hears how an attempt of any router ended. */
  heard(outcome: AttemptOutcome): void {
    const { state, tenant_id: tenantId, provider_id: provider, error } = outcome;
    const nowMs = this.#clock.nowMs();
    if (state === 'succeeded') {
      this.#latencies.add(tenantId, provider, { firstChunkMs: outcome.ttft_ms, totalMs: outcome.latency_ms }, nowMs);
      return this.#record(outcome, false, nowMs);
    }
    if (error?.code === 'PROVIDER_RATE_LIMITED') this.#cooldowns.start(tenantId, provider, error.retry_after_ms, nowMs);
    if ((state === 'failed' || state === 'timed_out') && isFault(outcome)) this.#record(outcome, true, nowMs);
  }

  /** Hears how a request that the canary got has ended. */
  canaryEnded(policy: Policy, outcome: AttemptOutcome): void {
    this.#canaries.ended(policy, outcome, this.#clock.nowMs());
  }

  /** Holds a breaker open or closed until `auto`. */
  force(tenantId: string, providerId: string, mode: BreakerMode): BreakerView {
    return this.#breakers.force(tenantId, providerId, mode, this.#clock.nowMs());
  }

  breakers(): readonly BreakerView[] {
    return this.#breakers.list(this.#clock.nowMs());
  }

  /** The worker's own time of the attempt tells when it was sent: clocks of other machines are not asked. */
  #record(outcome: AttemptOutcome, isFailure: boolean, nowMs: number): void {
    this.#breakers.record(outcome.tenant_id, outcome.provider_id, {
      key: outcome.assignment_id,
      nowMs,
      sentMs: nowMs - outcome.latency_ms,
      isFailure,
      latencyMs: outcome.ttft_ms ?? outcome.latency_ms,
    });
  }
}

/** A failure of the provider itself: class unavailable or timeout, but not of our workers (policy 8). */
function isFault({ state, error }: AttemptOutcome): boolean {
  if (error === undefined) return state === 'timed_out';
  if (FLEET_CODES.has(error.code) || FLEET_CODES.has(error.detail_code ?? '')) return false;
  return error.class === 'unavailable' || error.class === 'timeout';
}
