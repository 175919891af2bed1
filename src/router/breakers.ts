// One breaker per tenant and provider, fed by the outcomes that every router hears, so that routers converge (policy 8).
// Settings are those of the policy that asked last: of several policies of a tenant, the strictest opens the breaker.
import { Breaker, type BreakerMode, type BreakerResult, type BreakerState } from '../core/breaker.ts';
import type { BreakerSettings } from '../core/breaker-settings.ts';
import { BeamlineError } from '../core/errors.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import { ByTenant, LIVE_MAX } from './by-tenant.ts';

const GAUGE: Readonly<Record<BreakerState, number>> = { closed: 0, half_open: 1, open: 2 };

export interface BreakerView {
  readonly tenantId: string;
  readonly providerId: string;
  readonly state: BreakerState;
  readonly mode: BreakerMode;
}

export interface KeptBreaker {
  readonly breaker: Breaker;
  heardMs: number;
}

export class Breakers {
  readonly #kept: ByTenant<KeptBreaker>;
  /** Those that are not closed: they may move by time alone. */
  readonly #unclosed = new Set<Breaker>();

  constructor(telemetry: Telemetry, max = LIVE_MAX) {
    const { metrics, log } = telemetry;
    const states = metrics.gauge({
      name: 'router_breaker_state',
      help: 'State of a breaker: 0 closed, 1 half-open, 2 open.',
      labels: ['provider', 'tenant_id'],
    });
    const transitions = metrics.counter({
      name: 'router_breaker_transitions_total',
      help: 'Transitions of breakers by reason.',
      labels: ['provider', 'reason'],
    });
    this.#kept = new ByTenant({
      max,
      metrics,
      kind: 'breaker',
      restsSinceMs: ({ breaker, heardMs }, nowMs) =>
        breaker.mode === 'auto' && breaker.state(nowMs) === 'closed' ? heardMs : undefined,
      make: (tenantId, provider) => {
        const state = states.of(provider, tenantId);
        state.set(GAUGE.closed);
        const breaker: Breaker = new Breaker((to, reason) => {
          state.set(GAUGE[to]);
          transitions.of(provider, reason).add();
          log.info('breaker_moved', { tenant_id: tenantId, provider, state: to, detail_code: reason });
          if (to === 'closed') this.#unclosed.delete(breaker);
          else this.#unclosed.add(breaker);
        });
        return { breaker, heardMs: -Infinity };
      },
    });
  }

  get size(): number {
    return this.#kept.size;
  }

  /** Those of a tenant by provider, for the running turn. */
  of(tenantId: string): ReadonlyMap<string, KeptBreaker> {
    return this.#kept.of(tenantId);
  }

  /** Takes a permit if the breaker is half-open; false if it admits nobody. */
  admit(
    tenantId: string,
    provider: string,
    settings: BreakerSettings | undefined,
    permit: { readonly key: string; readonly nowMs: number; readonly deadlineMs: number },
  ): boolean {
    const breaker = this.#kept.get(tenantId, provider)?.breaker;
    if (breaker === undefined || !isApplied(breaker, settings, permit.nowMs)) return true;
    return breaker.admit(permit.key, permit.nowMs, permit.deadlineMs);
  }

  release(tenantId: string, provider: string, key: string): void {
    this.#kept.get(tenantId, provider)?.breaker.release(key);
  }

  /** Hears how an attempt ended, of this or of another router. */
  record(tenantId: string, provider: string, result: BreakerResult): void {
    const kept = this.#kept.ensure(tenantId, provider, result.nowMs);
    if (kept === undefined) return;
    kept.heardMs = result.nowMs;
    kept.breaker.record(result);
  }

  /** Holds a breaker open or closed until `auto`; throws `capacity_exceeded` when there is no room for another one. */
  force(tenantId: string, providerId: string, mode: BreakerMode, nowMs: number): BreakerView {
    const kept = this.#kept.ensure(tenantId, providerId, nowMs);
    if (kept === undefined) throw new BeamlineError('capacity_exceeded', 'no other breaker can be kept');
    kept.breaker.force(mode, nowMs);
    return viewOf(tenantId, providerId, kept.breaker, nowMs);
  }

  list(nowMs: number): readonly BreakerView[] {
    return Array.from(this.#kept.entries(), ([tenantId, providerId, { breaker }]) =>
      viewOf(tenantId, providerId, breaker, nowMs),
    );
  }

  /** Lets time act on those that nobody has asked, so that their states are told as they are. */
  elapse(nowMs: number): void {
    for (const breaker of this.#unclosed) breaker.state(nowMs);
  }
}

/** Whether a policy with these settings may not use the provider now. */
export const isOpen = (kept: KeptBreaker | undefined, settings: BreakerSettings | undefined, nowMs: number): boolean =>
  kept !== undefined && isApplied(kept.breaker, settings, nowMs) && kept.breaker.refuses(nowMs);

/** Whether it admits a few attempts to a policy with these settings, or has admitted them already. */
export const isHalfOpen = (
  kept: KeptBreaker | undefined,
  settings: BreakerSettings | undefined,
  nowMs: number,
): boolean =>
  kept !== undefined && isApplied(kept.breaker, settings, nowMs) && kept.breaker.state(nowMs) === 'half_open';

/** A policy without settings has no breaker, but what an administrator forced binds every policy. */
function isApplied(breaker: Breaker, settings: BreakerSettings | undefined, nowMs: number): boolean {
  if (settings !== undefined) breaker.configure(settings, nowMs);
  return settings !== undefined || breaker.mode !== 'auto';
}

const viewOf = (tenantId: string, providerId: string, breaker: Breaker, nowMs: number): BreakerView => ({
  tenantId,
  providerId,
  state: breaker.state(nowMs),
  mode: breaker.mode,
});
