// Asks a router to administer, with the credential of whoever asked us: the router authorizes once more.
import { carriedCredential } from '../auth/credential.ts';
import type { Bus } from '../bus/bus.ts';
import { adminV2 } from '../contracts/admin.ts';
import type { AdminOperation, AdminParams, AdminResults } from '../contracts/admin-operations.ts';
import { at } from '../contracts/contract.ts';
import { BeamlineError } from '../core/errors.ts';
import { errorOfReply } from './bus-error.ts';
import type { Call } from './call.ts';

/** Longer than one operation of a policy store with its retries (policy 12.2). */
const TIMEOUT_MS = 10_000;

export interface AdminCaller {
  readonly requestId: string;
  readonly traceId: string;
  readonly tenantId: string;
  /** `Bearer` and the credential. */
  readonly authorization: string;
}

/** Rejects with the refusal of the router, or with `unavailable`, `timeout`, `invalid_reply`. */
export type Administer = <Op extends AdminOperation>(
  op: Op,
  params: AdminParams[Op],
  caller: AdminCaller,
) => Promise<AdminResults[Op]>;

export const administerOver =
  (bus: Bus): Administer =>
  async (op, params, { requestId, traceId, tenantId, authorization }) => {
    const reply = await bus.request(
      at(adminV2, { op }),
      { version: '2', request_id: requestId, params: { ...params } },
      { timeoutMs: TIMEOUT_MS, correlation: { traceId, tenantId, authorization } },
    );
    if (!reply.ok) throw asFields(errorOfReply(reply));
    if (reply.result === undefined) throw new BeamlineError('invalid_reply', 'the router answered without a result');
    // The router made it by the same table of operations.
    return reply.result as never;
  };

export const callerOf = (call: Call): AdminCaller => ({
  requestId: call.requestId,
  traceId: call.traceId,
  tenantId: call.tenantId,
  authorization: `Bearer ${carriedCredential(call.header('authorization'), call.header('x-api-key'), call.header('api-key'))}`,
});

/** Findings of a document are fields of the body for whoever sent it (gateway 6.1). */
function asFields(error: BeamlineError): BeamlineError {
  const { errors, ...details } = error.details;
  if (error.code !== 'validation_failed' || errors === undefined) return error;
  return new BeamlineError(error.code, error.message, { details: { ...details, fields: errors } });
}
