// Identifiers that sort by time (ULID) and W3C trace ids, from pooled random bytes.
import { randomFillSync, randomUUID } from 'node:crypto';
import type { Clock } from './clock.ts';

const CROCKFORD = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
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

let stampMs = -1;
let stamp = '';

/** 26 characters of Crockford base 32: 48 bits of time, 80 random bits (the ULID specification). */
function ulid(epochMs: number): string {
  if (epochMs !== stampMs) {
    stampMs = epochMs;
    stamp = '';
    for (let rest = epochMs, i = 0; i < 10; i++, rest = Math.floor(rest / 32)) stamp = CROCKFORD[rest % 32] + stamp;
  }
  const at = take(16);
  let tail = '';
  for (let i = at; i < at + 16; i++) tail += CROCKFORD[(pool[i] ?? 0) & 31];
  return stamp + tail;
}

export const newRequestId = (clock: Clock): string => `req_${ulid(clock.epochMs())}`;

/** A 32-digit trace id or a 16-digit span id, lower-case hex, never all zero in practice. */
export function newHex(bytes: 8 | 16): string {
  const at = take(bytes);
  return pool.toString('hex', at, at + bytes);
}

export const newAssignmentId = (): string => randomUUID();

/** A short process id of `[A-Za-z0-9_-]`, legal as a subject token. */
export const newProcessId = (role: string): string => `${role}-${newHex(8)}`;
