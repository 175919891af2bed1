// Providers that have reached their limit rest for as long as they asked for (policy 4, filter 6).
import type { Metrics } from '../telemetry/metrics.ts';
import { ByTenant, LIVE_MAX } from './by-tenant.ts';

/** Of a provider that names no time. */
const UNNAMED_MS = 1_000;
const COOLDOWN_MAX_MS = 60_000;

export interface Cooldown {
  untilMs: number;
}

export class Cooldowns {
  readonly #cooldowns: ByTenant<Cooldown>;

  constructor(metrics: Metrics, max = LIVE_MAX) {
    this.#cooldowns = new ByTenant({
      max,
      metrics,
      kind: 'cooldown',
      make: () => ({ untilMs: -Infinity }),
      restsSinceMs: ({ untilMs }, nowMs) => (untilMs <= nowMs ? untilMs : undefined),
    });
  }

  /** Those of a tenant by provider, for the running turn. */
  of(tenantId: string): ReadonlyMap<string, Cooldown> {
    return this.#cooldowns.of(tenantId);
  }

  /** The provider said that its limit is reached; a running rest becomes longer, never shorter. */
  start(tenantId: string, provider: string, retryAfterMs: number | undefined, nowMs: number): void {
    const cooldown = this.#cooldowns.ensure(tenantId, provider, nowMs);
    if (cooldown === undefined) return;
    const untilMs = nowMs + Math.min(retryAfterMs ?? UNNAMED_MS, COOLDOWN_MAX_MS);
    cooldown.untilMs = Math.max(cooldown.untilMs, untilMs);
  }
}
