// The write-ahead log of a SQLite file, made to last beside the event loop, which SQLite would hold while the disk works.
// L1. What is in the log counts once a sync is over that began afterwards; all that wait for the next one share it.
// L2. Once a sync failed nobody knows what the disk holds: every later one fails, until the file is opened anew.
import { type FileHandle, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { BeamlineError } from '../core/errors.ts';
import { syncFolder } from './journal-file.ts';

/** What makes a file last; another one in tests. */
export type DataSync = (file: FileHandle) => Promise<void>;

const dataSync: DataSync = (file) => file.datasync();

export class SqliteLog implements AsyncDisposable {
  readonly #path: string;
  readonly #dataSync: DataSync;
  #file: FileHandle | undefined;
  #fault: BeamlineError | undefined;
  #running: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  /** `path` is that of the database, without links. */
  constructor(path: string, sync: DataSync = dataSync) {
    this.#path = path;
    this.#dataSync = sync;
  }

  /** Resolves when all that is in the log now is on the disk; rejects as `unavailable` when that is not sure. */
  synced(): Promise<void> {
    if (this.#running === undefined) return this.#begin();
    this.#next ??= this.#running.then(
      () => this.#begin(),
      () => this.#begin(),
    );
    return this.#next;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await (this.#next ?? this.#running)?.catch(() => undefined);
    await this.#file?.close();
  }

  #begin(): Promise<void> {
    this.#next = undefined;
    this.#running = this.#sync().finally(() => {
      if (this.#next === undefined) this.#running = undefined;
    });
    return this.#running;
  }

  async #sync(): Promise<void> {
    if (this.#fault !== undefined) throw this.#fault;
    this.#file ??= await openLog(this.#path).catch((cause: unknown) => {
      throw failed(cause);
    });
    try {
      await this.#dataSync(this.#file);
    } catch (cause) {
      this.#fault ??= failed(cause);
      throw this.#fault;
    }
  }
}

const failed = (cause: unknown): BeamlineError =>
  new BeamlineError('unavailable', 'the database could not be made to last', {
    cause,
    details: { reason: 'sqlite_sync' },
  });

/** The name of a new log must last as well. */
async function openLog(path: string): Promise<FileHandle> {
  const file = await open(`${path}-wal`, 'r');
  try {
    await syncFolder(dirname(path));
    return file;
  } catch (fault) {
    await file.close();
    throw fault;
  }
}
