// Breakers that an administrator holds open or closed: told to one router, obeyed by all, and by those that start later.
// O1. An override is written before it is answered, so what was answered holds everywhere.
// O2. While the bucket is away the last word holds, and none can be said.
import type { Bus, KeyValue } from '../bus/bus.ts';
import {
  type BreakerOverride,
  breakerOverride,
  breakerOverrideKey,
  breakerOverrideKeys,
} from '../contracts/breaker-override.ts';
import { controlBucket } from '../contracts/contract-switch.ts';
import type { BreakerMode } from '../core/breaker.ts';
import { BeamlineError } from '../core/errors.ts';
import type { Timers } from '../core/timers.ts';
import type { Log } from '../telemetry/log.ts';
import type { BreakerView } from './breakers.ts';
import type { LiveState } from './live-state.ts';

/** Between two tries to watch. */
const RETRY_MS = 1_000;

export interface BreakerOverridesDeps {
  readonly bus: Bus;
  readonly timers: Timers;
  readonly log: Log;
  readonly live: Pick<LiveState, 'force'>;
}

export interface Forced {
  readonly tenantId: string;
  readonly providerId: string;
  readonly mode: BreakerMode;
  readonly reset: boolean;
}

export class BreakerOverrides implements AsyncDisposable {
  readonly #deps: BreakerOverridesDeps;
  readonly #bucket: KeyValue;
  readonly #closing = new AbortController();

  static async open(deps: BreakerOverridesDeps): Promise<BreakerOverrides> {
    return new BreakerOverrides(deps, await deps.bus.openBucket(controlBucket));
  }

  private constructor(deps: BreakerOverridesDeps, bucket: KeyValue) {
    this.#deps = deps;
    this.#bucket = bucket;
    void this.#follow();
  }

  /** Throws `unavailable`, and `capacity_exceeded` when this router has no room for another breaker. */
  async force(forced: Forced): Promise<BreakerView> {
    const { tenantId, providerId, mode, reset } = forced;
    const override: BreakerOverride = {
      version: '2',
      tenant_id: tenantId,
      provider_id: providerId,
      mode,
      reset,
      set_at_ms: this.#deps.timers.clock.epochMs(),
    };
    await this.#bucket.put(breakerOverrideKey(tenantId, providerId), JSON.stringify(override));
    return this.#apply(forced);
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    return Promise.resolve();
  }

  #apply({ tenantId, providerId, mode, reset }: Forced): BreakerView {
    const { live } = this.#deps;
    if (reset) live.force(tenantId, providerId, 'force_closed');
    return live.force(tenantId, providerId, mode);
  }

  async #follow(): Promise<void> {
    const { log, timers } = this.#deps;
    const { signal } = this.#closing;
    try {
      for await (const { value, deleted } of this.#bucket.watch(signal, breakerOverrideKeys)) {
        if (!deleted) this.#hear(value);
      }
    } catch (fault) {
      log.debug('breaker_overrides_unwatched', { code: BeamlineError.from(fault).code });
    }
    if (signal.aborted) return;
    await timers.sleep(RETRY_MS);
    await this.#follow();
  }

  #hear(text: string): void {
    const { log } = this.#deps;
    try {
      const value: unknown = JSON.parse(text);
      if (!breakerOverride.check(value)) throw new BeamlineError('invalid_request', breakerOverride.fault(value));
      const { tenant_id: tenantId, provider_id: providerId, mode, reset } = value;
      this.#apply({ tenantId, providerId, mode, reset });
    } catch (fault) {
      log.error('breaker_override_unreadable', { fault });
    }
  }
}
