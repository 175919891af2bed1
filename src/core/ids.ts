// Identifiers that sort by time (ULID) and W3C trace ids, from pooled random bytes.
import { randomFillSync, randomUUID } from 'node:crypto';
import type { Clock } from './clock.ts';

const CROCKFORD = new TextEncoder().encode('0123456789ABCDEFGHJKMNPQRSTVWXYZ');
const POOL_BYTES = 4096;
const pool = Buffer.allocUnsafe(POOL_BYTES);
let used = POOL_BYTES;

function take(bytes: number): number {
  if (used + bytes > POOL_BYTES) {
    randomFillSync(pool);
    used = 0;
  }
  used += bytes;
  return used - bytes;
}

const PREFIX = 'req_';
const TIME_END = PREFIX.length + 10;
const RANDOM_CHARS = 16;
/** The newest request id. Its bytes become one flat text; sixteen concatenations would cost more than all else here. */
const requestId = Buffer.from(PREFIX + '0'.repeat(10 + RANDOM_CHARS));
let stampMs = -1;

/** `req_` and a ULID: 26 characters of Crockford base 32, 48 bits of time and 80 random bits (the ULID specification). */
export function newRequestId(clock: Clock): string {
  const epochMs = clock.epochMs();
  if (epochMs !== stampMs) {
    stampMs = epochMs;
    for (let rest = epochMs, i = TIME_END - 1; i >= PREFIX.length; i--, rest = Math.floor(rest / 32)) {
      requestId[i] = CROCKFORD[rest % 32] ?? 0;
    }
  }
  const at = take(RANDOM_CHARS);
  for (let i = 0; i < RANDOM_CHARS; i++) requestId[TIME_END + i] = CROCKFORD[(pool[at + i] ?? 0) & 31] ?? 0;
  return requestId.toString('latin1');
}

/** Two lower-case hex digits a byte: a trace id has 16 bytes, a span id 8; never all zero in practice. */
export function newHex(bytes: 8 | 16 | 24): string {
  const at = take(bytes);
  return pool.toString('hex', at, at + bytes);
}

export const newAssignmentId = (): string => randomUUID();

/** A short process id of `[A-Za-z0-9_-]`, legal as a subject token. */
export const newProcessId = (role: string): string => `${role}-${newHex(8)}`;
