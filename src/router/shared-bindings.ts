// What routers tell each other of their sessions: written behind the request, read from memory, never waited for.
// B1. A request costs a look into memory; writing happens on a timer, so much at a time.
// B2. A binding is written when it is made, and again at most once a minute while its session goes on.
// B3. What cannot be written or read is forgotten: the session is drawn, or stays where this router has it.
import { hash as digest } from 'node:crypto';
import type { Bus, Entry, KeyValue } from '../bus/bus.ts';
import { followBucket } from '../bus/follow-bucket.ts';
import { readRecord } from '../contracts/codec.ts';
import { type StickyBinding, stickyBinding, stickyBucket, stickyBucketKey } from '../contracts/sticky-binding.ts';
import { BeamlineError } from '../core/errors.ts';
import { Recent } from '../core/recent.ts';
import type { Timer, Timers } from '../core/timers.ts';
import type { Log } from '../telemetry/log.ts';

const HEARD_MAX = 100_000;
const WAITING_MAX = 10_000;
const WRITE_MS = 1_000;
/** Writes of one round. */
const WRITES_MAX = 256;
const AGAIN_MS = 60_000;

export interface SharedBindingsDeps {
  readonly bus: Bus;
  readonly timers: Timers;
  readonly log: Log;
}

/** A binding as every router sees it; milliseconds since the Unix epoch. */
export interface Bound {
  readonly provider: string;
  readonly boundAtMs: number;
  readonly untilEpochMs: number;
}

interface Waiting extends Bound {
  readonly tenantId: string;
}

export class SharedBindings implements AsyncDisposable {
  readonly #deps: SharedBindingsDeps;
  readonly #bucket: KeyValue;
  readonly #heard = new Recent<Bound>(HEARD_MAX);
  readonly #waiting = new Map<string, Waiting>();
  /** When this router wrote a key last, on the monotonic clock. */
  readonly #written = new Recent<number>(HEARD_MAX);
  readonly #closing = new AbortController();
  #timer: Timer | undefined;

  static async open(deps: SharedBindingsDeps): Promise<SharedBindings> {
    return new SharedBindings(deps, await deps.bus.openBucket(stickyBucket));
  }

  private constructor(deps: SharedBindingsDeps, bucket: KeyValue) {
    this.#deps = deps;
    this.#bucket = bucket;
    const signal = this.#closing.signal;
    const hear = (entry: Entry): void => this.#hear(entry);
    void followBucket({ ...deps, bucket, signal, unwatched: 'sticky_bindings_unwatched', hear });
  }

  /** Where a session's binding stands. Costs a digest. */
  keyOf(tenantId: string, session: string): string {
    return stickyBucketKey(tenantId, digest('sha256', session, 'hex'));
  }

  /** What was heard last; it may be over. */
  get(key: string): Bound | undefined {
    return this.#heard.get(key);
  }

  tell(key: string, tenantId: string, bound: Bound): void {
    const known = this.#heard.get(key);
    const isNews = known?.provider !== bound.provider || known.boundAtMs < bound.boundAtMs;
    if (!isNews && this.#deps.timers.clock.nowMs() - (this.#written.get(key) ?? -AGAIN_MS) < AGAIN_MS) return;
    if (this.#waiting.size >= WAITING_MAX && !this.#waiting.has(key)) return;
    this.#waiting.set(key, { ...bound, tenantId });
    this.#timer ??= this.#arm();
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    this.#timer?.cancel();
    this.#waiting.clear();
    return Promise.resolve();
  }

  #arm(): Timer {
    return this.#deps.timers.after(WRITE_MS, () => {
      this.#timer = undefined;
      this.#write();
      if (this.#waiting.size > 0) this.#timer = this.#arm();
    });
  }

  #write(): void {
    const nowMs = this.#deps.timers.clock.nowMs();
    let left = WRITES_MAX;
    for (const [key, bound] of this.#waiting) {
      if (left === 0) return;
      if (nowMs - (this.#written.get(key) ?? -AGAIN_MS) < AGAIN_MS) continue;
      left--;
      this.#waiting.delete(key);
      this.#written.set(key, nowMs);
      this.#bucket.put(key, JSON.stringify(messageOf(bound))).catch((fault: unknown) => {
        this.#deps.log.debug('sticky_binding_unshared', { code: BeamlineError.from(fault).code });
      });
    }
  }

  #hear({ key, value, deleted }: Entry): void {
    const bound = deleted ? undefined : boundIn(value);
    if (bound === undefined) this.#heard.delete(key);
    else this.#heard.set(key, bound);
  }
}

const messageOf = ({ tenantId, provider, boundAtMs, untilEpochMs }: Waiting): StickyBinding => ({
  version: '2',
  tenant_id: tenantId,
  provider_id: provider,
  bound_at_ms: boundAtMs,
  expires_at_ms: untilEpochMs,
});

/** What cannot be read binds nobody. */
function boundIn(text: string): Bound | undefined {
  const value = readRecord(stickyBinding, text);
  if (value === undefined) return undefined;
  return { provider: value.provider_id, boundAtMs: value.bound_at_ms, untilEpochMs: value.expires_at_ms };
}
