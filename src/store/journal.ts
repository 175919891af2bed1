// An append-only file of checked records: what was acknowledged is there after a crash, up to the last whole record.
// J1. Records of one turn of the event loop are one write and one fdatasync; those of the time until that is over, the next.
// J2. Once a write or a sync failed nobody knows what the disk holds: nothing more is taken until the file is opened anew.
// J3. A rewrite goes beside the file and takes its place by one rename, with everything that was written meanwhile. It is on
//     the disk before that, so that whoever appends waits only for the sync of what came meanwhile.
import { type FileHandle, mkdir, open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { BeamlineError } from '../core/errors.ts';
import { atTurnEnd } from '../core/turn.ts';
import type { Log } from '../telemetry/log.ts';
import type { Counter, Gauge } from '../telemetry/metrics.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import { lockFolder } from './folder-lock.ts';
import { recover, syncFolder, writeAll, writeFully } from './journal-file.ts';
import { framed } from './journal-frame.ts';

const FILE = 'journal';
const NEW_FILE = `${FILE}.new`;

export interface JournalOptions {
  /** Made if it is not there; held by one process at a time. */
  readonly folder: string;
  /** Above it records are refused; a rewrite needs as much again while it runs. */
  readonly bytesMax: number;
  readonly telemetry: Telemetry;
  /** Gets what a process before this one left, in order. */
  readonly onRecord: (record: string) => void;
}

export interface Journal extends AsyncDisposable {
  /** Of the file, with what is on its way into it. */
  readonly bytes: number;
  /**
   * Resolves when the record is on the disk; rejects as `unavailable` when that is not sure. Throws at once, and takes
   * nothing: `unavailable` for a full or failed journal, `payload_too_large`.
   */
  append(record: string): Promise<void>;
  /** For what a crash of the machine may lose; one of the process alone rarely does. A record that finds no room is dropped and counted. */
  appendUnsynced(record: string): void;
  /** Resolves when the record is in the file, though perhaps not on the disk: a crash of the process alone loses nothing. Throws as `append`. */
  appendWritten(record: string): Promise<void>;
  /** Resolves when all that was appended so far is on the disk. */
  synced(): Promise<void>;
  /** Resolves when all that is in the file now is on the disk; what is appended meanwhile does not wait for it. */
  syncWritten(): Promise<void>;
  /** Puts these records in the place of all that were appended before the call. `records` is called at once, and read while the work goes on. */
  rewrite(records: () => Iterable<string>): Promise<void>;
  /** Writes and syncs what was appended, then lets the folder go. */
  close(): Promise<void>;
}

/** What is written together. */
interface Batch {
  readonly frames: Buffer[];
  bytes: number;
  isSynced: boolean;
  readonly done: PromiseWithResolvers<void>;
}

/** Throws `unavailable` for a folder that another process holds, `internal` for a file that is no journal. */
export async function openJournal({ folder, bytesMax, telemetry, onRecord }: JournalOptions): Promise<Journal> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  using opening = new DisposableStack();
  opening.use(lockFolder(folder));
  const path = join(folder, FILE);
  await rm(join(folder, NEW_FILE), { force: true });
  const file = await open(path, 'a+', 0o600);
  try {
    const { bytes, cut } = await recover(file, onRecord);
    const journal = new FileJournal({ folder, file, bytes, bytesMax, telemetry, lock: opening.move() });
    journal.reportCut(cut);
    await syncFolder(folder);
    return journal;
  } catch (fault) {
    await file.close();
    throw fault;
  }
}

interface Opened extends Omit<JournalOptions, 'onRecord'> {
  readonly file: FileHandle;
  readonly bytes: number;
  readonly lock: Disposable;
}

class FileJournal implements Journal {
  readonly #folder: string;
  readonly #bytesMax: number;
  readonly #lock: Disposable;
  readonly #log: Log;
  readonly #gauge: Gauge;
  readonly #cut: Counter;
  readonly #dropped: Counter;
  readonly #rewrites: Counter;
  #file: FileHandle;
  #bytes: number;
  #next: Batch | undefined;
  #isFlushing = false;
  #fault: BeamlineError | undefined;
  /** What was written since a rewrite began. */
  #meanwhile: Buffer[] | undefined;
  #rewriting: Promise<void> | undefined;
  #closing: Promise<void> | undefined;
  /** The last step of a rewrite, between two batches. */
  #swap: (() => Promise<void>) | undefined;

  constructor({ folder, file, bytes, bytesMax, telemetry: { log, metrics }, lock }: Opened) {
    this.#folder = folder;
    this.#file = file;
    this.#bytes = bytes;
    this.#bytesMax = bytesMax;
    this.#lock = lock;
    this.#log = log.for('journal');
    this.#gauge = metrics.gauge({ name: 'journal_bytes', help: 'Bytes of the journal' }).of();
    this.#gauge.set(bytes);
    const cut = { name: 'journal_cut_bytes_total', help: 'Bytes after the last whole record that were cut at start' };
    this.#cut = metrics.counter(cut).of();
    const dropped = { name: 'journal_dropped_total', help: 'Records without promise that found no room' };
    this.#dropped = metrics.counter(dropped).of();
    const rewrites = {
      name: 'journal_rewrites_total',
      help: 'Times that the journal was written anew without what is over',
    };
    this.#rewrites = metrics.counter(rewrites).of();
  }

  get bytes(): number {
    return this.#bytes;
  }

  reportCut(bytes: number): void {
    if (bytes === 0) return;
    this.#cut.add(bytes);
    this.#log.warn('journal_tail_cut', { count: bytes, source: this.#folder });
  }

  append(record: string): Promise<void> {
    const batch = this.#take(record);
    batch.isSynced = true;
    return batch.done.promise;
  }

  appendUnsynced(record: string): void {
    try {
      this.#take(record);
    } catch {
      this.#dropped.add();
    }
  }

  appendWritten(record: string): Promise<void> {
    return this.#take(record).done.promise;
  }

  async syncWritten(): Promise<void> {
    if (this.#fault !== undefined) throw this.#fault;
    try {
      await this.#file.datasync();
    } catch (cause) {
      this.#fault ??= failed(cause);
      throw this.#fault;
    }
  }

  synced(): Promise<void> {
    if (this.#fault !== undefined) return Promise.reject(this.#fault);
    const batch = this.#batch();
    batch.isSynced = true;
    return batch.done.promise;
  }

  rewrite(records: () => Iterable<string>): Promise<void> {
    this.#rewriting ??= this.#rewriteNow(records)
      .catch((cause: unknown) => {
        // The file is as good as before, but for what failed of itself.
        this.#log.error('journal_rewrite_failed', { source: this.#folder, fault: cause });
        throw this.#fault ?? failed(cause);
      })
      .finally(() => {
        this.#rewriting = undefined;
        this.#meanwhile = undefined;
      });
    return this.#rewriting;
  }

  close(): Promise<void> {
    this.#closing ??= this.#closeNow();
    return this.#closing;
  }

  async #closeNow(): Promise<void> {
    await this.#rewriting?.catch(() => undefined);
    if (this.#fault === undefined) await this.synced().catch(() => undefined);
    this.#fault ??= new BeamlineError('unavailable', 'the journal is closed', { details: { reason: 'closed' } });
    await this.#file.close();
    this.#lock[Symbol.dispose]();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #take(record: string): Batch {
    if (this.#fault !== undefined) throw this.#fault;
    const frame = framed(record);
    if (this.#bytes + frame.length > this.#bytesMax) {
      throw new BeamlineError('unavailable', 'the journal is full', { details: { reason: 'journal_full' } });
    }
    const batch = this.#batch();
    batch.frames.push(frame);
    batch.bytes += frame.length;
    this.#bytes += frame.length;
    return batch;
  }

  /** The one that is written next. */
  #batch(): Batch {
    this.#next ??= openBatch();
    this.#schedule();
    return this.#next;
  }

  #schedule(): void {
    if (this.#isFlushing) return;
    this.#isFlushing = true;
    atTurnEnd(() => void this.#flush());
  }

  async #flush(): Promise<void> {
    while (this.#next !== undefined || this.#swap !== undefined) {
      const swap = this.#swap;
      this.#swap = undefined;
      // eslint-disable-next-line no-await-in-loop -- one write after the other
      if (swap !== undefined) await swap();
      const batch = this.#next;
      this.#next = undefined;
      // eslint-disable-next-line no-await-in-loop -- as above
      if (batch !== undefined) await this.#write(batch);
    }
    this.#isFlushing = false;
    this.#gauge.set(this.#bytes);
  }

  async #write({ frames, isSynced, done }: Batch): Promise<void> {
    try {
      if (this.#fault !== undefined) throw this.#fault;
      if (frames.length > 0) await writeFully(this.#file, frames);
      if (isSynced) await this.#file.datasync();
      this.#meanwhile?.push(...frames);
      done.resolve();
    } catch (cause) {
      if (this.#fault === undefined) this.#log.error('journal_failed', { source: this.#folder, fault: cause });
      this.#fault ??= failed(cause);
      done.reject(this.#fault);
    }
  }

  async #rewriteNow(records: () => Iterable<string>): Promise<void> {
    this.#meanwhile = [];
    const iterable = records();
    const file = await open(join(this.#folder, NEW_FILE), 'w+', 0o600);
    try {
      const bytes = await writeAll(file, iterable);
      await this.#betweenBatches(() => this.#takePlace(file, bytes));
    } catch (fault) {
      if (this.#file !== file) await file.close();
      throw fault;
    }
    this.#rewrites.add();
  }

  async #takePlace(file: FileHandle, bytes: number): Promise<void> {
    const since = this.#meanwhile ?? [];
    if (since.length > 0) await writeFully(file, since);
    await file.sync();
    await rename(join(this.#folder, NEW_FILE), join(this.#folder, FILE));
    const old = this.#file;
    this.#file = file;
    this.#bytes = since.reduce((sum, frame) => sum + frame.length, bytes) + (this.#next?.bytes ?? 0);
    try {
      await old.close();
      await syncFolder(this.#folder);
    } catch (cause) {
      // The name may point at the old file after a crash: what is written from now on would be lost.
      this.#fault ??= failed(cause);
      throw cause;
    }
  }

  #betweenBatches(work: () => Promise<void>): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#swap = () => (this.#fault === undefined ? work() : Promise.reject(this.#fault)).then(resolve, reject);
      this.#schedule();
    });
  }
}

function openBatch(): Batch {
  const done = Promise.withResolvers<void>();
  // Nobody waits for records without a promise.
  done.promise.catch(() => undefined);
  return { frames: [], bytes: 0, isSynced: false, done };
}

const failed = (cause: unknown): BeamlineError =>
  new BeamlineError('unavailable', 'the journal could not be written', {
    cause,
    details: { reason: 'journal_failed' },
  });
