// What of a job is too large for its messages: a payload that is read by its reference, an output that is kept under one.
import type { ExecAssignment } from '../../contracts/assignment.ts';
import { JSON_DEPTH_MAX } from '../../contracts/limits.ts';
import { BeamlineError } from '../../core/errors.ts';
import { parseGuarded } from '../../core/json-guard.ts';
import type { Timers } from '../../core/timers.ts';
import { BLOB_BYTES_MAX } from '../../store/blobs.ts';
import { storing } from '../blocks/blob-failure.ts';
import { BlockFailure } from '../blocks/block.ts';
import type { AttemptKey } from './attempt-markers.ts';

/** Where gateways find outputs, and every worker the payloads of its tenants. */
export interface JobBlobs {
  /** Throws `quota_exceeded`, `payload_too_large`, `unavailable`. */
  keep(tenantId: string, bytes: Uint8Array, owner: string): Promise<string>;
  /** Undefined for what is not the tenant's, or not there. */
  read(tenantId: string, ref: string): Promise<Buffer | undefined>;
}

/** A payload by reference is parsed whole, beside those of the other jobs that wait here. */
const PAYLOAD_BYTES_MAX = 4_194_304;
const PAYLOAD_LIMITS = { depthMax: JSON_DEPTH_MAX, valuesMax: 1_000_000 };

/** The object that the order's reference names; undefined where it names none. Throws `unavailable`. */
export async function referredPayload(
  { job: { payload_ref: ref }, tenant_id: tenantId }: ExecAssignment,
  blobs: JobBlobs | undefined,
): Promise<unknown> {
  if (ref === undefined || blobs === undefined) return undefined;
  const bytes = await blobs.read(tenantId, ref).catch((fault: unknown) => {
    // What is damaged stays so.
    if (fault instanceof BeamlineError && fault.code === 'internal') return undefined;
    throw fault;
  });
  if (bytes === undefined || bytes.length > PAYLOAD_BYTES_MAX) return undefined;
  const read = parseGuarded(bytes, PAYLOAD_LIMITS);
  return read.ok ? read.value : undefined;
}

/** The work is done and may not be done again for a store that comes back in a moment. */
const TRIES_MAX = 10;
const RETRY_MS = 1_000;

export interface Keeping {
  readonly blobs: JobBlobs | undefined;
  readonly timers: Timers;
  readonly signal: AbortSignal;
}

/** Resolves with the reference of an output; a repeat of the attempt keeps the same blob. Throws `BlockFailure`. */
export async function keptOutput(text: string, key: AttemptKey, { blobs, timers, signal }: Keeping): Promise<string> {
  const bytes = new TextEncoder().encode(text);
  if (blobs === undefined || bytes.length > BLOB_BYTES_MAX) {
    throw new BlockFailure('OUTPUT_TOO_LARGE', `an output holds at most ${BLOB_BYTES_MAX} bytes`);
  }
  const owner = `${key.assignmentId}:${key.attempt}`;
  for (let tries = 1; ; tries++) {
    try {
      // eslint-disable-next-line no-await-in-loop -- tries come one after the other
      return await blobs.keep(key.tenantId, bytes, owner);
    } catch (fault) {
      if (tries === TRIES_MAX || signal.aborted || !isAway(fault)) return storing(Promise.reject(fault));
    }
    // eslint-disable-next-line no-await-in-loop -- as above
    await pause(timers, signal);
  }
}

const isAway = (fault: unknown): boolean =>
  fault instanceof BeamlineError && fault.code === 'unavailable' && fault.details['reason'] !== 'stream_full';

const pause = (timers: Timers, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const done = (): void => {
      timer.cancel();
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = timers.after(RETRY_MS, done);
    signal.addEventListener('abort', done);
  });
