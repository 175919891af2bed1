// The records of routers, for the commands that read them: which directories hold them, and what is said of those that
// cannot be read.
import { DecisionFilesReader } from '../app/decision-files-reader.ts';
import { BeamlineError } from '../core/errors.ts';
import { complain } from './print.ts';

/** Every `--from`; the parser keeps the last one only. */
export function directoriesIn(words: readonly string[]): readonly string[] {
  return words.flatMap((word, at) => {
    if (/^--from$/.test(word)) return words[at + 1] ?? [];
    return word.startsWith('--from=') ? word.slice('--from='.length) : [];
  });
}

/** What `read` makes of the files; undefined after the fault was told. */
export function readRecords<T>(dirs: readonly string[], read: (files: DecisionFilesReader) => T): T | undefined {
  try {
    return read(new DecisionFilesReader(dirs));
  } catch (fault) {
    if (!isUnreadable(fault)) throw fault;
    complain(fault.message);
    return undefined;
  }
}

/** A fault of what was to be read. */
export const isUnreadable = (fault: unknown): fault is Error =>
  (fault instanceof BeamlineError && fault.code === 'validation_failed') ||
  (fault instanceof Error && 'syscall' in fault);
