// Breakers that an administrator holds open or closed: told to one router, obeyed by all, and by those that start later.
// O1. An override is written before it is answered, so what was answered holds everywhere.
// O2. While the bucket is away the last word holds, and none can be said.
import type { Bus, Entry, KeyValue } from '../bus/bus.ts';
import { followBucket } from '../bus/follow-bucket.ts';
import {
  type BreakerOverride,
  breakerOverride,
  breakerOverrideKey,
  breakerOverrideKeys,
} from '../contracts/breaker-override.ts';
import { readRecord } from '../contracts/codec.ts';
import { controlBucket } from '../contracts/contract-switch.ts';
import type { BreakerMode } from '../core/breaker.ts';
import type { Timers } from '../core/timers.ts';
import type { Log } from '../telemetry/log.ts';
import type { BreakerView } from './breakers.ts';
import type { LiveState } from './live-state.ts';

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
    void followBucket({
      ...deps,
      bucket,
      signal: this.#closing.signal,
      pattern: breakerOverrideKeys,
      unwatched: 'breaker_overrides_unwatched',
      hear: (entry) => this.#hear(entry),
    });
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

  #hear({ key, value, deleted }: Entry): void {
    if (deleted) return;
    const heard = readRecord(breakerOverride, value);
    if (heard === undefined) return this.#deps.log.error('breaker_override_unreadable', { source: key });
    const { tenant_id: tenantId, provider_id: providerId, mode, reset } = heard;
    try {
      this.#apply({ tenantId, providerId, mode, reset });
    } catch (fault) {
      this.#deps.log.error('breaker_override_not_obeyed', { fault });
    }
  }
}
