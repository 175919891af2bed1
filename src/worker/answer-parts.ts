// A whole answer that is too large for one message, in slices (contracts 4.9). Pure.
import { createHash } from 'node:crypto';
import type { EndFrame } from '../contracts/frames.ts';
import { INLINE_BYTES_MAX, MESSAGE_BYTES_MAX } from '../contracts/limits.ts';

/** A character of a JSON text takes at most three bytes in a message, also where it has to be escaped there. */
const PART_CHARS = 200_000;
/** Around the text: the other fields of its frame. */
const FRAME_BYTES = 1_024;

/** Whether one event of a stream fits into a message; events are not split. */
export const fitsFrame = (raw: string): boolean =>
  raw.length <= PART_CHARS || Buffer.byteLength(JSON.stringify(raw)) <= MESSAGE_BYTES_MAX - FRAME_BYTES;

export interface AnswerParts {
  readonly parts: readonly string[];
  /** What the end frame says of them. */
  readonly sum: Pick<EndFrame, 'output_parts' | 'output_sha256'>;
}

/** Undefined for an answer that fits into its end frame. */
export function answerParts(raw: string | undefined): AnswerParts | undefined {
  if (raw === undefined || raw.length * 3 <= INLINE_BYTES_MAX) return undefined;
  if (Buffer.byteLength(raw) <= INLINE_BYTES_MAX) return undefined;
  const parts: string[] = [];
  for (let at = 0; at < raw.length; at += PART_CHARS) parts.push(raw.slice(at, at + PART_CHARS));
  const output_sha256 = createHash('sha256').update(raw).digest('hex');
  return { parts, sum: { output_parts: parts.length, output_sha256 } };
}
