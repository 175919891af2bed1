// What a stream or a bucket in memory tells the journal, and how it is told as a whole when the journal is written anew.
import { DUPLICATE_WINDOW_MS } from '../contracts/limits.ts';
import type { Clock } from '../core/clock.ts';
import {
  type BusRecord,
  innerMap,
  type LeftBucket,
  type LeftEntry,
  type LeftMessage,
  type LeftStream,
  type RecentId,
} from './memory-left.ts';

/** The journal as these see it. */
export interface RecordSink {
  readonly clock: Clock;
  /** Resolves when the record is kept; throws `unavailable` at once where there is no room. */
  write(record: BusRecord): Promise<void>;
  /** For what may be lost: what follows from it is done again. */
  note(record: BusRecord): void;
  synced(): Promise<void>;
}

const IDS_MAX = 4_000;
const SEQS_PER_RECORD = 1_000;

/** A message that a stream holds, when it is asked for all. */
export type Told = Omit<LeftMessage, 'bytes'>;

export class StreamRecorder {
  readonly #subject: string;
  readonly #sink: RecordSink;
  /** Newest last. */
  #ids: RecentId[];
  readonly #done: Map<string, Set<number>>;
  /** Of what is not done. */
  readonly #deliveries: Map<string, Map<number, number>>;
  /** What the process before left; undefined once it was taken. */
  #left: LeftStream | undefined;
  #seq = 0;
  #all: () => Iterable<Told> = () => [];

  constructor(subject: string, sink: RecordSink, left: LeftStream | undefined) {
    this.#subject = subject;
    this.#sink = sink;
    this.#left = left;
    this.#seq = left?.seq ?? 0;
    this.#ids = left === undefined ? [] : [...left.ids.values()];
    this.#done = left?.done ?? new Map<string, Set<number>>();
    this.#deliveries = left?.deliveries ?? new Map<string, Map<number, number>>();
  }

  /** Gives what is left, once; `all` gives what the stream holds from then on, without those that go meanwhile. */
  attach(all: () => Iterable<Told>): LeftStream | undefined {
    const left = this.#left;
    this.#left = undefined;
    this.#all = all;
    return left;
  }

  /** Throws at once where there is no room. */
  appended(told: Told): Promise<void> {
    const { seq, epochMs, messageId } = told;
    const kept = this.#sink.write(recordOf(this.#subject, told));
    this.#seq = seq;
    if (messageId !== undefined && this.#ids.push([messageId, seq, epochMs]) > 2 * IDS_MAX)
      this.#ids = this.#ids.slice(-IDS_MAX);
    return kept;
  }

  /** Acknowledged in a work queue: one that is forgotten is delivered again. */
  acknowledged(durable: string, seq: number): void {
    this.#deliveries.get(durable)?.delete(seq);
    this.#sink.note(['r', this.#subject, seq]);
  }

  /** Throws at once where there is no room, as does the next. */
  removed(seq: number): Promise<void> {
    return this.#sink.write(['r', this.#subject, seq]);
  }

  trimmed(belowSeq: number): Promise<void> {
    return this.#sink.write(['t', this.#subject, belowSeq]);
  }

  settled(durable: string, seq: number): void {
    const done = this.#done.get(durable) ?? new Set();
    this.#done.set(durable, done.add(seq));
    this.#deliveries.get(durable)?.delete(seq);
    this.#sink.note(['d', this.#subject, durable, [seq]]);
  }

  delivered(durable: string, seq: number, count: number): void {
    innerMap(this.#deliveries, durable).set(seq, count);
    this.#sink.note(['o', this.#subject, durable, seq, count]);
  }

  /** By the processes before this one, and by this one. */
  deliveries(durable: string, seq: number): number {
    return this.#deliveries.get(durable)?.get(seq) ?? 0;
  }

  isDone(durable: string, seq: number): boolean {
    return this.#done.get(durable)?.has(seq) === true;
  }

  synced(): Promise<void> {
    return this.#sink.synced();
  }

  /** What the next process needs to know; the messages come last, for they go on while this is read. */
  *records(): Generator<BusRecord, void> {
    const sinceMs = this.#sink.clock.epochMs() - DUPLICATE_WINDOW_MS;
    const upTo = this.#seq;
    const held = this.#all();
    yield ['n', this.#subject, upTo];
    yield ['i', this.#subject, this.#ids.filter(([, , epochMs]) => epochMs > sinceMs)];
    const seqs = new Set<number>();
    for (const told of held) {
      seqs.add(told.seq);
      yield recordOf(this.#subject, told);
    }
    const isOver = (seq: number): boolean => seq <= upTo && !seqs.has(seq);
    for (const [durable, done] of this.#done) {
      for (const seq of done) if (isOver(seq)) done.delete(seq);
      const kept = [...done];
      for (let from = 0; from < kept.length; from += SEQS_PER_RECORD)
        yield ['d', this.#subject, durable, kept.slice(from, from + SEQS_PER_RECORD)];
    }
    for (const [durable, counts] of this.#deliveries) {
      for (const [seq, count] of counts) {
        if (isOver(seq)) counts.delete(seq);
        else yield ['o', this.#subject, durable, seq, count];
      }
    }
  }
}

const recordOf = (subject: string, { seq, epochMs, messageId, headers, message }: Told): BusRecord => [
  'a',
  subject,
  seq,
  epochMs,
  messageId ?? null,
  headers,
  message,
];

export class BucketRecorder {
  readonly #name: string;
  readonly #sink: RecordSink;
  #left: LeftBucket | undefined;
  #revision: number;
  #all: () => Iterable<LeftEntry> = () => [];

  constructor(name: string, sink: RecordSink, left: LeftBucket | undefined) {
    this.#name = name;
    this.#sink = sink;
    this.#left = left;
    this.#revision = left?.revision ?? 0;
  }

  attach(all: () => Iterable<LeftEntry>): LeftBucket | undefined {
    const left = this.#left;
    this.#left = undefined;
    this.#all = all;
    return left;
  }

  /** Throws at once where there is no room. */
  wrote(entry: LeftEntry): Promise<void> {
    const kept = this.#sink.write(entryRecord(this.#name, entry));
    this.#revision = entry.revision;
    return kept;
  }

  erased(key: string): Promise<void> {
    return this.#sink.write(['e', this.#name, key]);
  }

  *records(): Generator<BusRecord, void> {
    const held = this.#all();
    yield ['v', this.#name, this.#revision];
    for (const entry of held) yield entryRecord(this.#name, entry);
  }
}

const entryRecord = (name: string, { key, value, revision, epochMs, deleted }: LeftEntry): BusRecord => [
  'p',
  name,
  key,
  value,
  revision,
  epochMs,
  deleted,
];
