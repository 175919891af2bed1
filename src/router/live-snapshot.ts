// What a router knows at the moment of one decision, as the decision asks for it (policy 6). One object serves all
// decisions, because each of them is made in one turn: what `aim` gives must not be kept for a later one.
import type { PriceBook } from '../catalog/price-book.ts';
import type { BreakerSettings } from '../core/breaker-settings.ts';
import type { Failure } from '../policy/status-words.ts';
import { statusWords } from '../policy/status-words.ts';
import type { Budget, Snapshot } from '../policy/facts.ts';
import { allFailed, type History } from '../policy/history.ts';
import type { Target } from '../policy/policy.ts';
import { ALONE, partOf, type RouterShare } from '../policy/router-share.ts';
import { type Breakers, isHalfOpen, isOpen, type KeptBreaker } from './breakers.ts';
import type { Cooldown, Cooldowns } from './cooldowns.ts';
import type { Fleet } from './fleet.ts';
import type { InFlight, Running } from './in-flight.ts';
import type { Latencies, Latency } from './latencies.ts';
import type { BudgetStanding } from './request-budgets.ts';

export interface LiveParts {
  readonly breakers: Breakers;
  readonly cooldowns: Cooldowns;
  readonly latencies: Latencies;
  readonly inFlight: InFlight;
  readonly fleet: Fleet;
  readonly prices: PriceBook | undefined;
  readonly routers: () => RouterShare;
}

const NO_PROVIDERS: ReadonlySet<string> = new Set<string>();
const NO_WORDS: readonly string[] = [];
const NOTHING: ReadonlyMap<string, never> = new Map<string, never>();

export class LiveSnapshot implements Snapshot {
  attempt = 1;
  failed = NO_PROVIDERS;
  failureWords = NO_WORDS;
  errorClass: string | undefined;
  currentProvider: string | undefined;
  sticky: string | undefined;
  canaryAborted = false;
  overBudget: ReadonlySet<string> | undefined;
  routers = ALONE;
  #budget: Budget | undefined;
  readonly #parts: LiveParts;
  #nowMs = 0;
  #breaker: BreakerSettings | undefined;
  #breakers: ReadonlyMap<string, KeptBreaker> = NOTHING;
  #cooldowns: ReadonlyMap<string, Cooldown> = NOTHING;
  #latencies: ReadonlyMap<string, Latency> = NOTHING;
  #inFlight: ReadonlyMap<string, Running> = NOTHING;

  constructor(parts: LiveParts) {
    this.#parts = parts;
  }

  /** Turns to a tenant and a moment, for the first attempt of a request. */
  aim(tenantId: string, breaker: BreakerSettings | undefined, nowMs: number, sticky?: string): this {
    const { breakers, cooldowns, latencies, inFlight, routers } = this.#parts;
    this.#nowMs = nowMs;
    this.#breaker = breaker;
    this.#breakers = breakers.of(tenantId);
    this.#cooldowns = cooldowns.of(tenantId);
    this.#latencies = latencies.of(tenantId);
    this.#inFlight = inFlight.of(tenantId);
    this.routers = routers();
    this.attempt = 1;
    this.failed = NO_PROVIDERS;
    this.failureWords = NO_WORDS;
    this.errorClass = undefined;
    this.currentProvider = undefined;
    this.sticky = sticky;
    this.canaryAborted = false;
    this.overBudget = undefined;
    this.#budget = undefined;
    return this;
  }

  /** For who waits until something has ended. */
  withRoom(): this {
    this.#inFlight = NOTHING;
    return this;
  }

  /** What the budgets of the policy say of the request. */
  within({ over, tightest }: BudgetStanding): this {
    this.overBudget = over;
    this.#budget = tightest;
    return this;
  }

  budget(): Budget | undefined {
    return this.#budget;
  }

  /** The same for the attempt that follows a failed one. */
  after(history: History, failure: Failure): this {
    this.attempt = history.attempt + 1;
    this.failed = allFailed(history);
    this.failureWords = statusWords(failure);
    this.errorClass = failure.class;
    this.currentProvider = history.current.name;
    return this;
  }

  isOpen(provider: string): boolean {
    return isOpen(this.#breakers.get(provider), this.#breaker, this.#nowMs);
  }

  isHalfOpen(provider: string): boolean {
    return isHalfOpen(this.#breakers.get(provider), this.#breaker, this.#nowMs);
  }

  costMicroUsd({ name }: Target, model: string, inputTokens: number, outputTokens: number): number | undefined {
    const cost = this.#parts.prices?.costOf(name, model, { inputTokens, outputTokens, cachedInputTokens: 0 });
    return cost === undefined || cost.isUnpriced ? undefined : cost.costMicroUsd;
  }

  isCooling(provider: string, afterMs: number): boolean {
    const cooldown = this.#cooldowns.get(provider);
    return cooldown !== undefined && cooldown.untilMs > this.#nowMs + afterMs;
  }

  hasCapacity({ name, pool, maxInFlight }: Target): boolean {
    if (maxInFlight !== undefined && this.inFlight(name) >= partOf(maxInFlight, this.routers)) return false;
    return this.#parts.fleet.hasCapacity(pool, this.#nowMs);
  }

  poolFactor(pool: string): number {
    return this.#parts.fleet.factor(pool);
  }

  inFlight(provider: string): number {
    return this.#inFlight.get(provider)?.count ?? 0;
  }

  capacity({ pool, maxInFlight }: Target): number | undefined {
    return maxInFlight ?? (this.#parts.fleet.slots(pool, 'io') || undefined);
  }

  latency(provider: string, stream: boolean): { readonly ms: number; readonly samples: number } | undefined {
    const latency = this.#latencies.get(provider);
    const average = stream ? latency?.stream : latency?.whole;
    return average?.isFresh(this.#nowMs) === true ? average : undefined;
  }

  errorRate(provider: string): number {
    return this.#breakers.get(provider)?.breaker.errorRate(this.#nowMs) ?? 0;
  }
}
