// Values by tenant and by a name within the tenant, at most `max` in all. Two maps and no joined key, so that a look-up
// builds no text. When it is full, those that are idle make room; if none is, the new one is refused.

export interface ByTenantOptions<Value> {
  readonly max: number;
  readonly make: (tenantId: string, name: string) => Value;
  /** Nobody would miss it. */
  readonly isIdle: (value: Value, nowMs: number) => boolean;
}

const NONE: ReadonlyMap<string, never> = new Map<string, never>();
/** A full one looks for idle values at most this often, because a look costs all of them. */
const LOOK_MS = 1_000;

export class ByTenant<Value> {
  readonly #options: ByTenantOptions<Value>;
  readonly #tenants = new Map<string, Map<string, Value>>();
  #size = 0;
  #lookedMs = -Infinity;

  constructor(options: ByTenantOptions<Value>) {
    this.#options = options;
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
    if (this.#size >= this.#options.max) this.#makeRoom(nowMs);
    if (this.#size >= this.#options.max) return undefined;
    const value = this.#options.make(tenantId, name);
    const ofTenant = this.#tenants.get(tenantId);
    if (ofTenant === undefined) this.#tenants.set(tenantId, new Map([[name, value]]));
    else ofTenant.set(name, value);
    this.#size++;
    return value;
  }

  *entries(): Generator<readonly [tenantId: string, name: string, value: Value]> {
    for (const [tenantId, values] of this.#tenants) for (const [name, value] of values) yield [tenantId, name, value];
  }

  #makeRoom(nowMs: number): void {
    if (nowMs < this.#lookedMs + LOOK_MS) return;
    this.#lookedMs = nowMs;
    for (const [tenantId, values] of this.#tenants) {
      for (const [name, value] of values) {
        if (this.#options.isIdle(value, nowMs) && values.delete(name)) this.#size--;
      }
      if (values.size === 0) this.#tenants.delete(tenantId);
    }
  }
}
