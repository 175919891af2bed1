// What the paths, queries and bodies of the policy routes say, checked.
import { ADMIN_OPERATIONS, type AdminOperation, type AdminParams } from '../../contracts/admin-operations.ts';
import { BeamlineError } from '../../core/errors.ts';
import type { Call } from '../call.ts';

const ID = /^[A-Za-z0-9_.-][A-Za-z0-9._:-]{0,127}$/;
const LIMIT = 50;
const LIMIT_MAX = 200;
const CURSOR_CHARS_MAX = 512;

/** `path` is that of a member of the body or of a parameter. */
export const invalidField = (path: string, message: string): BeamlineError =>
  new BeamlineError('invalid_request', `${path} ${message}`, {
    details: { reason: 'schema', fields: [{ path, code: 'invalid', message }] },
  });

/** The policy of the path in the tenant of the call. */
export function keyIn(call: Call, policyId: string | undefined): { tenant_id: string; policy_id: string } {
  if (policyId !== undefined && ID.test(policyId)) return { tenant_id: call.tenantId, policy_id: policyId };
  throw invalidField('policy', 'must be a policy id of 1 to 128 characters');
}

const queryOf = ({ req: { url = '' } }: Call): URLSearchParams =>
  new URLSearchParams(url.includes('?') ? url.slice(url.indexOf('?')) : '');

/** Where a follower of the change feed stood; 0 asks for everything. */
export function sinceOf(call: Call): number {
  const given = queryOf(call).get('since') ?? '0';
  if (/^\d{1,16}$/.test(given) && Number.isSafeInteger(Number(given))) return Number(given);
  throw invalidField('since', 'must be the revision of an earlier page, or 0');
}

/** `limit` and `cursor` of the query. */
export function pageOf(call: Call): { readonly limit: number; readonly cursor?: string } {
  const query = queryOf(call);
  const given = query.get('limit');
  const limit = given === null ? LIMIT : /^\d{1,3}$/.test(given) ? Number(given) : 0;
  if (limit < 1 || limit > LIMIT_MAX) throw invalidField('limit', `must be an integer from 1 to ${LIMIT_MAX}`);
  const cursor = query.get('cursor');
  if (cursor === null || cursor === '') return { limit };
  if (cursor.length > CURSOR_CHARS_MAX) throw invalidField('cursor', 'must be one that a list gave');
  return { limit, cursor };
}

/** Creating what is there is a conflict of names, not of revisions. */
export function asConflict(fault: unknown): never {
  const error = BeamlineError.from(fault);
  if (error.code !== 'precondition_failed') throw error;
  throw new BeamlineError('conflict', 'The tenant has a policy of this name.', { cause: error });
}

/** Throws `invalid_request` with the member that is wrong. */
export function checked<Op extends AdminOperation>(op: Op, params: Record<string, unknown>): AdminParams[Op] {
  const declared = ADMIN_OPERATIONS[op].params;
  if (declared.check(params)) return params;
  const [pointer = '', ...rest] = declared.fault(params).split(': ');
  throw invalidField(pointer.slice(1).replaceAll('/', '.').slice(0, 64), rest.join(': ').slice(0, 256));
}
