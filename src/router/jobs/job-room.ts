// Whether the bucket of jobs has room for one more: acceptance ends before the bucket does, so that states can still grow
// and what was accepted can end.
import type { BucketStatus } from '../../bus/bus.ts';
import { BeamlineError } from '../../core/errors.ts';
import type { Timers } from '../../core/timers.ts';
import type { JobMetrics } from './job-metrics.ts';
import type { Outstanding } from './outstanding.ts';

/** Of the bucket. */
const SHARE_MAX = 0.9;
/** What a job that has not ended may still write beside its request: its state, with a small result. */
const STATE_BYTES = 4_096;
const LOOK_MS = 1_000;
/** Older ones are not acted on. */
const STALE_MS = 10_000;
const RETRY_MS = 30_000;

export interface JobRoomDeps {
  readonly timers: Timers;
  readonly outstanding: Outstanding;
  readonly metrics: JobMetrics;
  readonly status: () => Promise<BucketStatus>;
}

export class JobRoom {
  readonly #deps: JobRoomDeps;
  #status: BucketStatus | undefined;
  #lookedMs = -Infinity;
  #looking: Promise<void> | undefined;
  /** Bytes that were accepted here since the last look. */
  #taken = 0;

  constructor(deps: JobRoomDeps) {
    this.#deps = deps;
  }

  /** Throws `service_overloaded` where there is none, and `unavailable` where nobody knows. */
  async assert(): Promise<void> {
    const ageMs = this.#deps.timers.clock.nowMs() - this.#lookedMs;
    const looking = ageMs > LOOK_MS ? this.#look() : undefined;
    if (ageMs > STALE_MS) await looking;
    else looking?.catch(() => undefined);
    if (this.#hasRoom()) return;
    this.#deps.metrics.full.add();
    throw new BeamlineError('service_overloaded', 'the store of jobs is full', {
      retryAfterMs: RETRY_MS,
      details: { scope: 'storage', reason: 'jobs_full' },
    });
  }

  /** So much was written for one that was accepted. */
  took(bytes: number): void {
    this.#taken += bytes;
  }

  #hasRoom(): boolean {
    if (this.#status === undefined) return true;
    const { bytes, bytesMax } = this.#status;
    const owed = this.#deps.outstanding.total * STATE_BYTES;
    return bytes + this.#taken + owed < bytesMax * SHARE_MAX;
  }

  #look(): Promise<void> {
    this.#looking ??= this.#looked().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  async #looked(): Promise<void> {
    const before = this.#taken;
    this.#status = await this.#deps.status();
    this.#lookedMs = this.#deps.timers.clock.nowMs();
    this.#taken -= before;
  }
}
