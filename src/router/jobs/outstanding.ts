// Jobs of each tenant that have not ended: counted from the bucket by every sweep, and in between by what this router
// accepts and ends. What other routers do since the last sweep is not seen.
export class Outstanding {
  #counts = new Map<string, number>();
  #total = 0;

  get total(): number {
    return this.#total;
  }

  of(tenantId: string): number {
    return this.#counts.get(tenantId) ?? 0;
  }

  opened(tenantId: string): void {
    this.#counts.set(tenantId, this.of(tenantId) + 1);
    this.#total++;
  }

  closed(tenantId: string): void {
    const left = this.of(tenantId) - 1;
    if (left < 0) return;
    if (left > 0) this.#counts.set(tenantId, left);
    else this.#counts.delete(tenantId);
    this.#total--;
  }

  recount(tenantIds: readonly string[]): void {
    this.#counts = new Map();
    this.#total = 0;
    for (const tenantId of tenantIds) this.opened(tenantId);
  }
}
