// A key-value bucket in memory: one revision counter, compare-and-set, tombstones, expiry by the clock.
// Entries stand in the order of their last write, so what expires is always at the front.
import { BeamlineError } from '../core/errors.ts';
import type { Clock } from '../core/clock.ts';
import type { BucketSpec } from '../contracts/bucket.ts';
import type { Entry, KeyValue } from './bus.ts';
import { assertKey } from './key.ts';
import { WatchQueue } from './watch-queue.ts';

/** What an entry takes beside its texts. */
const ENTRY_BYTES = 64;

interface Held {
  readonly entry: Entry;
  readonly atMs: number;
}

export class MemoryBucket implements KeyValue {
  readonly #spec: BucketSpec;
  readonly #clock: Clock;
  readonly #held = new Map<string, Held>();
  readonly #watchers = new Set<WatchQueue>();
  #revision = 0;
  #bytes = 0;

  constructor(spec: BucketSpec, clock: Clock) {
    this.#spec = spec;
    this.#clock = clock;
  }

  async get(key: string): Promise<Entry | undefined> {
    assertKey(key);
    const entry = this.#current(key);
    return entry?.deleted === false ? entry : undefined;
  }

  async put(key: string, value: string): Promise<number> {
    assertKey(key);
    return this.#write(key, value, false);
  }

  async update(key: string, value: string, revision: number): Promise<number> {
    assertKey(key);
    const entry = this.#current(key);
    const isExpected = revision === 0 ? entry?.deleted !== false : entry?.revision === revision;
    if (!isExpected) throw new BeamlineError('precondition_failed', 'the entry has another revision');
    return this.#write(key, value, false);
  }

  async delete(key: string): Promise<void> {
    assertKey(key);
    this.#write(key, '', true);
  }

  async entries(): Promise<readonly Entry[]> {
    this.#dropExpired();
    return Array.from(this.#held.values(), ({ entry }) => entry).filter(({ deleted }) => !deleted);
  }

  async *watch(signal: AbortSignal): AsyncGenerator<Entry, void> {
    const queue = new WatchQueue();
    this.#dropExpired();
    for (const { entry } of this.#held.values()) queue.push(entry);
    this.#watchers.add(queue);
    try {
      yield* queue.read(signal);
    } finally {
      this.#watchers.delete(queue);
    }
  }

  close(): void {
    for (const watcher of this.#watchers) watcher.end();
  }

  #current(key: string): Entry | undefined {
    this.#dropExpired();
    return this.#held.get(key)?.entry;
  }

  #write(key: string, value: string, deleted: boolean): number {
    this.#dropExpired();
    const bytes = sizeOf(key, value);
    const before = this.#held.get(key);
    const freed = before === undefined ? 0 : sizeOf(key, before.entry.value);
    if (this.#bytes - freed + bytes > this.#spec.bytesMax) {
      throw new BeamlineError('unavailable', `the bucket ${this.#spec.name} is full`, {
        details: { reason: 'stream_full' },
      });
    }
    this.#bytes += bytes - freed;
    const entry: Entry = { key, value, revision: ++this.#revision, deleted };
    this.#held.delete(key);
    this.#held.set(key, { entry, atMs: this.#clock.nowMs() });
    for (const watcher of this.#watchers) watcher.push(entry);
    return entry.revision;
  }

  #dropExpired(): void {
    const { ttlMs } = this.#spec;
    if (ttlMs === undefined) return;
    const sinceMs = this.#clock.nowMs() - ttlMs;
    for (const [key, { entry, atMs }] of this.#held) {
      if (atMs > sinceMs) return;
      this.#held.delete(key);
      this.#bytes -= sizeOf(key, entry.value);
    }
  }
}

const sizeOf = (key: string, value: string): number => key.length + value.length + ENTRY_BYTES;
