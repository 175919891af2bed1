// Watches the canaries of policies and stops one that does harm, until its policy has another revision (policy 5.5).
// Each router judges the requests and jobs that it sent there itself, over the window of the policy's breaker; what one
// of them stops is stopped for all.
import type { AttemptOutcome } from '../contracts/outcome.ts';
import { SlidingCounts } from '../core/sliding-counts.ts';
import type { Policy } from '../policy/policy.ts';
import type { Counter } from '../telemetry/metrics.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import { ByTenant, LIVE_MAX } from './by-tenant.ts';
import type { CanaryAborts } from './canary-aborts.ts';

const [ALL, FAILED, SLOW] = [0, 1, 2];
const KINDS = 3;
const WINDOW_SECONDS = 60;
/** The p95 is above a limit when more than this share of the requests is. */
const SLOW_SHARE = 0.05;
const NO_REVISION = -1;

interface Watch {
  revision: number;
  counts: SlidingCounts;
  heardMs: number;
}

export class Canaries {
  readonly #watched: ByTenant<Watch>;
  readonly #aborts: Pick<CanaryAborts, 'isAborted' | 'abort'>;
  readonly #telemetry: Telemetry;
  readonly #aborted: Counter;

  constructor(telemetry: Telemetry, aborts: Pick<CanaryAborts, 'isAborted' | 'abort'>) {
    const { metrics } = telemetry;
    this.#telemetry = telemetry;
    this.#aborts = aborts;
    this.#watched = new ByTenant({
      max: LIVE_MAX,
      metrics,
      kind: 'canary',
      make: () => ({ revision: NO_REVISION, counts: new SlidingCounts(KINDS, WINDOW_SECONDS), heardMs: -Infinity }),
      restsSinceMs: ({ heardMs }) => heardMs,
    });
    this.#aborted = metrics
      .counter({ name: 'router_canaries_aborted_total', help: 'Canaries that were stopped by their limits.' })
      .of();
  }

  isAborted(policy: Policy): boolean {
    return this.#aborts.isAborted(policy);
  }

  /** Hears how a request of the canary ended. */
  ended(policy: Policy, { state, latency_ms: latencyMs, ttft_ms: firstMs }: AttemptOutcome, nowMs: number): void {
    const { canary } = policy;
    const limits = canary?.abortOn;
    if (canary === undefined || limits === undefined || state === 'cancelled' || state === 'committed') return;
    const counts = this.#aborts.isAborted(policy) ? undefined : this.#countsOf(policy, nowMs);
    if (counts === undefined) return;
    counts.add(ALL, nowMs);
    if (state !== 'succeeded') counts.add(FAILED, nowMs);
    else if (limits.p95Ms !== undefined && (firstMs ?? latencyMs) > limits.p95Ms) counts.add(SLOW, nowMs);
    const all = counts.sum(ALL, nowMs);
    if (all < limits.minRequests) return;
    const isFailing = limits.errorRate !== undefined && counts.sum(FAILED, nowMs) / all > limits.errorRate;
    if (!isFailing && counts.sum(SLOW, nowMs) / all <= SLOW_SHARE) return;
    this.#aborts.abort(policy, canary);
    this.#aborted.add();
    const { policyId, tenantId, revision } = policy;
    this.#telemetry.log.error('canary_aborted', { policy: policyId, tenant_id: tenantId, revision, count: all });
  }

  /** What was counted of this revision; undefined without room for it. */
  #countsOf({ tenantId, policyId, revision, breaker }: Policy, nowMs: number): SlidingCounts | undefined {
    const watch = this.#watched.ensure(tenantId, policyId, nowMs);
    if (watch === undefined) return undefined;
    watch.heardMs = nowMs;
    if (watch.revision !== revision) {
      watch.revision = revision;
      watch.counts = new SlidingCounts(KINDS, breaker?.windowSeconds ?? WINDOW_SECONDS);
    }
    return watch.counts;
  }
}
