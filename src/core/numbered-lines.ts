// The lines of a file that somebody else wrote, with their numbers: UTF-8, each within a bound.
import { isUtf8 } from 'node:buffer';
import { BeamlineError } from './errors.ts';

export interface NumberedLine {
  /** From 1. */
  readonly line: number;
  /** Without its newline. */
  readonly text: string;
}

const NEWLINE = 0x0a;
const NOTHING = Buffer.alloc(0);

/** What is wrong with a line; `reason` is for programs. */
export const lineFault = (line: number, reason: string, message: string): BeamlineError =>
  new BeamlineError('validation_failed', message, { details: { reason, line } });

/** A byte order mark before the first line is left out. Throws `validation_failed`, reason `line_too_long` or `not_utf8`. */
export function* numberedLines(pieces: Iterable<Buffer>, bytesMax: number): Generator<NumberedLine> {
  let line = 1;
  let rest = NOTHING;
  const lineOf = (bytes: Buffer): NumberedLine => {
    if (bytes.length > bytesMax) throw tooLong(line, bytesMax);
    if (!isUtf8(bytes)) throw lineFault(line, 'not_utf8', 'the line is not UTF-8');
    const text = bytes.toString('utf8');
    return { line, text: line === 1 && text.startsWith('\uFEFF') ? text.slice(1) : text };
  };
  for (const piece of pieces) {
    let from = 0;
    for (let end = piece.indexOf(NEWLINE); end >= 0; end = piece.indexOf(NEWLINE, from)) {
      yield lineOf(Buffer.concat([rest, piece.subarray(from, end)]));
      line++;
      rest = NOTHING;
      from = end + 1;
    }
    rest = Buffer.concat([rest, piece.subarray(from)]);
    if (rest.length > bytesMax) throw tooLong(line, bytesMax);
  }
  if (rest.length > 0) yield lineOf(rest);
}

const tooLong = (line: number, bytesMax: number): BeamlineError =>
  lineFault(line, 'line_too_long', `the line is longer than ${bytesMax} bytes`);
