// One process for one folder, or one file. The lock is the operating system's, taken through SQLite: it goes with its process,
// however that ends, so there is no stale one to judge by a process id, which another container may have as well.
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { BeamlineError } from '../core/errors.ts';

const FILE = 'lock';

/** Holds the folder until it is disposed; throws `unavailable` while another process, or this one, holds it. */
export const lockFolder = (folder: string): Disposable => lockFile(join(folder, FILE), `the folder ${folder}`);

/** The same by a file that is made for it; `what` is what the lock is for. */
export function lockFile(path: string, what = path): Disposable {
  const database = new DatabaseSync(path);
  try {
    database.exec('BEGIN EXCLUSIVE');
  } catch (cause) {
    database.close();
    throw new BeamlineError('unavailable', `another process works with ${what}`, {
      cause,
      details: { reason: 'folder_locked' },
    });
  }
  return { [Symbol.dispose]: () => database.close() };
}
