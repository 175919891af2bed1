// How many assignments of each tenant this router has on the streams, by class, as far as it knows: what its windows bound.
// A hint: a slot that is freed too late delays a job, one that is freed too early only fills the stream a little more.
import type { SlotClass } from '../../contracts/slot-class.ts';
import type { JobRef } from './job-store.ts';

/** What takes a slot. */
export interface Taking extends JobRef {
  readonly slotClass: SlotClass;
  /** Of the tenant, among those that share the windows. */
  readonly weight: number;
}

interface Use {
  count: number;
  weight: number;
}

class Taken {
  readonly #uses = new Map<string, Use>();
  #weight = 0;

  /** Of all tenants that have something out. */
  get weight(): number {
    return this.#weight;
  }

  of(tenantId: string): number {
    return this.#uses.get(tenantId)?.count ?? 0;
  }

  add({ tenantId, weight }: Taking): void {
    const use = this.#uses.get(tenantId) ?? { count: 0, weight: 0 };
    this.#uses.set(tenantId, use);
    use.count++;
    this.#weight += weight - use.weight;
    use.weight = weight;
  }

  remove({ tenantId }: Taking): void {
    const use = this.#uses.get(tenantId);
    if (use === undefined || --use.count > 0) return;
    this.#uses.delete(tenantId);
    this.#weight -= use.weight;
  }
}

export class Slots {
  readonly #taken = new Map<string, Taking>();
  readonly #classes: Readonly<Record<SlotClass, Taken>> = { io: new Taken(), cpu: new Taken() };
  readonly #onFree: () => void;

  constructor(onFree: () => void) {
    this.#onFree = onFree;
  }

  /** Weight of the tenants that have something of the class out. */
  weightOf(slotClass: SlotClass): number {
    return this.#classes[slotClass].weight;
  }

  of(tenantId: string, slotClass: SlotClass): number {
    return this.#classes[slotClass].of(tenantId);
  }

  take(taking: Taking): void {
    if (this.#taken.has(taking.assignmentId)) return;
    this.#taken.set(taking.assignmentId, taking);
    this.#classes[taking.slotClass].add(taking);
  }

  free(assignmentId: string): void {
    const taking = this.#taken.get(assignmentId);
    if (taking === undefined) return;
    this.#taken.delete(assignmentId);
    this.#classes[taking.slotClass].remove(taking);
    this.#onFree();
  }

  /** Frees what is not among the open jobs any more: their end was another router's. */
  keepOnly(open: ReadonlySet<string>): void {
    for (const assignmentId of this.#taken.keys()) if (!open.has(assignmentId)) this.free(assignmentId);
  }
}
