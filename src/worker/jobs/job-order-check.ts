// Whether this worker can run an order at all: its type, its payload, and what its sender may do. Pure.
import type { ExecAssignment, RefusalReason } from '../../contracts/assignment.ts';
import type { ExecutionCode, ExecutionFailure } from '../../core/execution-errors.ts';
import type { Block, Effect } from '../blocks/block.ts';

/** What an order without scopes may do: its sender knows none, and orders inference (v1). */
const SCOPES_OF_OLD: readonly string[] = ['ai:invoke'];

export type Checked =
  | { readonly kind: 'fit'; readonly block: Block; readonly input: unknown; readonly effect: Effect }
  | { readonly kind: 'unfit'; readonly reason: RefusalReason; readonly failure: ExecutionFailure };

const unfit = (reason: RefusalReason, code: ExecutionCode, message: string, detailCode?: string): Checked => ({
  kind: 'unfit',
  reason,
  failure: { code, message, ...(detailCode === undefined ? {} : { detailCode }) },
});

/** `input` is the payload, or what its reference names; undefined where it names nothing. */
export function checkOrder(
  { job, scopes }: ExecAssignment,
  input: unknown,
  blocks: ReadonlyMap<string, Block>,
): Checked {
  const block = blocks.get(job.type);
  if (block === undefined)
    return unfit('unknown_job_type', 'UNKNOWN_JOB_TYPE', 'this worker has no block of that type');
  const missing = block.scopes.find((scope) => !(scopes ?? SCOPES_OF_OLD).includes(scope));
  if (missing !== undefined) {
    return unfit('tenant_forbidden', 'PERMISSION_DENIED', `the scope ${missing} is required`, 'scope');
  }
  if (input === undefined) {
    const message = 'the reference of the payload names no JSON of the tenant, or more than is read';
    return unfit('invalid_request', 'INVALID_INPUT', message, 'payload_ref');
  }
  if (!block.input.check(input)) {
    return unfit('invalid_request', 'INVALID_INPUT', block.input.fault(input).slice(0, 512));
  }
  return { kind: 'fit', block, input, effect: block.effect(input) };
}

/** The same for every attempt; without one of the sender it is the assignment's (contracts 4.3). */
export const idempotencyKeyOf = ({ idempotency_key: key, tenant_id, assignment_id }: ExecAssignment): string =>
  key ?? `${tenant_id}:${assignment_id}`;
