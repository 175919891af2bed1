// How often policies may be used (policy 9.1). Each router holds its part of the limit, so the sum never exceeds it; of
// requests at a time the first routers hold one more where it does not divide, and the last ones none where it is small.
// A burst below the number of routers is one for each of them, because a part of a request cannot pass.
// R1. A request that is refused takes nothing of any of the three limits.
// R2. Retries and dry runs are not counted; a request counts once, when it comes.
// R3. A limit never fails a request by itself: without room for another counter the request passes.
import { BeamlineError } from '../core/errors.ts';
import { Gcra, type Rate } from '../core/gcra.ts';
import type { Facts } from '../policy/facts.ts';
import type { Policy } from '../policy/policy.ts';
import type { RateLimit } from '../policy/rate-limit-document.ts';
import { ALONE, partOf, type RouterShare } from '../policy/router-share.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { ByTenant, LIVE_MAX } from './by-tenant.ts';

/** A wait that is told when nobody knows when one of the running requests will end. */
const CONCURRENT_RETRY_MS = 1_000;

/** What one policy, key or user takes of a limit. */
class Use {
  readonly requests = new Gcra();
  readonly tokens = new Gcra();
  running = 0;

  isIdle(nowMs: number): boolean {
    return this.running === 0 && this.requests.isIdle(nowMs) && this.tokens.isIdle(nowMs);
  }
}

/** Ends what an admitted request holds. */
export interface Admitted {
  /** Once; `tokens` is what it really took, undefined if nobody knows. */
  end(tokens: number | undefined): void;
}

const NOTHING: Admitted = { end: () => undefined };

export class RateLimits {
  readonly #uses: ByTenant<Use>;
  readonly #share: () => RouterShare;

  constructor(metrics: Metrics, share = (): RouterShare => ALONE) {
    this.#uses = new ByTenant({
      max: LIVE_MAX,
      metrics,
      kind: 'rate_limit',
      make: () => new Use(),
      // One that has earned everything again says the same as a new one.
      restsSinceMs: (use, nowMs) => (use.isIdle(nowMs) ? 0 : undefined),
    });
    this.#share = share;
  }

  /** Throws `rate_limit_exceeded` with the exact wait, or `quota_exceeded` for too many at a time. */
  admit(policy: Policy, facts: Facts, nowMs: number, isPush: boolean): Admitted {
    const limit = policy.rateLimit;
    if (limit === undefined) return NOTHING;
    const use = this.#useOf(policy, facts, nowMs);
    if (use === undefined) return NOTHING;
    const routers = this.#share();
    const share = 1 / routers.count;
    const { maxConcurrent, tokensPerMinute } = limit;
    if (isPush && maxConcurrent !== undefined && use.running >= partOf(maxConcurrent, routers)) {
      throw new BeamlineError('quota_exceeded', 'too many requests of the policy run at a time', {
        details: { scope: 'policy', limit: 'max_concurrent' },
        retryAfterMs: CONCURRENT_RETRY_MS,
      });
    }
    const requests = { perSecond: limit.requestsPerSecond * share, burst: Math.max(1, limit.burst * share) };
    const requestsMs = use.requests.take(1, requests, nowMs);
    if (requestsMs > 0) throw exceeded('requests_per_second', requestsMs);
    const tokens = tokensPerMinute === undefined ? undefined : rateOf(tokensPerMinute * share);
    const estimate = (facts.inputTokens ?? 0) + (facts.maxOutputTokens ?? 0);
    const tokensMs = tokens === undefined ? 0 : use.tokens.take(estimate, tokens, nowMs);
    if (tokensMs > 0) {
      use.requests.correct(-1, requests);
      throw exceeded('tokens_per_minute', tokensMs);
    }
    return isPush ? running(use, estimate, tokens) : NOTHING;
  }

  /** A place among those that run at a time, and nothing else: a job was counted when it came. Undefined while none is free. */
  place(policy: Policy, facts: Facts, nowMs: number): Admitted | undefined {
    const use = this.#useOf(policy, facts, nowMs);
    const max = policy.rateLimit?.maxConcurrent;
    if (use === undefined || max === undefined) return NOTHING;
    return use.running < partOf(max, this.#share()) ? running(use, 0, undefined) : undefined;
  }

  /** The same for what runs already, whether or not there is room. */
  occupied(policy: Policy, facts: Facts, nowMs: number): Admitted {
    const use = this.#useOf(policy, facts, nowMs);
    return use === undefined ? NOTHING : running(use, 0, undefined);
  }

  /** No other router has a part. */
  get isAlone(): boolean {
    return this.#share().count === 1;
  }

  #useOf({ rateLimit: limit, policyId }: Policy, facts: Facts, nowMs: number): Use | undefined {
    if (limit === undefined) return undefined;
    return this.#uses.ensure(facts.tenantId, nameOf(limit, policyId, facts), nowMs);
  }
}

function running(use: Use, estimate: number, tokens: Rate | undefined): Admitted {
  use.running++;
  let hasEnded = false;
  return {
    end(actual) {
      if (hasEnded) return;
      hasEnded = true;
      use.running--;
      if (tokens !== undefined && actual !== undefined) use.tokens.correct(actual - estimate, tokens);
    },
  };
}

const rateOf = (perMinute: number): Rate => ({ perSecond: perMinute / 60, burst: perMinute });

const exceeded = (limit: string, waitMs: number): BeamlineError =>
  new BeamlineError('rate_limit_exceeded', 'the limit of the policy is reached', {
    details: { scope: 'policy', limit },
    retryAfterMs: Math.ceil(waitMs),
  });

/** Who is counted apart. Policy ids hold no space, so the parts cannot be mistaken for each other. */
export function nameOf({ scope }: RateLimit, policyId: string, { keyId = '', userId = '' }: Facts): string {
  if (scope === 'policy') return policyId;
  return scope === 'key' ? `${policyId} key ${keyId}` : `${policyId} user ${userId}`;
}
