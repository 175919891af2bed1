// When a breaker opens and closes (policy 2, 8).

export interface BreakerSettings {
  /** Consecutive failures that open it. */
  readonly failureThreshold: number;
  /** Consecutive successes of a half-open one that close it. */
  readonly successThreshold: number;
  /** How long it stays open. */
  readonly openMs: number;
  /** Calls that a half-open one admits at once. */
  readonly halfOpenMax: number;
  /** Share of failures in the window, 0 to 1. */
  readonly errorRate: number;
  readonly windowSeconds: number;
  /** Samples below which neither rate nor latency counts. */
  readonly samplesMin: number;
  /** p95 above it opens; 0: never. */
  readonly latencyMs: number;
}
