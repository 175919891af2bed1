// The port through which roles speak. Two implementations, memory and NATS, pass one conformance suite.
// B1. Only declared contracts travel: an invalid message neither leaves nor enters.
// B2. Every wait has an end: a reply, an error code, or the deadline.
// B3. Everything that grows is bounded; what is over the bound is refused or dropped and counted, never queued without end.
import type { BucketSpec, KeyPattern } from '../contracts/bucket.ts';
import type { Address, EventContract, Payload, RequestContract } from '../contracts/contract.ts';
import type { Correlation } from '../contracts/headers.ts';
import type { ConsumerSpec, StreamSpec } from '../contracts/streams.ts';
import type { BeamlineError } from '../core/errors.ts';

export interface RequestOptions {
  readonly timeoutMs: number;
  readonly correlation: Correlation;
  readonly signal?: AbortSignal;
}

/**
 * Whether somebody waits for a message, since each that travels alone wakes a server and a peer.
 * `now`: at the end of this turn of the event loop.
 * `soon`: just before the next `now` message, or a few milliseconds later; it keeps its place in the order.
 * `batched`: for the record; within some ten milliseconds, with others of its kind. Messages of the other two pass it.
 */
export type Urgency = 'now' | 'soon' | 'batched';

/** What a handler may know of a message beside its body. */
export interface Received {
  readonly subject: string;
  /** From the headers; undefined where a v1 sender wrote none. */
  readonly traceId: string | undefined;
  readonly tenantId: string | undefined;
  /** The sender's credential; undefined but for contracts whose header set carries one. */
  readonly authorization: string | undefined;
}

export interface SubscribeOptions {
  /** Members of one queue group share the messages; without it every subscriber gets each. */
  readonly queue?: string;
  /** Unfinished asynchronous handlings; above it an event is dropped and counted, a request refused as `service_overloaded`. */
  readonly pendingMax?: number;
}

export interface ServeOptions<R> extends SubscribeOptions {
  /** `now` if absent. */
  readonly urgencyOf?: (reply: R) => Urgency;
}

export interface AppendOptions {
  /** Deduplicates within the window. */
  readonly messageId: string;
  readonly timeoutMs: number;
  readonly correlation: Correlation;
  /** `now` if absent. */
  readonly urgency?: Urgency;
  /** More headers of the contract's set, for example `x_dlq_reason`; printable ASCII without spaces. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** Draining stops new messages, waits for the handlers that run, and then lets go. */
export interface Subscription extends AsyncDisposable {
  readonly pending: number;
  drain(): Promise<void>;
}

export interface PubAck {
  readonly stream: string;
  readonly seq: number;
  readonly duplicate: boolean;
}

export interface Delivery<M> {
  readonly message: M;
  /** 1 for the first delivery. */
  readonly count: number;
  readonly seq: number;
  /** When the stream took it, Unix epoch. */
  readonly storedAtMs: number;
  ack(): void;
  nak(delayMs: number): void;
  /** Gives the message up: it is never delivered again. */
  term(): void;
  /** Tells the server that work goes on, which starts the ack wait anew. */
  working(): void;
}

/** A message of a stream as it is stored, whether or not it can be read. */
export interface Stored {
  readonly seq: number;
  readonly subject: string;
  readonly storedAtMs: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

/** A delivery that no handler may see: unreadable, or delivered more often than the consumer's limit. */
export interface Undeliverable extends Stored {
  /** 1 for the first delivery. */
  readonly count: number;
  readonly reason: 'unreadable' | 'exhausted';
  /** Why it could not be read; undefined for `exhausted`. */
  readonly fault: BeamlineError | undefined;
}

/** How far a durable consumer is with its stream. */
export interface Progress {
  /** Of the newest message that was stored. */
  readonly lastSeq: number;
  /** Everything up to it is acknowledged or given up; at least `lastSeq` where nothing is left. */
  readonly settledSeq: number;
  /** When the oldest message was stored that is left, Unix epoch; undefined where none is. */
  readonly oldestAtMs: number | undefined;
}

export interface ConsumeFrom<M> {
  readonly stream: StreamSpec;
  readonly consumer: ConsumerSpec;
  readonly message: Payload<M>;
  /**
   * Unacknowledged deliveries that this process takes at a time; at most and by default the consumer's `ackPendingMax`.
   * One whose ack wait passed counts no more.
   */
  readonly pendingMax?: number;
  readonly undeliverable?: (message: Undeliverable) => Promise<void>;
  /**
   * How many of its earlier deliveries do not count, since they were given back before anything began. Asked only of a
   * delivery above the limit; what it throws gives the message back.
   */
  readonly forgiven?: (message: M) => Promise<number>;
}

export interface Entry {
  readonly key: string;
  readonly value: string;
  readonly revision: number;
  readonly deleted: boolean;
}

/** A key that is there, without its value. */
export interface KeyNote {
  readonly key: string;
  readonly revision: number;
  /** By the clock of the store. */
  readonly writtenAtMs: number;
}

export interface BucketStatus {
  /** The highest that was given so far; 0 for a bucket that was never written. */
  readonly revision: number;
  /** What its entries weigh in its store. */
  readonly bytes: number;
  readonly bytesMax: number;
}

/** A bucket of texts. Keys are made of ids by `keyOf`. */
export interface KeyValue {
  /** Undefined for a key that is absent, deleted or expired. */
  get(key: string): Promise<Entry | undefined>;
  /** When the server wrote what `get` gives, by its own clock. */
  writtenMs(key: string): Promise<number | undefined>;
  /** The new revision, which is higher than every earlier one of the bucket. */
  put(key: string, value: string): Promise<number>;
  /** As `put`, of an entry that this process erases soon: then nobody looks for it, and what others wrote there since may stay. */
  putPassing(key: string, value: string): Promise<number>;
  /** Compare-and-set: `revision` 0 means that the key must not exist. Throws `precondition_failed`. */
  update(key: string, value: string, revision: number): Promise<number>;
  /** Leaves a mark, so that watchers hear of it; the mark takes room until the bucket's time to live. */
  delete(key: string): Promise<void>;
  /** Removes a key and its mark, unheard by watchers: for keys that come and go and are only listed. */
  erase(key: string): Promise<void>;
  /** Removes what the entry of a key replaced, where the store keeps that (`history`). */
  forgetReplaced(key: string): Promise<void>;
  /** Everything that is there, whole or not at all: throws `unavailable`, also above 256 Mi characters. A pattern narrows it. */
  entries(pattern?: KeyPattern): Promise<readonly Entry[]>;
  /**
   * The same one after the other, for what may be large: a few at a time are in memory. A key that is written meanwhile
   * may come twice, the newer one later. Throws `unavailable` where it cannot be read to its end.
   */
  scan(pattern?: KeyPattern): AsyncIterable<Entry>;
  /** As `scan`, without the values. */
  keys(pattern?: KeyPattern): AsyncIterable<KeyNote>;
  /**
   * The current entries, then every change, deletions included, until the signal; bounded: a watcher that lags ends with
   * `service_overloaded`. With `after` only what has a higher revision.
   */
  watch(signal: AbortSignal, pattern?: KeyPattern, after?: number): AsyncIterable<Entry>;
  status(): Promise<BucketStatus>;
}

export type BusState = 'connected' | 'reconnecting' | 'closed';

export interface Bus extends AsyncDisposable {
  readonly state: BusState;
  /** Called on every change of `state`. */
  onState(listener: (state: BusState) => void): Disposable;

  /**
   * One reply, or an error: `unavailable` (nobody serves the subject, or the connection was lost), `timeout`,
   * `invalid_reply`, `payload_too_large`, `cancelled` (the signal).
   */
  request<T extends string, Q, R>(
    to: Address<RequestContract<T, Q, R>>,
    message: Q,
    options: RequestOptions,
  ): Promise<R>;
  /** Serves requests; what the handler throws is answered by the contract's `refuse`. */
  serve<T extends string, Q, R>(
    on: Address<RequestContract<T, Q, R>>,
    options: ServeOptions<R>,
    handle: (request: Q, received: Received) => R | Promise<R>,
  ): Subscription;

  /** Sends an event; throws `unavailable` while disconnected or when the outbound bound is reached. Nobody may listen. */
  publish<T extends string, M>(
    to: Address<EventContract<T, M>>,
    message: M,
    correlation?: Correlation,
    urgency?: Urgency,
  ): void;
  subscribe<T extends string, M>(
    on: Address<EventContract<T, M>>,
    options: SubscribeOptions,
    handle: (message: M, received: Received) => void | Promise<void>,
  ): Subscription;

  /**
   * Makes the stream and its settings exist; safe to repeat and to race. A server that is away or not ready gets them
   * with the next connection, and this resolves nevertheless, so that a role can start before its server.
   */
  ensureStream(spec: StreamSpec): Promise<void>;
  /** Stores an event in its stream; resolves when the server has confirmed it. */
  append<T extends string, M>(to: Address<EventContract<T, M>>, message: M, options: AppendOptions): Promise<PubAck>;
  /**
   * Pulls deliveries into the handler, at most `ackPendingMax` unacknowledged; what the handler throws is a nak by the spec's delays.
   * What cannot be delivered goes to `undeliverable`: terminated when that resolves, delivered again when it throws.
   * Without one it is logged, counted and terminated.
   */
  consume<M>(from: ConsumeFrom<M>, handle: (delivery: Delivery<M>) => void | Promise<void>): Promise<Subscription>;

  /**
   * Stored messages in order, from a sequence on; fewer than `limit` where the stream ends. Throws `unavailable`, also
   * for a stream that is not there (`details.reason` is `no_stream`), as do the next three.
   */
  read(stream: StreamSpec, options: { readonly fromSeq: number; readonly limit: number }): Promise<readonly Stored[]>;
  /** Of all processes together. A consumer that was never made has settled nothing. */
  progress(stream: StreamSpec, consumer: ConsumerSpec): Promise<Progress>;
  /** Removes one stored message; false if it is not there. */
  remove(stream: StreamSpec, seq: number): Promise<boolean>;
  /**
   * Removes every message below a sequence that was stored or is the next, and tells how many; acknowledged or not.
   * For a stream of limits, which refuses when it is full, and whose reader has kept elsewhere what it read.
   */
  trim(stream: StreamSpec, belowSeq: number): Promise<number>;

  /**
   * As with streams, a server that is away gets the bucket later; until then its operations throw `unavailable`. A bucket
   * that is there keeps its bounds unless the spec is its owner's.
   */
  openBucket(spec: BucketSpec): Promise<KeyValue>;

  /** Resolves when the server knows every subscription and message so far; throws `unavailable` while disconnected. */
  flush(): Promise<void>;
  /** Stops new work, lets handlers finish and flushes what was published; then closes. */
  drain(): Promise<void>;
}
