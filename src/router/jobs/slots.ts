// How many assignments of each tenant this router has on the streams, as far as it knows: what its window bounds.
// A hint: a slot that is freed too late delays a job, one that is freed too early only fills the stream a little more.
import type { JobRef } from './job-store.ts';

export class Slots {
  readonly #taken = new Map<string, string>();
  readonly #counts = new Map<string, number>();
  readonly #onFree: () => void;

  constructor(onFree: () => void) {
    this.#onFree = onFree;
  }

  get tenants(): number {
    return this.#counts.size;
  }

  of(tenantId: string): number {
    return this.#counts.get(tenantId) ?? 0;
  }

  take({ tenantId, assignmentId }: JobRef): void {
    if (this.#taken.has(assignmentId)) return;
    this.#taken.set(assignmentId, tenantId);
    this.#counts.set(tenantId, this.of(tenantId) + 1);
  }

  free(assignmentId: string): void {
    const tenantId = this.#taken.get(assignmentId);
    if (tenantId === undefined) return;
    this.#taken.delete(assignmentId);
    const left = this.of(tenantId) - 1;
    if (left > 0) this.#counts.set(tenantId, left);
    else this.#counts.delete(tenantId);
    this.#onFree();
  }

  /** Frees what is not among the open jobs any more: their end was another router's. */
  keepOnly(open: ReadonlySet<string>): void {
    for (const assignmentId of this.#taken.keys()) if (!open.has(assignmentId)) this.free(assignmentId);
  }
}
