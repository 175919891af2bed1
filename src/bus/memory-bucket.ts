// A key-value bucket in memory: one revision counter, compare-and-set, tombstones, expiry by the clock.
// Entries stand in the order of their last write, so what expires is always at the front.
import { BeamlineError } from '../core/errors.ts';
import type { Clock } from '../core/clock.ts';
import type { BucketSpec, KeyPattern } from '../contracts/bucket.ts';
import type { BucketStatus, Entry, KeyNote, KeyValue } from './bus.ts';
import { assertKey, keyMatcher } from './key.ts';
import type { LeftBucket, LeftEntry } from './memory-left.ts';
import type { BucketRecorder } from './memory-recorder.ts';
import { WatchQueue } from './watch-queue.ts';

/** What an entry takes beside its texts. */
const ENTRY_BYTES = 64;

interface Held {
  readonly entry: Entry;
  readonly atMs: number;
  /** The same moment, Unix epoch. */
  readonly epochMs: number;
}

interface Watcher {
  readonly queue: WatchQueue;
  readonly wants: (key: string) => boolean;
}

export class MemoryBucket implements KeyValue {
  readonly #clock: Clock;
  readonly #recorder: BucketRecorder | undefined;
  readonly #held = new Map<string, Held>();
  readonly #watchers = new Set<Watcher>();
  #spec: BucketSpec;
  #revision = 0;
  #bytes = 0;

  /** Without a recorder it ends with the process. */
  constructor(spec: BucketSpec, clock: Clock, recorder?: BucketRecorder) {
    this.#spec = spec;
    this.#clock = clock;
    this.#recorder = recorder;
    const left = recorder?.attach(() => this.#toldAll());
    if (left !== undefined) this.#restore(left);
  }

  set spec(spec: BucketSpec) {
    this.#spec = spec;
  }

  async get(key: string): Promise<Entry | undefined> {
    assertKey(key);
    const entry = this.#current(key);
    return entry?.deleted === false ? entry : undefined;
  }

  async writtenMs(key: string): Promise<number | undefined> {
    return (await this.get(key)) === undefined ? undefined : this.#held.get(key)?.epochMs;
  }

  async put(key: string, value: string): Promise<number> {
    assertKey(key);
    return this.#write(key, value, false);
  }

  putPassing(key: string, value: string): Promise<number> {
    return this.put(key, value);
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
    await this.#write(key, '', true);
  }

  async erase(key: string): Promise<void> {
    assertKey(key);
    const held = this.#held.get(key);
    if (held === undefined) return;
    const kept = this.#recorder?.erased(key);
    this.#drop(key, held);
    await kept;
  }

  async forgetReplaced(key: string): Promise<void> {
    assertKey(key);
  }

  async entries(pattern?: KeyPattern): Promise<readonly Entry[]> {
    return this.#matching(pattern).map(({ entry }) => entry);
  }

  async *scan(pattern?: KeyPattern): AsyncGenerator<Entry, void> {
    for (const { entry } of this.#matching(pattern)) yield entry;
  }

  async *keys(pattern?: KeyPattern): AsyncGenerator<KeyNote, void> {
    for (const { entry, epochMs } of this.#matching(pattern)) {
      yield { key: entry.key, revision: entry.revision, writtenAtMs: epochMs };
    }
  }

  async status(): Promise<BucketStatus> {
    this.#dropExpired();
    return { revision: this.#revision, bytes: this.#bytes, bytesMax: this.#spec.bytesMax };
  }

  async *watch(signal: AbortSignal, pattern?: KeyPattern, after = 0): AsyncGenerator<Entry, void> {
    const watcher: Watcher = { queue: new WatchQueue(), wants: keyMatcher(pattern) };
    this.#dropExpired();
    for (const { entry } of this.#held.values()) {
      if (entry.revision > after && watcher.wants(entry.key)) watcher.queue.push(entry);
    }
    this.#watchers.add(watcher);
    try {
      yield* watcher.queue.read(signal);
    } finally {
      this.#watchers.delete(watcher);
    }
  }

  close(): void {
    for (const { queue } of this.#watchers) queue.end();
  }

  #matching(pattern: KeyPattern | undefined): readonly Held[] {
    this.#dropExpired();
    const wants = keyMatcher(pattern);
    return [...this.#held.values()].filter(({ entry }) => !entry.deleted && wants(entry.key));
  }

  #current(key: string): Entry | undefined {
    this.#dropExpired();
    return this.#held.get(key)?.entry;
  }

  /** With a journal a promise, which rejects when it is not sure that the entry is kept. */
  #write(key: string, value: string, deleted: boolean): number | Promise<number> {
    this.#dropExpired();
    const bytes = sizeOf(key, value);
    const before = this.#held.get(key);
    const freed = before === undefined ? 0 : sizeOf(key, before.entry.value);
    if (this.#bytes - freed + bytes > this.#spec.bytesMax) {
      throw new BeamlineError('unavailable', `the bucket ${this.#spec.name} is full`, {
        details: { reason: 'stream_full' },
      });
    }
    const revision = this.#revision + 1;
    const entry: Entry = { key, value, revision, deleted };
    const kept = this.#recorder?.wrote({ ...entry, epochMs: this.#clock.epochMs() });
    this.#revision = revision;
    this.#bytes += bytes - freed;
    this.#held.delete(key);
    this.#held.set(key, { entry, atMs: this.#clock.nowMs(), epochMs: this.#clock.epochMs() });
    for (const { queue, wants } of this.#watchers) if (wants(key)) queue.push(entry);
    return kept === undefined ? revision : kept.then(() => revision);
  }

  /** What is held now; the entries are never changed. */
  #toldAll(): Iterable<LeftEntry> {
    const held = [...this.#held.values()];
    return (function* () {
      for (const { entry, epochMs } of held) yield { ...entry, epochMs };
    })();
  }

  #restore({ revision, entries }: LeftBucket): void {
    this.#revision = revision;
    const startMs = this.#clock.nowMs() - this.#clock.epochMs();
    for (const { epochMs, ...entry } of entries.values()) {
      this.#held.set(entry.key, { entry, atMs: Math.min(this.#clock.nowMs(), startMs + epochMs), epochMs });
      this.#bytes += sizeOf(entry.key, entry.value);
    }
  }

  #dropExpired(): void {
    const { ttlMs } = this.#spec;
    if (ttlMs === undefined) return;
    const sinceMs = this.#clock.nowMs() - ttlMs;
    for (const [key, held] of this.#held) {
      if (held.atMs > sinceMs) return;
      this.#drop(key, held);
    }
  }

  #drop(key: string, { entry }: Held): void {
    this.#held.delete(key);
    this.#bytes -= sizeOf(key, entry.value);
  }
}

const sizeOf = (key: string, value: string): number => key.length + value.length + ENTRY_BYTES;
