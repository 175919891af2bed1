// How many further attempts a policy may cause (policy 7.2): in a window at most a share of its first attempts, and a few
// in any case. So a provider that fails everybody is not asked many times as often as before.
import { SlidingCounts } from '../core/sliding-counts.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { ByTenant, LIVE_MAX } from './by-tenant.ts';

export interface RetryBudgetSettings {
  /** Retries per first attempt, 0 to 1. */
  readonly ratio: number;
  /** Retries that are always allowed. */
  readonly minRetries: number;
  readonly windowSeconds: number;
}

const FIRST = 0;
const RETRY = 1;
const KINDS = 2;

/** The budget of one policy of one tenant. */
export class RetryBudget {
  readonly #counts = new SlidingCounts(KINDS, 1);
  #settings: RetryBudgetSettings | undefined;
  #usedMs = -Infinity;

  /** Goes on with these settings, which costs nothing if they are the same object. */
  configure(settings: RetryBudgetSettings, nowMs: number): void {
    this.#usedMs = nowMs;
    if (settings === this.#settings) return;
    this.#settings = settings;
    this.#counts.resize(settings.windowSeconds, nowMs);
  }

  get usedMs(): number {
    return this.#usedMs;
  }

  /** A first attempt was sent. */
  first(nowMs: number): void {
    this.#counts.add(FIRST, nowMs);
  }

  /** Whether a retry, fallback or failover may be sent now. */
  allows(nowMs: number): boolean {
    if (this.#settings === undefined) return true;
    const { minRetries, ratio } = this.#settings;
    return this.#counts.sum(RETRY, nowMs) + 1 <= Math.max(minRetries, ratio * this.#counts.sum(FIRST, nowMs));
  }

  /** One was sent. */
  spend(nowMs: number): void {
    this.#counts.add(RETRY, nowMs);
  }
}

/** The budgets of all policies, bounded: the one that was not used for longest goes, and begins anew when it is asked. */
export class RetryBudgets {
  readonly #budgets: ByTenant<RetryBudget>;

  constructor(metrics: Metrics, max = LIVE_MAX) {
    this.#budgets = new ByTenant({
      max,
      metrics,
      kind: 'retry_budget',
      make: () => new RetryBudget(),
      restsSinceMs: ({ usedMs }) => usedMs,
    });
  }

  of(
    policy: { readonly tenantId: string; readonly policyId: string; readonly settings: RetryBudgetSettings },
    nowMs: number,
  ): RetryBudget {
    const budget = this.#budgets.ensure(policy.tenantId, policy.policyId, nowMs) ?? new RetryBudget();
    budget.configure(policy.settings, nowMs);
    return budget;
  }
}
