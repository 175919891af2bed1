// The size limit of messages that are never made bytes. A walk adds up what the text could hold at most and ends early;
// only a message that could be over the limit is written out to be measured, so small ones cost a few additions.
import { BeamlineError } from '../core/errors.ts';
import { JSON_DEPTH_MAX, MESSAGE_BYTES_MAX } from '../contracts/limits.ts';

/** A character of a JSON string takes at most six bytes, as `\u0000`. */
const BYTES_PER_CHAR = 6;
/** A member's quotes, colon and comma, and the longest number. */
const BYTES_PER_MEMBER = 32;

/** An upper bound of the bytes; throws `payload_too_large` above `MESSAGE_BYTES_MAX`, like the codec. */
export function assertFits(message: unknown): number {
  const atMost = bytesAtMost(message, MESSAGE_BYTES_MAX, JSON_DEPTH_MAX);
  if (atMost <= MESSAGE_BYTES_MAX) return atMost;
  const bytes = Buffer.byteLength(JSON.stringify(message));
  if (bytes <= MESSAGE_BYTES_MAX) return bytes;
  throw new BeamlineError('payload_too_large', `a message holds at most ${MESSAGE_BYTES_MAX} bytes`, {
    details: { bytes },
  });
}

/** An upper bound of the JSON text's bytes; once above `stopAt` it only says so. */
function bytesAtMost(value: unknown, stopAt: number, depth: number): number {
  if (typeof value === 'string') return value.length * BYTES_PER_CHAR + BYTES_PER_MEMBER;
  if (typeof value !== 'object' || value === null) return BYTES_PER_MEMBER;
  if (depth === 0) return Number.POSITIVE_INFINITY;
  let bytes = BYTES_PER_MEMBER;
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length && bytes <= stopAt; i++) bytes += bytesAtMost(value[i], stopAt - bytes, depth - 1);
    return bytes;
  }
  const members = value as Readonly<Record<string, unknown>>;
  for (const name in members) {
    const member = members[name];
    bytes += name.length * BYTES_PER_CHAR;
    bytes +=
      typeof member === 'string'
        ? member.length * BYTES_PER_CHAR + BYTES_PER_MEMBER
        : bytesAtMost(member, stopAt - bytes, depth - 1);
    if (bytes > stopAt) break;
  }
  return bytes;
}
