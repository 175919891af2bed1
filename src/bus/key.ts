// What a bus lets through as a key or as the name of a bucket, and which keys a pattern means.
import type { KeyPattern } from '../contracts/bucket.ts';
import { BeamlineError } from '../core/errors.ts';

const KEY = /^[A-Za-z0-9_=-]+(?:\.[A-Za-z0-9_=-]+)*$/;
const KEY_CHARS_MAX = 1_024;
const BUCKET = /^[A-Za-z0-9_-]{1,64}$/;

/** Throws `invalid_request` for a key that `keyOf` of the contracts cannot have made: no bus sees it. */
export function assertKey(key: string): void {
  if (key.length <= KEY_CHARS_MAX && KEY.test(key)) return;
  throw new BeamlineError('invalid_request', 'not a key of a bucket', {
    details: { reason: 'illegal_key' },
  });
}

export function assertBucketName(name: string): void {
  if (BUCKET.test(name)) return;
  throw new BeamlineError('invalid_request', 'not a name of a bucket', {
    details: { reason: 'illegal_bucket' },
  });
}

const matchesAll = (): boolean => true;

/** Whether a key is one of the pattern's; without a pattern each is. */
export function keyMatcher(pattern: KeyPattern | undefined): (key: string) => boolean {
  if (pattern === undefined) return matchesAll;
  const tokens = pattern.split('.');
  return (key) => {
    const theirs = key.split('.');
    return theirs.length === tokens.length && tokens.every((token, n) => token === '*' || token === theirs[n]);
  };
}
