// How much each tenant has stored: counted from its folder now and then, and in between by what is written here. Several
// processes on one folder see each other's writes at the next count, so together they can pass a limit by what each of
// them writes in that time.
import type { Dirent } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../core/clock.ts';
import { BeamlineError } from '../core/errors.ts';
import { Recent } from '../core/recent.ts';

/** What a file costs at least, so that a limit on bytes is one on files too. */
const FILE_BYTES = 4_096;
const RECOUNT_MS = 300_000;
/** Before a refusal the count is made anew when it is older than this. */
const DOUBT_MS = 1_000;
const TENANTS_MAX = 10_000;

interface Count {
  bytes: number;
  readonly atMs: number;
}

export class BlobQuota {
  readonly #max: number;
  readonly #clock: Clock;
  readonly #counts = new Recent<Promise<Count>>(TENANTS_MAX);

  constructor(bytesMax: number, clock: Clock) {
    this.#max = bytesMax;
    this.#clock = clock;
  }

  /** Takes room for one file in the folder, or throws `quota_exceeded`; what it resolves with gives the room back. */
  async take(folder: string, bytes: number): Promise<() => void> {
    const needed = Math.max(FILE_BYTES, bytes);
    let count = await this.#count(folder, RECOUNT_MS);
    if (count.bytes + needed > this.#max) count = await this.#count(folder, DOUBT_MS);
    if (count.bytes + needed > this.#max) throw new BeamlineError('quota_exceeded', 'the tenant has stored too much');
    count.bytes += needed;
    return () => {
      count.bytes -= needed;
    };
  }

  /** The folder is counted again at the next write. */
  forget(folder: string): void {
    this.#counts.delete(folder);
  }

  async #count(folder: string, ageMs: number): Promise<Count> {
    const known = await this.#counts.get(folder);
    const nowMs = this.#clock.nowMs();
    if (known !== undefined && nowMs - known.atMs <= ageMs) return known;
    const counting = countIn(folder).then((bytes): Count => ({ bytes, atMs: nowMs }));
    this.#counts.set(folder, counting);
    return counting;
  }
}

async function countIn(folder: string): Promise<number> {
  let bytes = 0;
  for (const entry of await entriesOf(folder)) {
    const path = join(folder, entry.name);
    // eslint-disable-next-line no-await-in-loop -- one after the other, beside other work
    if (entry.isDirectory()) bytes += await countIn(path);
    // eslint-disable-next-line no-await-in-loop -- as above
    else if (entry.name !== 'head') bytes += Math.max(FILE_BYTES, await sizeOf(path));
  }
  return bytes;
}

const entriesOf = (folder: string): Promise<Dirent[]> => readdir(folder, { withFileTypes: true }).catch(() => []);

const sizeOf = (path: string): Promise<number> =>
  stat(path).then(
    ({ size }) => size,
    () => 0,
  );
