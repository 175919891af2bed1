// What a dry run says beside its decision (policy 11.2), and beside its refusal too. Over decide it asks no extension:
// only an administrator's dry run is told to.
import { createHash } from 'node:crypto';
import type { DryRun } from '../contracts/admin-operations.ts';
import type { DecideRequest, DecideResponse } from '../contracts/decide.ts';
import { BeamlineError } from '../core/errors.ts';

/** Throws what `decide` throws, with the same in its details. */
export function dryDecide(request: DecideRequest, decide: () => DecideResponse): DecideResponse {
  const told = { executed_extensions: [], ...payloadDigestOf(request) };
  try {
    return { ...decide(), ...told };
  } catch (thrown) {
    const fault = BeamlineError.from(thrown);
    const { code, message, details, retryAfterMs } = fault;
    const wait = retryAfterMs === undefined ? {} : { retryAfterMs };
    throw new BeamlineError(code, message, { details: { ...details, ...told }, ...wait, cause: fault });
  }
}

export const payloadDigestOf = ({ task: { payload } }: DecideRequest): Pick<DryRun, 'payload_digest'> =>
  payload === undefined ? {} : { payload_digest: createHash('sha256').update(JSON.stringify(payload)).digest('hex') };
