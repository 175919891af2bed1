// What a store of blobs refuses, in the words of an attempt.
import { BeamlineError } from '../../core/errors.ts';
import type { ExecutionCode } from '../../core/execution-errors.ts';
import { BlockFailure } from './block.ts';

const CODES: Readonly<Record<string, readonly [ExecutionCode, string]>> = {
  invalid_request: ['INVALID_INPUT', 'invalid_path'],
  payload_too_large: ['INVALID_INPUT', 'too_large'],
  quota_exceeded: ['QUOTA_EXCEEDED', 'blob_bytes'],
  conflict: ['EXECUTION_FAILED', 'key_exists'],
  forbidden: ['SANDBOX_VIOLATION', 'foreign_file'],
};

/** Runs a step of the store; throws `BlockFailure` for what it refuses, and `RESOURCE_UNAVAILABLE` for the rest. */
export async function storing<T>(step: Promise<T>): Promise<T> {
  try {
    return await step;
  } catch (fault) {
    const known = fault instanceof BeamlineError ? CODES[fault.code] : undefined;
    if (known === undefined)
      throw new BlockFailure('RESOURCE_UNAVAILABLE', 'the store of blobs failed', { cause: fault });
    throw new BlockFailure(known[0], fault instanceof BeamlineError ? fault.message : '', { detailCode: known[1] });
  }
}
