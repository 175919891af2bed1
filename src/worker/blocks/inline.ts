// What of an answer still fits into a result, beside its headers and names (contracts 1.1, INLINE_MAX).
import { INLINE_BYTES_MAX } from '../../contracts/limits.ts';

const REST_BYTES = 32_768;

/** Whether the JSON of a part of an output leaves room for the rest of it. */
export const fitsInline = (part: unknown): boolean =>
  Buffer.byteLength(JSON.stringify(part) ?? '') <= INLINE_BYTES_MAX - REST_BYTES;
