// Values by tenant and by a name within the tenant, at most `max` in all. Two maps and no joined key, so that a look-up
// builds no text. When it is full, one that rests makes room: of the few that are looked at, the one that rests longest,
// because an exact order would cost every use of every value. If none of them rests, the new one is refused. Both are
// counted, so that nobody guesses why a breaker forgot.
import type { Counter, Metrics } from '../telemetry/metrics.ts';

/**
 * Room of what a router learns by tenant and provider: 10,000 tenants with ten providers each. When all of it is taken,
 * breakers hold 165 MB (1.6 KB each, most of it the seconds of their window), latencies 31, cooldowns 14, what is in
 * flight 12, and as many retry budgets 79.
 */
export const LIVE_MAX = 100_000;
/** Values that are looked at to make room for one. */
const LOOK_MAX = 32;

export interface ByTenantOptions<Value> {
  readonly max: number;
  readonly make: (tenantId: string, name: string) => Value;
  /** When it was used last; undefined while it must stay. */
  readonly restsSinceMs: (value: Value, nowMs: number) => number | undefined;
  readonly metrics: Metrics;
  /** What the metrics call the values. */
  readonly kind: string;
}

const NONE: ReadonlyMap<string, never> = new Map<string, never>();

type Kept<Value> = readonly [tenantId: string, name: string, value: Value];

export class ByTenant<Value> {
  readonly #options: ByTenantOptions<Value>;
  readonly #tenants = new Map<string, Map<string, Value>>();
  readonly #evicted: Counter;
  readonly #refused: Counter;
  #size = 0;
  /** Where the next look for room begins. */
  #cursor: Iterator<Kept<Value>> = this.entries();

  constructor(options: ByTenantOptions<Value>) {
    this.#options = options;
    const { metrics, kind } = options;
    this.#evicted = metrics
      .counter({
        name: 'router_live_evicted_total',
        help: 'What a router forgot of tenants that rest, to make room for others.',
        labels: ['kind'],
      })
      .of(kind);
    this.#refused = metrics
      .counter({
        name: 'router_live_refused_total',
        help: 'What a router could not remember, because nothing that it knows rests.',
        labels: ['kind'],
      })
      .of(kind);
  }

  get size(): number {
    return this.#size;
  }

  /** All of a tenant, for the running turn. */
  of(tenantId: string): ReadonlyMap<string, Value> {
    return this.#tenants.get(tenantId) ?? NONE;
  }

  get(tenantId: string, name: string): Value | undefined {
    return this.#tenants.get(tenantId)?.get(name);
  }

  /** The value, made if it is not there; undefined if there is no room for it. */
  ensure(tenantId: string, name: string, nowMs: number): Value | undefined {
    const known = this.#tenants.get(tenantId)?.get(name);
    if (known !== undefined) return known;
    if (this.#size >= this.#options.max && !this.#makeRoom(nowMs)) {
      this.#refused.add();
      return undefined;
    }
    const value = this.#options.make(tenantId, name);
    const ofTenant = this.#tenants.get(tenantId);
    if (ofTenant === undefined) this.#tenants.set(tenantId, new Map([[name, value]]));
    else ofTenant.set(name, value);
    this.#size++;
    return value;
  }

  *entries(): Generator<Kept<Value>> {
    for (const [tenantId, values] of this.#tenants) for (const [name, value] of values) yield [tenantId, name, value];
  }

  #makeRoom(nowMs: number): boolean {
    let longest: Kept<Value> | undefined;
    let longestMs = Number.POSITIVE_INFINITY;
    for (let left = Math.min(LOOK_MAX, this.#size); left > 0; left--) {
      const kept = this.#next();
      const sinceMs = kept === undefined ? undefined : this.#options.restsSinceMs(kept[2], nowMs);
      if (sinceMs === undefined || sinceMs >= longestMs) continue;
      longest = kept;
      longestMs = sinceMs;
    }
    if (longest === undefined) return false;
    this.#evict(longest);
    return true;
  }

  /** Goes round for ever; undefined when nothing is kept. */
  #next(): Kept<Value> | undefined {
    const next = this.#cursor.next();
    if (next.done !== true) return next.value;
    this.#cursor = this.entries();
    const first = this.#cursor.next();
    return first.done === true ? undefined : first.value;
  }

  #evict([tenantId, name]: Kept<Value>): void {
    const values = this.#tenants.get(tenantId);
    if (values?.delete(name) !== true) return;
    if (values.size === 0) this.#tenants.delete(tenantId);
    this.#size--;
    this.#evicted.add();
  }
}
