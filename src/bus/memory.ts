// The bus inside one process: an arrow is nearly a function call. No clone, no JSON, no timer unless a handler waits:
// sender and receiver see one object, so a message must not be changed once it was sent.
// M1. Handlers run at once, inside `request` and `publish`; deliveries of streams run after the current turn.
// M2. It holds what it holds in memory: streams and buckets end with the process, unless it has a journal.
import type { BucketSpec } from '../contracts/bucket.ts';
import type { Address, EventContract, RequestContract } from '../contracts/contract.ts';
import { assertValid } from '../contracts/codec.ts';
import { carriesCredential, type Correlation } from '../contracts/headers.ts';
import type { ConsumerSpec, StreamSpec } from '../contracts/streams.ts';
import { BeamlineError } from '../core/errors.ts';
import type { Timers } from '../core/timers.ts';
import type { Log } from '../telemetry/log.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import type {
  AppendOptions,
  Bus,
  BusState,
  ConsumeFrom,
  Delivery,
  KeyValue,
  Progress,
  PubAck,
  Received,
  RequestOptions,
  ServeOptions,
  Stored,
  SubscribeOptions,
  Subscription,
} from './bus.ts';
import { type BusCounters, type ContractCounters, openCounters } from './bus-counters.ts';
import { openState, type StateCell } from './bus-state.ts';
import { eventHandling, requestHandling, Running } from './handling.ts';
import { assertBucketName } from './key.ts';
import { isOfAnother, tenantOf } from './header-law.ts';
import { MemoryBucket } from './memory-bucket.ts';
import type { Forgiving } from './delivering.ts';
import type { BusJournal } from './memory-journal.ts';
import { Routes } from './memory-routes.ts';
import { MemoryStream } from './memory-stream.ts';
import { assertFits } from './message-size.ts';
import { cancelled, raceReply } from './reply-race.ts';
import { assertMore, assertUncorrelated } from './sent-headers.ts';

export interface MemoryBusOptions {
  readonly timers: Timers;
  readonly telemetry: Telemetry;
  /** Keeps streams and buckets; closed with the bus. */
  readonly journal?: BusJournal | undefined;
}

/** Buckets whose entries live shorter say what is now: a process that starts has no use for them. */
const KEPT_TTL_MIN_MS = 60_000;
/** For what a journal has left until somebody says what it is. */
const unknownStream = (subject: string): StreamSpec => ({
  name: subject,
  subject,
  retention: 'limits',
  ageMsMax: 0,
  bytesMax: Number.MAX_SAFE_INTEGER,
});
const unknownBucket = (name: string): BucketSpec => ({ name, bytesMax: Number.MAX_SAFE_INTEGER });

type Serving = (request: unknown, received: Received) => unknown;
type Listening = (message: unknown, received: Received) => void;

class MemoryBus implements Bus {
  readonly #timers: Timers;
  readonly #log: Log;
  readonly #counters: BusCounters;
  readonly #state: StateCell;
  readonly #servers = new Routes<Serving>();
  readonly #subscribers = new Routes<Listening>();
  readonly #subscriptions = new Set<Subscription>();
  readonly #streams = new Map<string, MemoryStream>();
  readonly #buckets = new Map<string, MemoryBucket>();
  /** Names of the buckets that somebody opened: what is read from a journal has no bounds before. */
  readonly #bounded = new Set<string>();
  /** Handlers that run while the bus drains may still send. */
  #isDraining = false;

  readonly #journal: BusJournal | undefined;

  constructor({ timers, telemetry, journal }: MemoryBusOptions) {
    this.#timers = timers;
    this.#journal = journal;
    this.#log = telemetry.log.for('bus');
    this.#counters = openCounters(telemetry);
    this.#state = openState('connected', telemetry);
    for (const subject of journal?.subjects ?? []) this.#makeStream(unknownStream(subject));
    for (const name of journal?.bucketNames ?? []) this.#makeBucket(unknownBucket(name));
  }

  get state(): BusState {
    return this.#state.now;
  }

  onState(listener: (state: BusState) => void): Disposable {
    return this.#state.on(listener);
  }

  request<T extends string, Q, R>(
    to: Address<RequestContract<T, Q, R>>,
    message: Q,
    options: RequestOptions,
  ): Promise<R> {
    const { contract, subject } = to;
    const counters = this.#counters(contract.template);
    try {
      const reply = this.#ask(contract, subject, message, options);
      if (!(reply instanceof Promise)) {
        const read = accepted(contract, reply as R, message, counters);
        counters.ok.add();
        return Promise.resolve(read);
      }
      return raceReply(reply, options, this.#timers)
        .then((value) => {
          const read = accepted(contract, value as R, message, counters);
          counters.ok.add();
          return read;
        })
        .catch((fault: BeamlineError) => {
          counters.failed(fault.code);
          throw fault;
        });
    } catch (thrown) {
      const fault = BeamlineError.from(thrown);
      counters.failed(fault.code);
      return Promise.reject(fault);
    }
  }

  serve<T extends string, Q, R>(
    on: Address<RequestContract<T, Q, R>>,
    options: ServeOptions<R>,
    handle: (request: Q, received: Received) => R | Promise<R>,
  ): Subscription {
    const running = new Running(options);
    const counters = this.#counters(on.contract.template);
    const serving = requestHandling(on.contract, handle, { running, counters, log: this.#log });
    return this.#keep(running, this.#servers.add(on.subject, options.queue, serving as Serving));
  }

  publish<T extends string, M>(to: Address<EventContract<T, M>>, message: M, correlation?: Correlation): void {
    const { contract } = to;
    this.#assertOpen();
    assertValid(contract.message, message);
    const bytes = assertFits(message);
    if (correlation === undefined) assertUncorrelated(contract, message);
    if (isStored(contract)) this.#storePublished(to, message, bytes, correlation);
    this.#give(to, message, correlation);
  }

  subscribe<T extends string, M>(
    on: Address<EventContract<T, M>>,
    options: SubscribeOptions,
    handle: (message: M, received: Received) => void | Promise<void>,
  ): Subscription {
    const running = new Running(options);
    const counters = this.#counters(on.contract.template);
    const listening = eventHandling(on.contract, handle, { running, counters, log: this.#log });
    return this.#keep(running, this.#subscribers.add(on.subject, options.queue, listening as Listening));
  }

  async ensureStream(spec: StreamSpec): Promise<void> {
    this.#assertOpen();
    const stream = this.#streams.get(spec.subject);
    if (stream === undefined) this.#makeStream(spec);
    else stream.spec = spec;
  }

  async append<T extends string, M>(
    to: Address<EventContract<T, M>>,
    message: M,
    options: AppendOptions,
  ): Promise<PubAck> {
    const { contract, subject } = to;
    this.#assertOpen();
    assertValid(contract.message, message);
    const bytes = assertFits(message);
    if (options.headers !== undefined) assertMore(options.headers);
    const ack = this.#stream(subject).append(contract, message, bytes, options);
    this.#give(to, message, options.correlation);
    return ack;
  }

  async consume<M>(
    from: ConsumeFrom<M>,
    handle: (delivery: Delivery<M>) => void | Promise<void>,
  ): Promise<Subscription> {
    await this.ensureStream(from.stream);
    const { message, pendingMax = Number.POSITIVE_INFINITY, undeliverable } = from;
    const forgiven = from.forgiven as Forgiving<unknown>;
    const { headers } = from.stream;
    const consumer = this.#stream(from.stream.subject).consumer(from.consumer);
    const handler = handle as (delivery: Delivery<unknown>) => void;
    return this.#hold(consumer.join({ handle: handler, message, headers, pendingMax, undeliverable, forgiven }));
  }

  async read(
    { subject }: StreamSpec,
    options: { readonly fromSeq: number; readonly limit: number },
  ): Promise<readonly Stored[]> {
    return this.#stream(subject).read(options);
  }

  async progress({ subject }: StreamSpec, { durable }: ConsumerSpec): Promise<Progress> {
    return this.#stream(subject).progress(durable);
  }

  async remove({ subject }: StreamSpec, seq: number): Promise<boolean> {
    return this.#stream(subject).remove(seq);
  }

  async trim({ subject }: StreamSpec, belowSeq: number): Promise<number> {
    return this.#stream(subject).trim(belowSeq);
  }

  async openBucket(spec: BucketSpec): Promise<KeyValue> {
    this.#assertOpen();
    assertBucketName(spec.name);
    const bucket = this.#buckets.get(spec.name) ?? this.#makeBucket(spec);
    if (spec.isOwn === true || !this.#bounded.has(spec.name)) bucket.spec = spec;
    this.#bounded.add(spec.name);
    return bucket;
  }

  async flush(): Promise<void> {
    this.#assertOpen();
  }

  async drain(): Promise<void> {
    this.#isDraining = true;
    await Promise.all([...this.#subscriptions].map((subscription) => subscription.drain()));
    for (const stream of this.#streams.values()) stream.close();
    for (const bucket of this.#buckets.values()) bucket.close();
    this.#state.set('closed');
    await this.#journal?.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.drain();
  }

  #ask<T extends string, Q, R>(
    contract: RequestContract<T, Q, R>,
    subject: string,
    message: Q,
    { signal, correlation }: RequestOptions,
  ): unknown {
    this.#assertOpen();
    if (signal?.aborted === true) throw cancelled();
    assertValid(contract.request, message);
    assertFits(message);
    const servers = this.#servers.to(subject).next();
    const received: Received = {
      subject,
      traceId: correlation.traceId,
      tenantId: correlation.tenantId,
      authorization: carriesCredential(contract.headers) ? correlation.authorization : undefined,
    };
    const [first] = servers;
    if (first === undefined) throw unavailable('nobody serves the subject', 'no_responders');
    if (servers.length === 1) return first(message, received);
    const replies = servers.map((server) => server(message, received));
    return replies.find((reply) => !(reply instanceof Promise)) ?? Promise.race(replies);
  }

  #give<T extends string, M>(
    { contract, subject }: Address<EventContract<T, M>>,
    message: M,
    correlation: Correlation | undefined,
  ): void {
    const listeners = this.#subscribers.to(subject).next();
    if (listeners.length === 0) return;
    if (correlation !== undefined && isOfAnother(tenantOf(message), correlation.tenantId))
      return this.#counters(contract.template).violated('tenant_mismatch');
    const received: Received = {
      subject,
      traceId: correlation?.traceId,
      tenantId: correlation?.tenantId,
      authorization: undefined,
    };
    for (const listener of listeners) listener(message, received);
  }

  #storePublished<T extends string, M>(
    { contract, subject }: Address<EventContract<T, M>>,
    message: M,
    bytes: number,
    correlation: Correlation | undefined,
  ): void {
    const lost = (): void => this.#counters(contract.template).dropped('stream_full');
    try {
      const origin = correlation === undefined ? {} : { correlation };
      const stored = this.#streams.get(subject)?.append(contract, message, bytes, origin);
      if (stored instanceof Promise) void stored.catch(lost);
    } catch {
      lost();
    }
  }

  /** Throws `unavailable` where there is none. */
  #stream(subject: string): MemoryStream {
    this.#assertOpen();
    const stream = this.#streams.get(subject);
    if (stream === undefined) throw unavailable('no stream holds the subject', 'no_stream');
    return stream;
  }

  #makeStream(spec: StreamSpec): void {
    const { subject } = spec;
    const recorder = this.#journal?.stream(subject);
    const deps = { timers: this.#timers, log: this.#log, counters: this.#counters(subject), recorder };
    this.#streams.set(subject, new MemoryStream(spec, deps));
  }

  #makeBucket(spec: BucketSpec): MemoryBucket {
    const isKept = spec.ttlMs === undefined || spec.ttlMs >= KEPT_TTL_MIN_MS;
    const recorder = isKept ? this.#journal?.bucket(spec.name) : undefined;
    const bucket = new MemoryBucket(spec, this.#timers.clock, recorder);
    this.#buckets.set(spec.name, bucket);
    return bucket;
  }

  #keep(running: Running, remove: () => void): Subscription {
    const drain = (): Promise<void> => {
      remove();
      return running.idle();
    };
    return this.#hold({
      get pending() {
        return running.count;
      },
      drain,
      [Symbol.asyncDispose]: drain,
    });
  }

  /** Remembers a subscription until it is drained, by its owner or with the bus. */
  #hold(inner: Subscription): Subscription {
    const drain = (): Promise<void> => {
      this.#subscriptions.delete(held);
      return inner.drain();
    };
    const held: Subscription = {
      get pending() {
        return inner.pending;
      },
      drain,
      [Symbol.asyncDispose]: drain,
    };
    if (this.#isDraining) void drain();
    else this.#subscriptions.add(held);
    return held;
  }

  #assertOpen(): void {
    if (this.#state.now === 'closed') throw unavailable('the bus is closed', 'closed');
  }
}

/** Whether messages of the contract belong to a stream. */
const isStored = (contract: { readonly class: string }): boolean =>
  contract.class === 'jetstream_event' || contract.class === 'dlq';

const unavailable = (message: string, reason: string): BeamlineError =>
  new BeamlineError('unavailable', message, { details: { reason } });

/** The reply if it is on contract; one that is too large becomes a refusal. Throws `invalid_reply`. */
function accepted<T extends string, Q, R>(
  contract: RequestContract<T, Q, R>,
  reply: R,
  request: Q,
  counters: ContractCounters,
): R {
  if (!contract.reply.check(reply)) {
    counters.violated('schema');
    throw new BeamlineError('invalid_reply', `${contract.reply.id}: ${contract.reply.fault(reply)}`);
  }
  try {
    assertFits(reply);
    return reply;
  } catch (thrown) {
    return contract.refuse(BeamlineError.from(thrown), request);
  }
}

/** A bus whose subscribers live in this process. */
export const openMemoryBus = (options: MemoryBusOptions): Bus => new MemoryBus(options);
