// How fast a provider's answers were (policy 5.2): a moving average of the time to the first chunk of streams, and one of
// the total time of whole answers. Results count in two spans of half the age limit, so no counted result is older than it;
// an average that heard nothing for the limit starts anew.
import type { Metrics } from '../telemetry/metrics.ts';
import { ByTenant, LIVE_MAX } from './by-tenant.ts';

const FACTOR = 0.2;
const AGE_MAX_MS = 300_000;
const SPAN_MS = AGE_MAX_MS / 2;

/** The average of one provider and one kind of answer. */
export class Average {
  #ms = 0;
  #heardMs = -Infinity;
  #span = 0;
  #count = 0;
  #countBefore = 0;

  get ms(): number {
    return this.#ms;
  }

  get heardMs(): number {
    return this.#heardMs;
  }

  get samples(): number {
    return this.#count + this.#countBefore;
  }

  isFresh(nowMs: number): boolean {
    this.#pass(nowMs);
    return nowMs - this.#heardMs <= AGE_MAX_MS;
  }

  add(ms: number, nowMs: number): void {
    this.#ms = this.isFresh(nowMs) ? this.#ms + FACTOR * (ms - this.#ms) : ms;
    this.#heardMs = nowMs;
    this.#count++;
  }

  #pass(nowMs: number): void {
    const span = Math.floor(nowMs / SPAN_MS);
    if (span === this.#span) return;
    this.#countBefore = span === this.#span + 1 ? this.#count : 0;
    this.#count = 0;
    this.#span = span;
  }
}

export interface Latency {
  readonly stream: Average;
  readonly whole: Average;
}

export class Latencies {
  readonly #latencies: ByTenant<Latency>;

  constructor(metrics: Metrics, max = LIVE_MAX) {
    this.#latencies = new ByTenant({
      max,
      metrics,
      kind: 'latency',
      make: () => ({ stream: new Average(), whole: new Average() }),
      restsSinceMs: ({ stream, whole }) => Math.max(stream.heardMs, whole.heardMs),
    });
  }

  /** Those of a tenant by provider, for the running turn. */
  of(tenantId: string): ReadonlyMap<string, Latency> {
    return this.#latencies.of(tenantId);
  }

  /** A result: of a stream if it has a time to the first chunk. */
  add(tenantId: string, provider: string, times: { firstChunkMs: number | undefined; totalMs: number }, nowMs: number) {
    const latency = this.#latencies.ensure(tenantId, provider, nowMs);
    if (times.firstChunkMs === undefined) latency?.whole.add(times.totalMs, nowMs);
    else latency?.stream.add(times.firstChunkMs, nowMs);
  }
}
