// Watches the canaries of policies and stops one that does harm, until its policy has another revision (policy 5.5).
// Each router judges the requests that it sent there itself, over the window of the policy's breaker.
import type { AttemptOutcome } from '../contracts/outcome.ts';
import { SlidingCounts } from '../core/sliding-counts.ts';
import type { Policy } from '../policy/policy.ts';
import type { Counter } from '../telemetry/metrics.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';

const [ALL, FAILED, SLOW] = [0, 1, 2];
const KINDS = 3;
const WINDOW_SECONDS = 60;
/** The p95 is above a limit when more than this share of the requests is. */
const SLOW_SHARE = 0.05;
const WATCHED_MAX = 10_000;

interface Watch {
  readonly revision: number;
  readonly counts: SlidingCounts;
  isAborted: boolean;
}

export class Canaries {
  readonly #watched = new Map<string, Watch>();
  readonly #telemetry: Telemetry;
  readonly #aborted: Counter;

  constructor(telemetry: Telemetry) {
    this.#telemetry = telemetry;
    this.#aborted = telemetry.metrics
      .counter({ name: 'router_canaries_aborted_total', help: 'Canaries that were stopped by their limits.' })
      .of();
  }

  isAborted(policy: Policy): boolean {
    const watch = this.#watched.get(keyOf(policy));
    return watch !== undefined && watch.revision === policy.revision && watch.isAborted;
  }

  /** Hears how a request of the canary ended. */
  ended(policy: Policy, { state, latency_ms: latencyMs, ttft_ms: firstMs }: AttemptOutcome, nowMs: number): void {
    const limits = policy.canary?.abortOn;
    if (limits === undefined || state === 'cancelled' || state === 'committed') return;
    const watch = this.#watchOf(policy);
    if (watch.isAborted) return;
    const { counts } = watch;
    counts.add(ALL, nowMs);
    if (state !== 'succeeded') counts.add(FAILED, nowMs);
    else if (limits.p95Ms !== undefined && (firstMs ?? latencyMs) > limits.p95Ms) counts.add(SLOW, nowMs);
    const all = counts.sum(ALL, nowMs);
    if (all < limits.minRequests) return;
    const isFailing = limits.errorRate !== undefined && counts.sum(FAILED, nowMs) / all > limits.errorRate;
    if (!isFailing && counts.sum(SLOW, nowMs) / all <= SLOW_SHARE) return;
    watch.isAborted = true;
    this.#aborted.add();
    const { policyId, tenantId, revision } = policy;
    this.#telemetry.log.error('canary_aborted', { policy: policyId, tenant_id: tenantId, revision, count: all });
  }

  #watchOf(policy: Policy): Watch {
    const key = keyOf(policy);
    const known = this.#watched.get(key);
    if (known?.revision === policy.revision) return known;
    const [oldest] = this.#watched.keys();
    if (known === undefined && oldest !== undefined && this.#watched.size >= WATCHED_MAX) this.#watched.delete(oldest);
    const seconds = policy.breaker?.windowSeconds ?? WINDOW_SECONDS;
    const watch = { revision: policy.revision, counts: new SlidingCounts(KINDS, seconds), isAborted: false };
    this.#watched.set(key, watch);
    return watch;
  }
}

const keyOf = ({ tenantId, policyId }: Policy): string => `${tenantId} ${policyId}`;
