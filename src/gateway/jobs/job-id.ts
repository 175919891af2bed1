// The ids of jobs: `job_` and 26 characters of Crockford base 32, a ULID or derived from a caller's key.
import { createHash } from 'node:crypto';
import type { Clock } from '../../core/clock.ts';
import { newRequestId } from '../../core/ids.ts';

const CROCKFORD = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
const CHARS = 26;
const BITS = 5n;
const MASK = 31n;
/** Bits of a digest beyond the 130 that 26 characters hold. */
const REST = 256n - BigInt(CHARS) * BITS;
const JOB_ID = /^job_[0-9A-HJKMNP-TV-Z]{26}$/;

export const isJobId = (id: string): boolean => JOB_ID.test(id);

/** `job_` and a ULID, the same kind that requests have. */
export const newJobId = (clock: Clock): string => `job_${newRequestId(clock).slice('req_'.length)}`;

/** What a repeat with the same key gets too: 130 bits of SHA-256. `scope` keeps the keys of different routes apart. */
export const derivedJobId = (tenantId: string, scope: string, key: string): string =>
  `job_${derivedChars(tenantId, scope, key)}`;

/** 26 characters that follow from the parts, which hold no line breaks. */
export function derivedChars(...parts: readonly string[]): string {
  let bits = BigInt(`0x${createHash('sha256').update(parts.join('\n')).digest('hex')}`) >> REST;
  let text = '';
  for (let i = 0; i < CHARS; i++, bits >>= BITS) text = `${CROCKFORD[Number(bits & MASK)] ?? '0'}${text}`;
  return text;
}
