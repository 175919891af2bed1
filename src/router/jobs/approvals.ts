// The questions that jobs wait for, in their bucket: asked once, decided by compare-and-set. No attempt is out meanwhile.
import type { KeyValue } from '../../bus/bus.ts';
import { type Approval, approval, approvalKey } from '../../contracts/approval.ts';
import { assertValid } from '../../contracts/codec.ts';
import type { JobRequest } from '../../contracts/job.ts';
import { BeamlineError } from '../../core/errors.ts';
import { approvalIdOf, approvalOf } from './approval-order.ts';
import { timedOut, type Vote, voted } from './approval-vote.ts';
import type { JobRef } from './job-store.ts';

const TRIES_MAX = 8;

interface Found {
  readonly asked: Approval;
  readonly revision: number;
}

export class Approvals {
  readonly #bucket: KeyValue;

  constructor(bucket: KeyValue) {
    this.#bucket = bucket;
  }

  /** The question of the job: as it stands, or asked now. */
  async ask(record: JobRequest): Promise<Approval> {
    const asked = approvalOf(record);
    const { tenant_id: tenantId, assignment_id: assignmentId } = record;
    const known = await this.read({ tenantId, assignmentId });
    // One of an earlier job under the same key, which was deleted, says nothing of this one.
    if (known?.asked.created_at_ms === asked.created_at_ms) return known.asked;
    try {
      await this.#bucket.update(keyOf(asked), JSON.stringify(asked), known?.revision ?? 0);
      return asked;
    } catch (thrown) {
      if (!isLost(thrown)) throw thrown;
      return (await this.read({ tenantId, assignmentId }))?.asked ?? asked;
    }
  }

  /** Throws `not_found` and what `voted` throws. */
  async vote(ref: JobRef, vote: Vote): Promise<{ readonly asked: Approval; readonly isChanged: boolean }> {
    const result = await this.#change(ref, (asked) => voted(asked, vote));
    if (result === undefined) throw new BeamlineError('not_found', 'the job asks nobody');
    return result;
  }

  /** The question after its time, if it is over. */
  async expire(ref: JobRef, nowMs: number): Promise<Approval | undefined> {
    return (await this.#change(ref, (asked) => timedOut(asked, nowMs)))?.asked;
  }

  /** Nobody waits for the decision any more. */
  async cancel(ref: JobRef): Promise<void> {
    await this.#change(ref, (asked) => (asked.status === 'pending' ? { ...asked, status: 'cancelled' } : undefined));
  }

  async read({ tenantId, assignmentId }: JobRef): Promise<Found | undefined> {
    const entry = await this.#bucket.get(approvalKey(tenantId, approvalIdOf(assignmentId)));
    if (entry === undefined) return undefined;
    const asked: unknown = JSON.parse(entry.value);
    if (!approval.check(asked))
      throw new BeamlineError('internal', `an entry is no approval: ${approval.fault(asked)}`);
    return { asked, revision: entry.revision };
  }

  async #change(
    ref: JobRef,
    make: (asked: Approval) => Approval | undefined,
  ): Promise<{ readonly asked: Approval; readonly isChanged: boolean } | undefined> {
    for (let tries = 0; tries < TRIES_MAX; tries++) {
      // eslint-disable-next-line no-await-in-loop -- a try follows one that lost
      const found = await this.read(ref);
      if (found === undefined) return undefined;
      const asked = make(found.asked);
      if (asked === undefined) return { asked: found.asked, isChanged: false };
      assertValid(approval, asked);
      try {
        // eslint-disable-next-line no-await-in-loop -- as above
        await this.#bucket.update(keyOf(asked), JSON.stringify(asked), found.revision);
        return { asked, isChanged: true };
      } catch (thrown) {
        if (!isLost(thrown)) throw thrown;
      }
    }
    throw new BeamlineError('unavailable', 'the approval is written by too many');
  }
}

const keyOf = ({ tenant_id, approval_id }: Approval): string => approvalKey(tenant_id, approval_id);
const isLost = (thrown: unknown): boolean => BeamlineError.from(thrown).code === 'precondition_failed';
