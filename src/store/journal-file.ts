// The file of a journal as a whole: read at start, written anew, made to last.
import { type FileHandle, open } from 'node:fs/promises';
import { BeamlineError } from '../core/errors.ts';
import { framed, MAGIC, readFrames } from './journal-frame.ts';

/** Written at once, which keeps the event loop for about a millisecond. */
const CHUNK_BYTES = 131_072;
/** Synced at once: a sync of another file may wait for what this one has not on the disk yet. */
const SYNC_BYTES = 1_048_576;

/** Reads the file, and cuts what follows its last whole record. */
export async function recover(
  file: FileHandle,
  onRecord: (record: string) => void,
): Promise<{ bytes: number; cut: number }> {
  const { size } = await file.stat();
  if (size < MAGIC.length) {
    await file.truncate(0);
    await writeFully(file, [MAGIC]);
    await file.datasync();
    return { bytes: MAGIC.length, cut: size };
  }
  const { buffer } = await file.read(Buffer.alloc(MAGIC.length), 0, MAGIC.length, 0);
  if (!buffer.equals(MAGIC)) throw new BeamlineError('internal', 'the file of the journal is not one');
  const bytes = await readFrames(file, onRecord);
  if (bytes < size) {
    await file.truncate(bytes);
    await file.datasync();
  }
  return { bytes, cut: size - bytes };
}

/** So that a new name is there after a crash. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  await handle.sync();
  await handle.close();
}

/** All of it or a fault: a disk that is nearly full takes a part, and says so by the count only. */
export async function writeFully(file: FileHandle, frames: readonly Uint8Array[]): Promise<void> {
  const { bytesWritten } = await file.writev(frames);
  const bytes = frames.reduce((sum, { length }) => sum + length, 0);
  if (bytesWritten === bytes) return;
  let rest: Uint8Array = Buffer.concat(frames).subarray(bytesWritten);
  while (rest.length > 0) {
    // eslint-disable-next-line no-await-in-loop -- one part after the other
    const part = await file.write(rest);
    if (part.bytesWritten === 0) throw new BeamlineError('unavailable', 'the disk takes nothing');
    rest = rest.subarray(part.bytesWritten);
  }
}

/** Writes a whole file, and syncs it; the answer is its bytes. */
export async function writeAll(file: FileHandle, records: Iterable<string>): Promise<number> {
  let frames: Uint8Array[] = [MAGIC];
  let waiting = MAGIC.length;
  let bytes = 0;
  let synced = 0;
  const write = async (): Promise<void> => {
    await writeFully(file, frames);
    bytes += waiting;
    frames = [];
    waiting = 0;
    if (bytes - synced < SYNC_BYTES) return;
    await file.datasync();
    synced = bytes;
  };
  for (const record of records) {
    const frame = framed(record);
    frames.push(frame);
    waiting += frame.length;
    // eslint-disable-next-line no-await-in-loop -- one after the other
    if (waiting >= CHUNK_BYTES) await write();
  }
  await write();
  await file.datasync();
  return bytes;
}
