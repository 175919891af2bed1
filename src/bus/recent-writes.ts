// What this process wrote into a bucket a moment ago, so that it can be written again: a single server of 2.9 that is
// killed may show an older entry of a key than the one that it confirmed, or none. Often it has the entry all the same and
// its index does not; then two of one key would stand there, and the server would show the older one for ever and drop
// each that follows, which it confirms.
// W1. Written again only in place of nothing or of what it supersedes, which does not depend on who looks first.
// W2. What was deleted or erased here is forgotten, what bears the mark of a deletion is left alone, and so is what was
//     only put, unless to be erased soon: whoever finds such an entry after its time erases it.
// W3. What is written again is dropped by its number first; where an older one is shown afterwards all the same, both are.
// W4. That is looked for with each new connection, and in each entry that is read meanwhile.
import type { BucketSpec } from '../contracts/bucket.ts';
import type { Clock } from '../core/clock.ts';
import { BeamlineError } from '../core/errors.ts';

const AGE_MAX_MS = 60_000;
/** Characters of all that is kept; the oldest go first. */
const CHARS_MAX = 16_777_216;
const PARALLEL = 32;
/** One of a key that nobody knows of may come to light under each that goes. */
const MENDS_MAX = 3;

interface Write {
  readonly value: string;
  readonly revision: number;
  readonly atMs: number;
}

interface Standing {
  readonly revision: number;
  readonly value: string;
  readonly deleted: boolean;
}

export interface Repairable {
  /** Undefined for what is not there; throws what the bus throws. */
  find(key: string): Promise<Standing | undefined>;
  update(key: string, value: string, revision: number): Promise<number>;
  /** Removes what has the number, if it is the key's. */
  drop(key: string, revision: number): Promise<void>;
}

export class RecentWrites {
  readonly #clock: Clock;
  readonly #supersedes: NonNullable<BucketSpec['supersedes']>;
  /** Oldest first. */
  readonly #writes = new Map<string, Write>();
  #chars = 0;

  constructor(clock: Clock, supersedes: NonNullable<BucketSpec['supersedes']>) {
    this.#clock = clock;
    this.#supersedes = supersedes;
  }

  get size(): number {
    return this.#writes.size;
  }

  /** `isPut`: it was written over whatever stood there. */
  add(key: string, value: string, revision: number, isPut: boolean): void {
    const isKnown = this.#writes.has(key);
    this.forget(key);
    if (isPut && !isKnown) return;
    this.#writes.set(key, { value, revision, atMs: this.#clock.nowMs() });
    this.#chars += key.length + value.length;
    this.#tidy();
  }

  forget(key: string): void {
    const write = this.#writes.get(key);
    if (write === undefined) return;
    this.#writes.delete(key);
    this.#chars -= key.length + write.value.length;
  }

  /** Writes again what is missing, the newest first; how many. Throws what the bucket throws, and may be repeated. */
  async repair(bucket: Repairable): Promise<number> {
    this.#tidy();
    const keys = [...this.#writes.keys()].reverse().values();
    let count = 0;
    const one = async (): Promise<void> => {
      for (const key of keys) {
        // eslint-disable-next-line no-await-in-loop -- each takes the next one
        if (await this.#repaired(key, bucket)) count++;
      }
    };
    await Promise.all(Array.from({ length: PARALLEL }, one));
    return count;
  }

  /** Whether the server shows less of a key than it confirmed to this process. */
  isBehind(key: string, shown: Pick<Standing, 'revision' | 'value'>): boolean {
    const write = this.#writes.get(key);
    return write !== undefined && shown.revision < write.revision && this.#supersedes(write.value, shown.value);
  }

  /** Writes one again, where it is missing. Throws what the bucket throws. */
  async mend(key: string, bucket: Repairable): Promise<void> {
    for (let tries = 0; tries < MENDS_MAX; tries++) {
      // eslint-disable-next-line no-await-in-loop -- one after the other
      if (await this.#repaired(key, bucket)) return;
      // eslint-disable-next-line no-await-in-loop -- as above
      const shown = await bucket.find(key);
      if (shown === undefined || shown.deleted || !this.isBehind(key, shown)) return;
    }
  }

  async #repaired(key: string, bucket: Repairable): Promise<boolean> {
    const seen = this.#writes.get(key);
    if (seen === undefined) return false;
    const found = await bucket.find(key);
    // Written or erased meanwhile.
    if (this.#writes.get(key) !== seen || !this.#isMissing(seen, found)) return false;
    try {
      const revision = await writtenAgain(bucket, key, { ...seen, over: found?.revision ?? 0 });
      if (this.#writes.get(key) === seen) this.add(key, seen.value, revision, false);
      return true;
    } catch (thrown) {
      if (BeamlineError.from(thrown).code !== 'precondition_failed') throw thrown;
      return false;
    }
  }

  #isMissing({ value, revision }: Write, found: Standing | undefined): boolean {
    if (found === undefined) return true;
    return !found.deleted && found.revision !== revision && this.#supersedes(value, found.value);
  }

  #tidy(): void {
    const oldMs = this.#clock.nowMs() - AGE_MAX_MS;
    for (const [key, { atMs }] of this.#writes) {
      if (this.#chars <= CHARS_MAX && atMs > oldMs) return;
      this.forget(key);
    }
  }
}

async function writtenAgain(
  bucket: Repairable,
  key: string,
  { value, revision, over }: { readonly value: string; readonly revision: number; readonly over: number },
): Promise<number> {
  await bucket.drop(key, revision);
  const written = await bucket.update(key, value, over);
  const shown = await bucket.find(key);
  // A later one is somebody else's, and what is gone again was taken away.
  if (shown === undefined || shown.revision >= written) return written;
  await bucket.drop(key, shown.revision);
  await bucket.drop(key, written);
  return bucket.update(key, value, 0);
}
