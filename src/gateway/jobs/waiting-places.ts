// How many callers may wait for jobs at a time, in a process and for one tenant (gateway 15.3).

export interface PlaceLimits {
  readonly perTenant: number;
  readonly perProcess: number;
}

export class WaitingPlaces {
  readonly #limits: PlaceLimits;
  readonly #byTenant = new Map<string, number>();
  #taken = 0;

  constructor(limits: PlaceLimits) {
    this.#limits = limits;
  }

  get taken(): number {
    return this.#taken;
  }

  /** A place, which is given back once; undefined when there is none. */
  take(tenantId: string): Disposable | undefined {
    const own = this.#byTenant.get(tenantId) ?? 0;
    if (own >= this.#limits.perTenant || this.#taken >= this.#limits.perProcess) return undefined;
    this.#byTenant.set(tenantId, own + 1);
    this.#taken++;
    let isTaken = true;
    return {
      [Symbol.dispose]: () => {
        if (!isTaken) return;
        isTaken = false;
        this.#leave(tenantId);
      },
    };
  }

  #leave(tenantId: string): void {
    this.#taken--;
    const own = (this.#byTenant.get(tenantId) ?? 1) - 1;
    if (own === 0) this.#byTenant.delete(tenantId);
    else this.#byTenant.set(tenantId, own);
  }
}
