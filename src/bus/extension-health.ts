// How extensions do, per endpoint, as this process sees them: the share of good answers in five minutes, how long the newest
// ones took, and a breaker (policy 10.3).
// H1. A rejection by a validator is a good answer: it did its work.
import { Breaker, type BreakerState } from '../core/breaker.ts';
import type { BreakerSettings } from '../core/breaker-settings.ts';
import { NewestSamples, percentileOf } from '../core/newest-samples.ts';
import { SlidingCounts } from '../core/sliding-counts.ts';

const WINDOW_SECONDS = 300;
const HEALTHY_MIN = 0.95;
const DEGRADED_MIN = 0.8;
/** Calls below which nothing is said against an endpoint. */
const CALLS_MIN = 5;
const CALLS = 0;
const FAILURES = 1;
const KINDS = 2;
/** Registries are smaller; those that were asked first are forgotten first. */
const ENDPOINTS_MAX = 10_000;

/** The defaults of policy 2. */
const BREAKER: BreakerSettings = Object.freeze({
  failureThreshold: 5,
  successThreshold: 2,
  openMs: 60_000,
  halfOpenMax: 3,
  errorRate: 0.5,
  windowSeconds: 60,
  samplesMin: 10,
  latencyMs: 0,
});

/** Whether an endpoint is one of the extension: itself, a version or an instance. */
export const isEndpointOf = (endpoint: string, id: string): boolean => endpoint === id || endpoint.startsWith(`${id}-`);

export type ExtensionStatus = 'healthy' | 'degraded' | 'unhealthy';

export interface EndpointHealth {
  readonly endpoint: string;
  readonly status: ExtensionStatus;
  /** 0 to 1; 1 while there were few calls. */
  readonly successRate: number;
  readonly calls: number;
  readonly breaker: BreakerState;
}

interface Kept {
  counts: SlidingCounts;
  /** Milliseconds of good answers. */
  readonly times: NewestSamples;
  readonly breaker: Breaker;
}

export class ExtensionHealth {
  readonly #kept = new Map<string, Kept>();
  readonly #onMove: (endpoint: string, to: BreakerState, reason: string) => void;

  constructor(onMove: (endpoint: string, to: BreakerState, reason: string) => void) {
    this.#onMove = onMove;
  }

  /** False: its breaker admits nobody now. A call that was admitted is `ended`. */
  admits(
    endpoint: string,
    call: { readonly key: string; readonly nowMs: number; readonly deadlineMs: number },
  ): boolean {
    return this.#of(endpoint, call.nowMs).breaker.admit(call.key, call.nowMs, call.deadlineMs);
  }

  ended(
    endpoint: string,
    call: { readonly key: string; readonly nowMs: number; readonly sentMs: number; readonly isFailure: boolean },
  ): void {
    const { counts, times, breaker } = this.#of(endpoint, call.nowMs);
    const latencyMs = call.nowMs - call.sentMs;
    counts.add(CALLS, call.nowMs);
    if (call.isFailure) counts.add(FAILURES, call.nowMs);
    else times.add(latencyMs);
    breaker.record({ ...call, latencyMs });
  }

  status(endpoint: string, nowMs: number): ExtensionStatus {
    const kept = this.#kept.get(endpoint);
    return kept === undefined ? 'healthy' : statusOf(successRateOf(kept, nowMs));
  }

  list(nowMs: number): readonly EndpointHealth[] {
    return [...this.#kept].map(([endpoint, kept]) => {
      const successRate = successRateOf(kept, nowMs);
      const calls = kept.counts.sum(CALLS, nowMs);
      return { endpoint, status: statusOf(successRate), successRate, calls, breaker: kept.breaker.state(nowMs) };
    });
  }

  /** Of the newest answers of all endpoints of the extension; undefined while there were few. */
  p95Ms(extensionId: string): number | undefined {
    const own = [...this.#kept].filter(([endpoint]) => isEndpointOf(endpoint, extensionId));
    const times = own.map(([, kept]) => kept.times);
    return percentileOf(times, 0.95, CALLS_MIN);
  }

  /** Closes the breakers of the extension and forgets what was counted against it. */
  reset(extensionId: string, nowMs: number): void {
    for (const [endpoint, kept] of this.#kept) {
      if (!isEndpointOf(endpoint, extensionId)) continue;
      kept.counts = new SlidingCounts(KINDS, WINDOW_SECONDS);
      kept.breaker.force('force_closed', nowMs);
      kept.breaker.force('auto', nowMs);
    }
  }

  #of(endpoint: string, nowMs: number): Kept {
    let kept = this.#kept.get(endpoint);
    if (kept === undefined) {
      const breaker = new Breaker((to, reason) => this.#onMove(endpoint, to, reason));
      breaker.configure(BREAKER, nowMs);
      kept = { counts: new SlidingCounts(KINDS, WINDOW_SECONDS), times: new NewestSamples(), breaker };
      for (const oldest of this.#kept.keys()) {
        if (this.#kept.size < ENDPOINTS_MAX) break;
        this.#kept.delete(oldest);
      }
      this.#kept.set(endpoint, kept);
    }
    return kept;
  }
}

function successRateOf({ counts }: Kept, nowMs: number): number {
  const calls = counts.sum(CALLS, nowMs);
  return calls < CALLS_MIN ? 1 : 1 - counts.sum(FAILURES, nowMs) / calls;
}

const statusOf = (successRate: number): ExtensionStatus =>
  successRate >= HEALTHY_MIN ? 'healthy' : successRate >= DEGRADED_MIN ? 'degraded' : 'unhealthy';
