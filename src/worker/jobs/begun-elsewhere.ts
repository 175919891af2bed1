// What an attempt may have consumed that ends here without having been started here: its mark says whether another
// process began it, and then it is billed as an estimate, whatever it ends as (worker G3).
import type { ExecAssignment } from '../../contracts/assignment.ts';
import type { Usage } from '../../contracts/fields.ts';
import type { Block } from '../blocks/block.ts';
import type { AttemptMarkers } from './attempt-markers.ts';
import { type JobBlobs, referredPayload } from './job-blobs.ts';
import { checkOrder } from './job-order-check.ts';
import { estimateOf } from './job-run.ts';

export interface BegunDeps {
  readonly markers: AttemptMarkers;
  readonly blocks: ReadonlyMap<string, Block>;
  readonly blobs?: JobBlobs | undefined;
}

export interface Begun {
  /** Undefined for a block that is not billed, and for an input that is not there any more. */
  readonly usage: Usage | undefined;
}

/** Undefined if nobody began it. Throws `unavailable`. */
export async function begunElsewhere(
  order: ExecAssignment,
  { markers, blocks, blobs }: BegunDeps,
): Promise<Begun | undefined> {
  const { tenant_id: tenantId, assignment_id: assignmentId, attempt = 1 } = order;
  if ((await markers.find({ tenantId, assignmentId, attempt })) !== 'lost') return undefined;
  const input: unknown = order.job.payload ?? (await referredPayload(order, blobs));
  const checked = checkOrder(order, input, blocks);
  return { usage: checked.kind === 'fit' ? estimateOf(checked.block, checked.input, order) : undefined };
}
