// Regular files below a folder of ours, read and written so that nobody leads us elsewhere (worker 12).
// F1. A link is never followed: not at the end of a path, and not on the way, where the opened file must be the one that
//     the path names by itself.
// F2. A file appears whole or not at all, also after a crash, and is on the disk before it has its name.
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, link, lstat, mkdir, open, realpath, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { BeamlineError } from '../core/errors.ts';

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_WRONLY } = constants;

const codeOf = (fault: unknown): string =>
  fault instanceof Error && 'code' in fault && typeof fault.code === 'string' ? fault.code : '';

/**
 * The bytes of a file; `path` is absolute and has no links in it when all is well. Undefined if there is none. Throws
 * `forbidden` for a link, a second name of another file, and what is no file; `payload_too_large` above `bytesMax`.
 */
export async function readPlain(path: string, bytesMax: number, mayHaveNames = false): Promise<Buffer | undefined> {
  let file: FileHandle;
  try {
    // Without waiting: who opens a pipe waits for its writer.
    file = await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  } catch (fault) {
    if (codeOf(fault) === 'ENOENT') return undefined;
    throw codeOf(fault) === 'ELOOP' || codeOf(fault) === 'ENXIO' ? foreign() : fault;
  }
  try {
    const { size } = await judge(file, path, mayHaveNames);
    if (size > bytesMax) throw new BeamlineError('payload_too_large', 'the object is too large');
    const bytes = Buffer.alloc(size);
    const { bytesRead } = await file.read(bytes, 0, size, 0);
    return bytes.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

/**
 * Writes a file and makes the folders above it. With `create` an existing one is left alone and the answer is false; else
 * it is replaced. Throws as `readPlain` does, for the folder that it writes to.
 */
export async function writePlain(path: string, bytes: Uint8Array, how: 'create' | 'replace'): Promise<boolean> {
  const folder = dirname(path);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const draft = join(folder, `.${basename(path)}.${randomBytes(6).toString('hex')}`);
  const file = await open(draft, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  try {
    try {
      await judge(file, draft, false);
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
    const isWritten = how === 'create' ? await linkNew(draft, path) : await rename(draft, path).then(() => true);
    await syncFolder(folder);
    return isWritten;
  } finally {
    await rm(draft, { force: true });
  }
}

/** The opened file must be the regular file that the path names without any link. */
async function judge(file: FileHandle, path: string, mayHaveNames: boolean): Promise<{ readonly size: number }> {
  const opened = await file.stat();
  const real = await realpath(path);
  const named = await lstat(path);
  const isPlain = opened.isFile() && (opened.nlink <= 1 || mayHaveNames);
  if (isPlain && real === path && named.ino === opened.ino && named.dev === opened.dev) return opened;
  throw foreign();
}

async function linkNew(draft: string, path: string): Promise<boolean> {
  try {
    await link(draft, path);
    return true;
  } catch (fault) {
    if (codeOf(fault) === 'EEXIST') return false;
    throw fault;
  }
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, O_RDONLY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

const foreign = (): BeamlineError => new BeamlineError('forbidden', 'the path leads elsewhere or to no regular file');
