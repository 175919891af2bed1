// Turns what follows a failure into what the router reads: retries, waits, the breaker (policy 2, 7, 8).
import type { BreakerSettings } from '../core/breaker-settings.ts';
import type { Backoff, Policy } from './policy.ts';
import type { BackoffDocument, BreakerDocument, RetryDocument } from './resilience-document.ts';

const RETRY_ON = ['unavailable', 'timeout', 'limit'] as const;

/** A breaker that is off is none. */
export const compileBreaker = (breaker: BreakerDocument | undefined): BreakerSettings | undefined =>
  breaker?.enabled === true
    ? Object.freeze({
        failureThreshold: breaker.failure_threshold ?? 5,
        successThreshold: breaker.success_threshold ?? 2,
        openMs: breaker.timeout_ms ?? 60_000,
        halfOpenMax: breaker.half_open_max_calls ?? 3,
        errorRate: breaker.error_rate_threshold ?? 0.5,
        windowSeconds: breaker.error_rate_window_seconds ?? 60,
        samplesMin: breaker.min_samples ?? 10,
        latencyMs: breaker.latency_threshold_ms ?? 0,
      })
    : undefined;

export const compileRetry = (retry: RetryDocument | undefined): Policy['retry'] =>
  Object.freeze({
    maxAttempts: retry?.max_attempts ?? 4,
    on: new Set(retry?.on ?? RETRY_ON),
    backoff: compileBackoff(retry?.backoff),
    budget: Object.freeze({
      ratio: retry?.budget?.ratio ?? 0.2,
      minRetries: retry?.budget?.min_retries ?? 3,
      windowSeconds: retry?.budget?.window_seconds ?? 10,
    }),
  });

export const compileBackoff = (backoff: BackoffDocument | undefined): Backoff =>
  Object.freeze({
    strategy: backoff?.strategy ?? 'exponential',
    baseMs: backoff?.base_ms ?? 100,
    maxMs: backoff?.max_ms ?? 5_000,
    jitter: backoff?.jitter ?? true,
  });
