// Lines that wait on the disk for somebody who takes them: the newest file is written, the oldest is handed out and removed.
// S1. A line is on the disk when `append` has resolved; a line that was cut by a crash is none.
// S2. A file is removed only after each of its lines was taken; lines of one that was not may be handed out again.
import { createReadStream } from 'node:fs';
import { constants, open, readdir, rename, rm, stat, truncate } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join } from 'node:path';
import { createInterface } from 'node:readline';
import { BeamlineError } from '../core/errors.ts';
import { lockFile } from './folder-lock.ts';

export interface SpillFileOptions {
  /** Absolute; the files that are full stand beside it, with a number. */
  readonly path: string;
  /** Of one file. */
  readonly bytesMax: number;
  /** Of all files. */
  readonly totalBytesMax: number;
}

interface Full {
  readonly path: string;
  readonly bytes: number;
}

const MODE = 0o600;
const EVERYBODY_WRITES = 0o002;
const { O_APPEND, O_CREAT, O_WRONLY, O_NOFOLLOW } = constants;

export class SpillFile implements AsyncDisposable {
  readonly #options: SpillFileOptions;
  readonly #lock: Disposable;
  /** The oldest first. */
  readonly #full: Full[];
  #next: number;
  #bytes: number;
  /** Writes come one after the other. */
  #last: Promise<unknown> = Promise.resolve();

  private constructor(options: SpillFileOptions, lock: Disposable, left: Left) {
    this.#options = options;
    this.#lock = lock;
    this.#full = left.full;
    this.#next = left.next;
    this.#bytes = left.bytes;
  }

  /** Throws `validation_failed` for a path that is not to be used, `unavailable` while another process uses it. */
  static async open(options: SpillFileOptions): Promise<SpillFile> {
    const { path, bytesMax, totalBytesMax } = options;
    if (!isAbsolute(path)) throw refused(`${path} is not absolute`);
    if (totalBytesMax < bytesMax) throw refused('all files may not weigh less than one');
    const folder = await stat(dirname(path)).catch(() => undefined);
    if (folder?.isDirectory() !== true) throw refused(`${dirname(path)} is no folder`);
    if ((folder.mode & EVERYBODY_WRITES) !== 0) throw refused(`everybody may write to ${dirname(path)}`);
    const lock = lockFile(`${path}.lock`);
    try {
      return new SpillFile(options, lock, await leftAt(path));
    } catch (fault) {
      lock[Symbol.dispose]();
      throw fault;
    }
  }

  get bytes(): number {
    return this.#full.reduce((sum, { bytes }) => sum + bytes, this.#bytes);
  }

  /** Throws `unavailable` when all files together are full, and what the system says. `line` has no line break. */
  append(line: string): Promise<void> {
    return this.#turn(async () => {
      const data = new TextEncoder().encode(`${line}\n`);
      const { bytesMax, totalBytesMax } = this.#options;
      if (this.bytes + data.length > totalBytesMax) {
        throw new BeamlineError('unavailable', 'the files of what waits are full', {
          details: { reason: 'spill_full' },
        });
      }
      if (this.#bytes > 0 && this.#bytes + data.length > bytesMax) await this.#rotate();
      await this.#write(data);
    });
  }

  /** Hands out every line, the oldest first. Throws what `take` throws, and hands out no more. */
  async drain(take: (line: string) => Promise<void>): Promise<void> {
    await this.#turn(async () => (this.#bytes > 0 ? this.#rotate() : undefined));
    for (let file = this.#full[0]; file !== undefined; file = this.#full[0]) {
      // eslint-disable-next-line no-await-in-loop -- one line after the other
      for await (const line of createInterface({ input: createReadStream(file.path) }))
        if (line !== '') await take(line);
      // eslint-disable-next-line no-await-in-loop -- as above
      await rm(file.path);
      this.#full.shift();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#last;
    this.#lock[Symbol.dispose]();
  }

  #turn<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#last.then(work);
    this.#last = mine.catch(() => undefined);
    return mine;
  }

  async #rotate(): Promise<void> {
    const { path } = this.#options;
    const full = `${path}.${this.#next}`;
    await rename(path, full);
    this.#full.push({ path: full, bytes: this.#bytes });
    this.#next++;
    this.#bytes = 0;
  }

  async #write(data: Uint8Array): Promise<void> {
    const { path } = this.#options;
    const file = await open(path, O_APPEND | O_CREAT | O_WRONLY | O_NOFOLLOW, MODE);
    try {
      await file.appendFile(data);
      await file.datasync();
    } catch (fault) {
      // A part of a line would spoil the next one.
      await truncate(path, this.#bytes).catch(() => undefined);
      throw fault;
    } finally {
      await file.close();
    }
    this.#bytes += data.length;
  }
}

interface Left {
  readonly full: Full[];
  readonly next: number;
  readonly bytes: number;
}

/** What an earlier process left; its newest file counts as full, since its last line may be cut. */
async function leftAt(path: string): Promise<Left> {
  const folder = dirname(path);
  const start = `${basename(path)}.`;
  const numbers = (await readdir(folder))
    .filter((name) => name.startsWith(start) && /^\d{1,9}$/.test(name.slice(start.length)))
    .map((name) => Number(name.slice(start.length)))
    .toSorted((one, other) => one - other);
  let next = (numbers.at(-1) ?? 0) + 1;
  const newest = await stat(path).catch(() => undefined);
  if (newest !== undefined) {
    await rename(path, `${path}.${next}`);
    numbers.push(next++);
  }
  const full = await Promise.all(
    numbers.map(async (number): Promise<Full> => {
      const file = join(folder, `${start}${number}`);
      return { path: file, bytes: (await stat(file)).size };
    }),
  );
  return { full, next, bytes: 0 };
}

const refused = (why: string): BeamlineError =>
  new BeamlineError('validation_failed', `dlq.path cannot be used: ${why}`, { details: { reason: 'configuration' } });
