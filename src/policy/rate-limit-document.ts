// How often a policy may be used (policy 9.1): as it is written, and as the router reads it.
import { boolean, integer, word } from './document-parts.ts';
import type { Shape } from './shape.ts';

const RATE_MAX = 1_000_000;
const TOKENS_MAX = 1_000_000_000;

export interface RateLimitDocument {
  readonly enabled?: boolean;
  readonly requests_per_second?: number;
  readonly burst?: number;
  readonly scope?: 'policy' | 'key' | 'user';
  readonly tokens_per_minute?: number;
  readonly max_concurrent?: number;
}

/** Of the whole system; each router takes its part. */
export interface RateLimit {
  readonly requestsPerSecond: number;
  readonly burst: number;
  /** Who is counted apart. */
  readonly scope: 'policy' | 'key' | 'user';
  readonly tokensPerMinute: number | undefined;
  /** Accepted requests that have not ended. */
  readonly maxConcurrent: number | undefined;
}

export const rateLimit: Shape = {
  kind: 'record',
  fields: {
    enabled: { shape: boolean },
    requests_per_second: { shape: integer(1, RATE_MAX) },
    burst: { shape: integer(1, RATE_MAX) },
    scope: { shape: word(['policy', 'key', 'user']), isV2: true },
    tokens_per_minute: { shape: integer(1, TOKENS_MAX), isV2: true },
    max_concurrent: { shape: integer(1, RATE_MAX), isV2: true },
  },
};

/** One that is off is none. */
export const compileRateLimit = (limit: RateLimitDocument | undefined): RateLimit | undefined =>
  limit?.enabled === true
    ? Object.freeze({
        requestsPerSecond: limit.requests_per_second ?? 100,
        burst: limit.burst ?? 50,
        scope: limit.scope ?? 'policy',
        tokensPerMinute: limit.tokens_per_minute,
        maxConcurrent: limit.max_concurrent,
      })
    : undefined;
