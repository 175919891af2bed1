// What conditions may look at in one attempt.
import type { Scope } from './condition.ts';
import type { Facts, Live, Snapshot } from './facts.ts';
import type { Policy } from './policy.ts';

/** Where a request stands: the attempt that is decided, and how the one before it failed. */
export type Standing = Pick<Snapshot, 'attempt' | 'failureWords' | 'errorClass' | 'currentProvider'>;

/** `status` are the words of the last failure, or of an empty choice. */
export const scopeOf = (
  policy: Policy,
  facts: Facts,
  live: Live,
  at: Standing,
  status: readonly string[] = at.failureWords,
): Scope => ({
  facts,
  live,
  status,
  attempt: at.attempt,
  errorClass: at.errorClass,
  currentProvider: at.currentProvider,
  timeZone: policy.timezone,
});
