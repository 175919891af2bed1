// What this process wrote into a bucket a moment ago, so that it can be written again: a single server of 2.9 that is
// killed may show an older entry of a key than the one that it confirmed, or none.
// W1. Written again only over what our own write replaced: a newer word of somebody else stays.
// W2. What was deleted or erased here is forgotten, and what bears the mark of a deletion is left alone.
import type { Clock } from '../core/clock.ts';
import { BeamlineError } from '../core/errors.ts';

const AGE_MAX_MS = 60_000;
/** Characters of all that is kept; the oldest go first. */
const CHARS_MAX = 16_777_216;
/** Revisions of one key that are known to be older than our last. */
const REPLACED_MAX = 8;
const PARALLEL = 32;

interface Write {
  readonly value: string;
  readonly atMs: number;
  readonly revision: number;
  /** What stood there before, newest last; 0 for nothing. */
  readonly replaced: readonly number[];
}

export interface Repairable {
  /** Undefined for what is not there; throws what the bus throws. */
  find(key: string): Promise<{ readonly revision: number; readonly deleted: boolean } | undefined>;
  update(key: string, value: string, revision: number): Promise<number>;
}

export class RecentWrites {
  readonly #clock: Clock;
  /** Oldest first. */
  readonly #writes = new Map<string, Write>();
  #chars = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#writes.size;
  }

  /** `over` is the revision under which it was written; absent for one that was written over whatever stood there. */
  add(key: string, value: string, revision: number, over?: number): void {
    const before = this.#writes.get(key);
    this.forget(key);
    const known = over ?? before?.revision;
    // Others may take away what was written over nobody knows what.
    if (known === undefined) return;
    const replaced = [...(before?.replaced ?? []).slice(1 - REPLACED_MAX), known];
    this.#writes.set(key, { value, atMs: this.#clock.nowMs(), revision, replaced });
    this.#chars += key.length + value.length;
    this.#tidy();
  }

  forget(key: string): void {
    const write = this.#writes.get(key);
    if (write === undefined) return;
    this.#writes.delete(key);
    this.#chars -= key.length + write.value.length;
  }

  /** Writes again what is missing; how many. Throws what the bucket throws, and may be repeated. */
  async repair(bucket: Repairable): Promise<number> {
    this.#tidy();
    const keys = [...this.#writes.keys()].values();
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

  async #repaired(key: string, bucket: Repairable): Promise<boolean> {
    const seen = this.#writes.get(key);
    if (seen === undefined) return false;
    const found = await bucket.find(key);
    const write = this.#writes.get(key);
    // Written or erased meanwhile.
    if (write !== seen || found?.deleted === true) return false;
    const revision = found?.revision ?? 0;
    if (revision === write.revision || !write.replaced.includes(revision)) return false;
    try {
      this.add(key, write.value, await bucket.update(key, write.value, revision), revision);
      return true;
    } catch (thrown) {
      if (BeamlineError.from(thrown).code !== 'precondition_failed') throw thrown;
      return false;
    }
  }

  #tidy(): void {
    const oldMs = this.#clock.nowMs() - AGE_MAX_MS;
    for (const [key, { atMs }] of this.#writes) {
      if (this.#chars <= CHARS_MAX && atMs > oldMs) return;
      this.forget(key);
    }
  }
}
