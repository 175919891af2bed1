// A file of lines, read in pieces: however large it is, one piece is held at a time.
import { closeSync, openSync, readSync } from 'node:fs';

const PIECE_BYTES = 1_048_576;
export const NEWLINE = 0x0a;

/** What the file holds, read by read. */
export function* readsOf(path: string): Generator<Buffer> {
  const file = openSync(path, 'r');
  try {
    for (;;) {
      const piece = Buffer.allocUnsafe(PIECE_BYTES);
      const length = readSync(file, piece);
      if (length === 0) return;
      yield piece.subarray(0, length);
    }
  } finally {
    closeSync(file);
  }
}

/** Whole lines with their ends, as many as were read at once, or none; what follows the last end is a piece of its own. */
export function* piecesOf(path: string): Generator<Buffer> {
  let rest = Buffer.alloc(0);
  for (const piece of readsOf(path)) {
    const bytes = Buffer.concat([rest, piece]);
    const end = bytes.lastIndexOf(NEWLINE) + 1;
    yield bytes.subarray(0, end);
    rest = bytes.subarray(end);
  }
  if (rest.length > 0) yield rest;
}

/** Lines without their ends; what follows the last end is a line as well. */
export function* linesOf(path: string): Generator<string> {
  for (const piece of piecesOf(path)) {
    let from = 0;
    while (from < piece.length) {
      const found = piece.indexOf(NEWLINE, from);
      const end = found < 0 ? piece.length : found;
      yield piece.toString('utf8', from, end);
      from = end + 1;
    }
  }
}
