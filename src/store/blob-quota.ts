// How much each tenant has stored: counted in the store now and then, and in between by what is written here. Several
// processes on one store see each other's writes at the next count, so together they can pass a limit by what each of
// them writes in that time.
import type { Dirent } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../core/clock.ts';
import { BeamlineError } from '../core/errors.ts';
import { Recent } from '../core/recent.ts';

/** What an object costs at least, so that a limit on bytes is one on their number too. */
const OBJECT_BYTES = 4_096;
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
  readonly #bytesOf: (place: string) => Promise<number>;
  readonly #counts = new Recent<Promise<Count>>(TENANTS_MAX);

  /** `bytesOf` counts what a place holds: the folder of a tenant, or the tenant itself. */
  constructor(bytesMax: number, clock: Clock, bytesOf: (place: string) => Promise<number>) {
    this.#max = bytesMax;
    this.#clock = clock;
    this.#bytesOf = bytesOf;
  }

  /** Takes room for one object, or throws `quota_exceeded`; what it resolves with gives the room back. */
  async take(place: string, bytes: number): Promise<() => void> {
    const needed = Math.max(OBJECT_BYTES, bytes);
    let count = await this.#count(place, RECOUNT_MS);
    if (count.bytes + needed > this.#max) count = await this.#count(place, DOUBT_MS);
    if (count.bytes + needed > this.#max) throw new BeamlineError('quota_exceeded', 'the tenant has stored too much');
    count.bytes += needed;
    return () => {
      count.bytes -= needed;
    };
  }

  /** The place is counted again at the next write. */
  forget(place: string): void {
    this.#counts.delete(place);
  }

  async #count(place: string, ageMs: number): Promise<Count> {
    const known = await this.#counts.get(place);
    const nowMs = this.#clock.nowMs();
    if (known !== undefined && nowMs - known.atMs <= ageMs) return known;
    const counting = this.#bytesOf(place).then((bytes): Count => ({ bytes, atMs: nowMs }));
    // A count that failed is no count: the next write makes it anew.
    counting.catch(() => this.#counts.delete(place));
    this.#counts.set(place, counting);
    return counting;
  }
}

/** What the objects in a folder and below it weigh. */
export async function bytesIn(folder: string): Promise<number> {
  let bytes = 0;
  for (const entry of await entriesOf(folder)) {
    const path = join(folder, entry.name);
    // eslint-disable-next-line no-await-in-loop -- one after the other, beside other work
    if (entry.isDirectory()) bytes += await bytesIn(path);
    // eslint-disable-next-line no-await-in-loop -- as above
    else if (entry.name !== 'head') bytes += Math.max(OBJECT_BYTES, await sizeOf(path));
  }
  return bytes;
}

const entriesOf = (folder: string): Promise<Dirent[]> => readdir(folder, { withFileTypes: true }).catch(() => []);

const sizeOf = (path: string): Promise<number> =>
  stat(path).then(
    ({ size }) => size,
    () => 0,
  );
