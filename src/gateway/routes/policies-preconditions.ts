// Revisions as entity tags: what a caller has seen, and what may be written only if nobody else wrote since (gateway 14).
import { BeamlineError } from '../../core/errors.ts';
import type { Call } from '../call.ts';

export const etagOf = (revision: number): string => `"${revision}"`;

/** Whether the caller already has this revision. */
export function isFresh(call: Call, revision: number): boolean {
  const given = call.header('if-none-match');
  if (given === undefined) return false;
  const tags = new Set(given.split(',').map((tag) => tag.trim().replace(/^W\//, '')));
  return tags.has('*') || tags.has(etagOf(revision));
}

/**
 * The revision that a write expects, 0 for a policy that must not exist, undefined for any.
 * Throws `precondition_failed` for a tag that is none of ours, `invalid_request` for what contradicts itself.
 */
export function expectedRevision(call: Call): number | undefined {
  const match = call.header('if-match');
  const noneMatch = call.header('if-none-match');
  if (noneMatch !== undefined && (match !== undefined || noneMatch.trim() !== '*')) {
    throw new BeamlineError('invalid_request', 'A write takes if-match with a revision, or if-none-match with *.', {
      details: { reason: 'precondition' },
    });
  }
  if (noneMatch !== undefined) return 0;
  if (match === undefined) return undefined;
  const revision = /^"(\d{1,15})"$/.exec(match.trim())?.[1];
  if (revision === undefined) throw new BeamlineError('precondition_failed', 'if-match names no revision.');
  // 0 would mean that it must not exist; no stored policy has it.
  if (Number(revision) === 0) throw new BeamlineError('precondition_failed', 'The policy has another revision.');
  return Number(revision);
}

/** What a write expects, as params of an operation. */
export function expectation(call: Call): { expected_revision?: number } {
  const expected = expectedRevision(call);
  return expected === undefined ? {} : { expected_revision: expected };
}
