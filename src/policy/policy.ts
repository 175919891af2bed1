// A policy that was checked and compiled: one revision, frozen, read by every decision and changed by none.
import type { FailureClass } from '../core/execution-errors.ts';
import type { Condition } from './condition.ts';

/** A provider with its share, the model that it is sent and the pool of workers that call it. */
export interface Target {
  readonly name: string;
  readonly weight: number;
  /** Higher is tried first by the strategy `priority`. */
  readonly priority: number;
  /** Sent instead of the requested model. */
  readonly model: string | undefined;
  /** Whether the provider serves a requested model; absent: it serves any. */
  readonly serves: ((model: string) => boolean) | undefined;
  readonly pool: string;
  /** Attempts at once over all routers; absent: no bound of the policy. */
  readonly maxInFlight: number | undefined;
  readonly labels: Readonly<Record<string, Label>>;
  readonly enabled: boolean;
}

/** How one of the candidates is taken (policy 5.2). */
export type Strategy = 'weighted' | 'priority' | 'latency' | 'cost' | 'least_busy';

export type Label = string | number | boolean;

/** How long to wait before a try (policy 7.2). */
export interface Backoff {
  readonly strategy: 'exponential' | 'linear' | 'fixed';
  readonly baseMs: number;
  readonly maxMs: number;
  readonly jitter: boolean;
}

/** What to do after a failure that `holds`: `retry` more tries of the failed provider, then `to`. */
export interface Fallback {
  readonly holds: Condition;
  readonly retry: number;
  readonly backoff: Backoff;
  readonly to: Target;
}

export interface Policy {
  readonly policyId: string;
  /** `*` for a built-in policy, which every tenant has. */
  readonly tenantId: string;
  readonly revision: number;
  /** Format of the document, for example `2.0`. */
  readonly version: string;
  readonly strategy: Strategy;
  /** Candidates within `tolerance` of the best tie; fewer than `minSamples` say nothing of a latency (policy 5.2). */
  readonly strategyOptions: { readonly tolerance: number; readonly minSamples: number };
  /** No provider has a weight above 0, so that no weight says which of them is drawn. */
  readonly isUnweighted: boolean;
  /** Candidates in document order. */
  readonly targets: readonly Target[];
  readonly sticky: { readonly sessionKey: string; readonly ttlMs: number } | undefined;
  /** Total time of a request. */
  readonly timeoutMs: number;
  readonly timeouts: {
    readonly firstChunkMs: number | undefined;
    readonly idleMs: number | undefined;
    readonly attemptMs: number | undefined;
  };
  readonly retry: {
    readonly maxAttempts: number;
    readonly on: ReadonlySet<FailureClass>;
    readonly backoff: Backoff;
  };
  readonly fallbacks: readonly Fallback[];
}
