// The attempts of this router that run now, by tenant and provider: what bounds a tenant's own use of a provider, and
// what the strategy `least_busy` compares.
import type { Metrics } from '../telemetry/metrics.ts';
import { ByTenant, LIVE_MAX } from './by-tenant.ts';

export interface Running {
  count: number;
}

export class InFlight {
  readonly #running: ByTenant<Running>;

  constructor(metrics: Metrics, max = LIVE_MAX) {
    this.#running = new ByTenant({
      max,
      metrics,
      kind: 'in_flight',
      make: () => ({ count: 0 }),
      restsSinceMs: ({ count }) => (count === 0 ? 0 : undefined),
    });
  }

  /** Those of a tenant by provider, for the running turn. */
  of(tenantId: string): ReadonlyMap<string, Running> {
    return this.#running.of(tenantId);
  }

  begun(tenantId: string, provider: string, nowMs: number): void {
    const running = this.#running.ensure(tenantId, provider, nowMs);
    if (running !== undefined) running.count++;
  }

  ended(tenantId: string, provider: string): void {
    const running = this.#running.get(tenantId, provider);
    if (running !== undefined && running.count > 0) running.count--;
  }
}
