// How records stand in a journal's file: length and CRC-32 (both little-endian, 32 bits), then the bytes.
// An empty record is none, so that zeros at the end of a file are not taken for records.
import type { FileHandle } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { BeamlineError } from '../core/errors.ts';

export const MAGIC = new TextEncoder().encode('BLJRNL1\n');
const HEAD_BYTES = 8;
const CHUNK_BYTES = 1_048_576;
/** Largest record; a length above it is a torn one. */
export const RECORD_BYTES_MAX = 16 * 1_048_576;

/** The record as it is written; throws `payload_too_large`. */
export function framed(record: string): Buffer {
  const bytes = Buffer.byteLength(record, 'utf8');
  if (bytes === 0 || bytes > RECORD_BYTES_MAX)
    throw new BeamlineError('payload_too_large', `a record holds at most ${RECORD_BYTES_MAX} bytes`);
  const frame = Buffer.allocUnsafe(HEAD_BYTES + bytes);
  frame.write(record, HEAD_BYTES, 'utf8');
  frame.writeUInt32LE(bytes, 0);
  frame.writeUInt32LE(crc32(frame.subarray(HEAD_BYTES)), 4);
  return frame;
}

/** Gives every whole record from the start; the answer is where the last one ends. */
export async function readFrames(file: FileHandle, onRecord: (record: string) => void): Promise<number> {
  let end = MAGIC.length;
  let rest: Buffer = Buffer.alloc(0);
  for (;;) {
    const wanted = Math.max(CHUNK_BYTES, neededFor(rest) - rest.length);
    // eslint-disable-next-line no-await-in-loop -- from the start to the end
    const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(wanted), 0, wanted, end + rest.length);
    rest = Buffer.concat([rest, buffer.subarray(0, bytesRead)]);
    for (;;) {
      const size = wholeFrame(rest);
      if (size === 'torn') return end;
      if (size === 'short') break;
      onRecord(rest.toString('utf8', HEAD_BYTES, size));
      rest = rest.subarray(size);
      end += size;
    }
    if (bytesRead === 0) return end;
  }
}

const lengthOf = (bytes: Buffer): number => bytes.readUInt32LE(0);

/** The bytes of the frame that begins here, as far as its head is there. */
const neededFor = (bytes: Buffer): number => (bytes.length < HEAD_BYTES ? HEAD_BYTES : HEAD_BYTES + lengthOf(bytes));

function wholeFrame(bytes: Buffer): number | 'short' | 'torn' {
  if (bytes.length < HEAD_BYTES) return 'short';
  const length = lengthOf(bytes);
  if (length === 0 || length > RECORD_BYTES_MAX) return 'torn';
  const size = HEAD_BYTES + length;
  if (bytes.length < size) return 'short';
  return crc32(bytes.subarray(HEAD_BYTES, size)) === bytes.readUInt32LE(4) ? size : 'torn';
}
