// The keys of what follows a failure: breaker, retries and escalation (policy 2, 7.1, 8).
import type { FailureClass } from '../core/execution-errors.ts';
import { boolean, integer, list, number, providerName, text, when, word } from './document-parts.ts';
import type { Backoff } from './policy.ts';
import type { Shape } from './shape.ts';

export interface BackoffDocument {
  readonly strategy?: Backoff['strategy'];
  readonly base_ms?: number;
  readonly max_ms?: number;
  readonly jitter?: boolean;
}

export interface RetryDocument {
  readonly max_attempts?: number;
  readonly on?: readonly FailureClass[];
  readonly backoff?: BackoffDocument;
  readonly budget?: { readonly ratio?: number; readonly min_retries?: number; readonly window_seconds?: number };
}

export interface BreakerDocument {
  readonly enabled?: boolean;
  readonly failure_threshold?: number;
  readonly success_threshold?: number;
  readonly timeout_ms?: number;
  readonly half_open_max_calls?: number;
  readonly error_rate_threshold?: number;
  readonly error_rate_window_seconds?: number;
  readonly min_samples?: number;
  readonly latency_threshold_ms?: number;
}

export interface EscalationDocument {
  readonly when: unknown;
  readonly to: string;
  readonly reason?: string;
}

export const backoff: Shape = {
  kind: 'record',
  fields: {
    strategy: { shape: word(['exponential', 'linear', 'fixed']) },
    base_ms: { shape: integer(1, 10_000) },
    max_ms: { shape: integer(1, 60_000) },
    jitter: { shape: boolean },
  },
};

const retryBudget: Shape = {
  kind: 'record',
  fields: {
    ratio: { shape: number(0, 1) },
    min_retries: { shape: integer(0, 100) },
    window_seconds: { shape: integer(1, 60) },
  },
};

export const retry: Shape = {
  kind: 'record',
  fields: {
    max_attempts: { shape: integer(1, 10) },
    on: { shape: list(word(['validation', 'execution', 'unavailable', 'limit', 'timeout', 'cancelled']), 0, 6) },
    backoff: { shape: backoff },
    budget: { shape: retryBudget },
  },
};

export const breaker: Shape = {
  kind: 'record',
  fields: {
    enabled: { shape: boolean },
    failure_threshold: { shape: integer(1, 100) },
    success_threshold: { shape: integer(1, 10) },
    timeout_ms: { shape: integer(1_000, 300_000) },
    half_open_max_calls: { shape: integer(1, 100) },
    error_rate_threshold: { shape: number(0, 1) },
    error_rate_window_seconds: { shape: integer(1, 3_600) },
    min_samples: { shape: integer(1, 10_000), isV2: true },
    latency_threshold_ms: { shape: integer(0, 600_000), isV2: true },
  },
};

export const escalation: Shape = {
  kind: 'record',
  fields: {
    when: { shape: when, isRequired: true },
    to: { shape: providerName, isRequired: true },
    reason: { shape: text(1, 1_024) },
  },
};
