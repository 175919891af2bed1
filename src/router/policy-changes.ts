// Where a replica of policies stands, and what changed in it since it stood elsewhere (policy 12.2).
// G1. A place follows from what is held alone, so that replicas of one source which hold the same stand at the same place,
//     and each of them can go on where another one was asked.
// G2. It grows with every change. What is gone without a tombstone cannot be told as a change: earlier places are then too
//     old.
import { hash } from '../core/hash.ts';
import type { PolicyRecord } from './policy-source.ts';

/** Changes that are remembered; who is further behind reads everything. */
const STEPS_MAX = 1_024;
/** Beside the sum of all revisions, which grows: two replicas that differ while it is the same would be taken for equal. */
const MIX = 2 ** 20;

export type PolicyRef = Pick<PolicyRecord, 'tenant_id' | 'policy_id'>;

interface Step {
  /** Where the replica stood before. */
  readonly from: number;
  readonly policy: PolicyRef;
}

export class PolicyChanges {
  readonly #steps: Step[] = [];
  #revisions = 0;
  #mixed = 0;

  /** 0 while nothing is held. */
  get place(): number {
    return this.#revisions * MIX + this.#mixed;
  }

  changed(record: PolicyRecord, before: PolicyRecord | undefined): void {
    const { tenant_id, policy_id } = record;
    this.#steps.push({ from: this.place, policy: { tenant_id, policy_id } });
    if (this.#steps.length > STEPS_MAX) this.#steps.shift();
    if (before !== undefined) this.#count(before, -1);
    this.#count(record, 1);
  }

  removed(record: PolicyRecord): void {
    this.#count(record, -1);
    this.#steps.length = 0;
  }

  /** What changed, some of it more than once. `ahead`: another replica may stand there, and this one does not yet. */
  since(place: number): readonly PolicyRef[] | 'too_old' | 'ahead' {
    if (place === this.place) return [];
    const at = this.#steps.findLastIndex(({ from }) => from === place);
    if (at === -1) return place > this.place ? 'ahead' : 'too_old';
    return this.#steps.slice(at).map(({ policy }) => policy);
  }

  #count({ tenant_id, policy_id, revision }: PolicyRecord, sign: 1 | -1): void {
    this.#revisions += sign * revision;
    this.#mixed ^= hash(`${tenant_id}/${policy_id}/${revision}`) % MIX;
  }
}
