// The only writer to the process's streams: results to stdout, faults and hints to stderr.
import { stripVTControlCharacters } from 'node:util';

/** Writes a result; colours reach terminals only. */
export function print(text: string): void {
  process.stdout.write(`${process.stdout.isTTY ? text : stripVTControlCharacters(text)}\n`);
}

/** Writes a fault or a hint. */
export function complain(text: string): void {
  process.stderr.write(`${process.stderr.isTTY ? text : stripVTControlCharacters(text)}\n`);
}
