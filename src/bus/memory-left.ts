// What a bus in memory writes into its journal, and what is left of it for the next process.
// Each record says how things are, not what was done to them, so one that is read twice changes nothing.

/** A message: subject, number, epoch milliseconds, message id, headers, message. */
type Appended = readonly ['a', string, number, number, string | null, Readonly<Record<string, string>>, unknown];
/** An entry of a bucket: bucket, key, value, revision, epoch milliseconds, whether it is a mark of deletion. */
type Written = readonly ['p', string, string, string, number, number, boolean];
/** A message id, its number, epoch milliseconds. */
export type RecentId = readonly [id: string, seq: number, epochMs: number];

export type BusRecord =
  | Appended
  | Written
  /** Removed: subject, number. */
  | readonly ['r', string, number]
  /** Everything below a number is removed. */
  | readonly ['t', string, number]
  /** A durable consumer is done with these: subject, durable, numbers. */
  | readonly ['d', string, string, readonly number[]]
  /** Deliveries to a durable consumer so far: subject, durable, number, count. */
  | readonly ['o', string, string, number, number]
  /** The highest number that a stream gave. */
  | readonly ['n', string, number]
  /** Message ids whose messages may be gone. */
  | readonly ['i', string, readonly RecentId[]]
  /** Erased: bucket, key. */
  | readonly ['e', string, string]
  /** The highest revision that a bucket gave. */
  | readonly ['v', string, number];

export interface LeftMessage {
  readonly seq: number;
  readonly epochMs: number;
  readonly messageId: string | undefined;
  readonly headers: Readonly<Record<string, string>>;
  readonly message: unknown;
  readonly bytes: number;
}

export interface LeftStream {
  seq: number;
  /** By number, rising. */
  readonly messages: Map<number, LeftMessage>;
  /** What each durable consumer is done with. */
  readonly done: Map<string, Set<number>>;
  /** How often each durable consumer had what it is not done with. */
  readonly deliveries: Map<string, Map<number, number>>;
  readonly ids: Map<string, RecentId>;
}

export interface LeftEntry {
  readonly key: string;
  readonly value: string;
  readonly revision: number;
  readonly epochMs: number;
  readonly deleted: boolean;
}

export interface LeftBucket {
  revision: number;
  /** In the order of their last write. */
  readonly entries: Map<string, LeftEntry>;
}

export class Left {
  readonly streams = new Map<string, LeftStream>();
  readonly buckets = new Map<string, LeftBucket>();

  /** Takes one record of the journal, in the order in which they were written. */
  take(text: string): void {
    const record = JSON.parse(text) as BusRecord;
    switch (record[0]) {
      case 'a':
        return this.#append(record, text.length);
      case 'r':
        return this.#remove(record[1], record[2]);
      case 't':
        return this.#trim(record[1], record[2]);
      case 'd':
        return this.#settle(record[1], record[2], record[3]);
      case 'o':
        return void innerMap(this.#stream(record[1]).deliveries, record[2]).set(record[3], record[4]);
      case 'n':
        return this.#raise(this.#stream(record[1]), record[2]);
      case 'i':
        for (const recent of record[2]) this.#stream(record[1]).ids.set(recent[0], recent);
        return;
      case 'p':
        return this.#write(record);
      case 'e':
        return void this.#bucket(record[1]).entries.delete(record[2]);
      case 'v': {
        const bucket = this.#bucket(record[1]);
        bucket.revision = Math.max(bucket.revision, record[2]);
      }
    }
  }

  #append([, subject, seq, epochMs, messageId, headers, message]: Appended, bytes: number): void {
    const stream = this.#stream(subject);
    stream.messages.set(seq, { seq, epochMs, messageId: messageId ?? undefined, headers, message, bytes });
    if (messageId !== null) stream.ids.set(messageId, [messageId, seq, epochMs]);
    this.#raise(stream, seq);
  }

  #remove(subject: string, seq: number): void {
    const { messages, deliveries } = this.#stream(subject);
    messages.delete(seq);
    for (const counts of deliveries.values()) counts.delete(seq);
  }

  #trim(subject: string, belowSeq: number): void {
    for (const seq of this.#stream(subject).messages.keys()) {
      if (seq >= belowSeq) return;
      this.#remove(subject, seq);
    }
  }

  #settle(subject: string, durable: string, seqs: readonly number[]): void {
    const { done, deliveries } = this.#stream(subject);
    for (const seq of seqs) deliveries.get(durable)?.delete(seq);
    const known = done.get(durable) ?? new Set();
    done.set(durable, known);
    for (const seq of seqs) known.add(seq);
  }

  #write([, name, key, value, revision, epochMs, deleted]: Written): void {
    const bucket = this.#bucket(name);
    bucket.entries.delete(key);
    bucket.entries.set(key, { key, value, revision, epochMs, deleted });
    bucket.revision = Math.max(bucket.revision, revision);
  }

  #raise(stream: LeftStream, seq: number): void {
    stream.seq = Math.max(stream.seq, seq);
  }

  #stream(subject: string): LeftStream {
    let stream = this.streams.get(subject);
    if (stream === undefined) {
      stream = { seq: 0, messages: new Map(), done: new Map(), deliveries: new Map(), ids: new Map() };
      this.streams.set(subject, stream);
    }
    return stream;
  }

  #bucket(name: string): LeftBucket {
    let bucket = this.buckets.get(name);
    if (bucket === undefined) {
      bucket = { revision: 0, entries: new Map() };
      this.buckets.set(name, bucket);
    }
    return bucket;
  }
}

/** The map of a name, made if it is not there. */
export function innerMap<V>(maps: Map<string, Map<number, V>>, name: string): Map<number, V> {
  const map = maps.get(name) ?? new Map<number, V>();
  maps.set(name, map);
  return map;
}
