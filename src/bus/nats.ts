// The bus over NATS: one connection and one reply inbox per process.
// N1. What leaves was checked and encoded here; what enters is decoded and checked before a handler sees it.
// N2. Nothing waits in the client for a connection: sending without one throws `unavailable` at once.
import type { BucketSpec } from '../contracts/bucket.ts';
import { decode, encode } from '../contracts/codec.ts';
import type { Address, EventContract, Payload, RequestContract } from '../contracts/contract.ts';
import type { Correlation } from '../contracts/headers.ts';
import type { ConsumerSpec, StreamSpec } from '../contracts/streams.ts';
import { BeamlineError } from '../core/errors.ts';
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
  Urgency,
} from './bus.ts';
import { type BusCounters, openCounters, ruleOf } from './bus-counters.ts';
import { eventHandling, requestHandling, Running } from './handling.ts';
import { assertBucketName } from './key.ts';
import { answering } from './nats-answers.ts';
import { NatsBucket } from './nats-bucket.ts';
import { consume } from './nats-consumer.ts';
import { NatsReceived, writeHeaders } from './nats-headers.ts';
import { lawOf } from './nats-law.ts';
import { NatsLink, type NatsLinkOptions } from './nats-link.ts';
import { listen } from './nats-listen.ts';
import type { Replicas } from './nats-replicas.ts';
import { NatsRequests } from './nats-requests.ts';
import { append } from './nats-append.ts';
import { progressOf, readStored, removeStored, trimStored } from './nats-stored.ts';
import { NatsStreams } from './nats-stream.ts';
import { assertUncorrelated } from './sent-headers.ts';

export interface NatsBusOptions extends NatsLinkOptions {
  /** Copies of each stream and bucket; absent is as 0. */
  readonly replicas?: Replicas;
}

class NatsBus implements Bus {
  readonly #link: NatsLink;
  readonly #requests: NatsRequests;
  readonly #counters: BusCounters;
  readonly #replicas: Replicas;
  readonly #streams: NatsStreams;
  readonly #subscriptions = new Set<Subscription>();
  readonly #buckets = new Map<string, NatsBucket>();

  constructor(link: NatsLink, { telemetry, replicas = 0 }: NatsBusOptions) {
    this.#link = link;
    this.#requests = new NatsRequests(link);
    this.#counters = openCounters(telemetry);
    this.#replicas = replicas;
    this.#streams = new NatsStreams(link, replicas);
  }

  get state(): BusState {
    return this.#link.state.now;
  }

  onState(listener: (state: BusState) => void): Disposable {
    return this.#link.state.on(listener);
  }

  request<T extends string, Q, R>(
    to: Address<RequestContract<T, Q, R>>,
    message: Q,
    options: RequestOptions,
  ): Promise<R> {
    const { contract, subject } = to;
    const counters = this.#counters(contract.template);
    const { timeoutMs, signal, correlation } = options;
    const failed = (thrown: unknown): never => {
      const fault = BeamlineError.from(thrown);
      counters.failed(fault.code);
      throw fault;
    };
    try {
      const bytes = encode(contract.request, message);
      const headers = writeHeaders(contract.headers, correlation);
      const read = ({ data }: { readonly data: Uint8Array }): R => {
        const reply = readReply(contract.reply, data);
        counters.ok.add();
        return reply;
      };
      return this.#requests.call({ subject, bytes, headers, timeoutMs, signal, read }).catch(failed);
    } catch (thrown) {
      return Promise.reject(thrown as Error).catch(failed);
    }
  }

  serve<T extends string, Q, R>(
    on: Address<RequestContract<T, Q, R>>,
    options: ServeOptions<R>,
    handle: (request: Q, received: Received) => R | Promise<R>,
  ): Subscription {
    const running = new Running(options);
    const counters = this.#counters(on.contract.template);
    const { log } = this.#link;
    const handling = requestHandling(on.contract, handle, { running, counters, log });
    const { urgencyOf } = options;
    const send = (subject: string, bytes: Uint8Array, reply: R): void =>
      this.#link.send({ subject, bytes }, urgencyOf?.(reply));
    const answer = answering(on.contract, handling, { counters, log, send });
    return this.#hold(listen(this.#link, { subject: on.subject, queue: options.queue, running }, answer));
  }

  publish<T extends string, M>(
    to: Address<EventContract<T, M>>,
    message: M,
    correlation?: Correlation,
    urgency?: Urgency,
  ): void {
    const { contract, subject } = to;
    const bytes = encode(contract.message, message);
    if (correlation === undefined) assertUncorrelated(contract, message);
    this.#link.send({ subject, bytes, headers: writeHeaders(contract.headers, correlation) }, urgency);
  }

  subscribe<T extends string, M>(
    on: Address<EventContract<T, M>>,
    options: SubscribeOptions,
    handle: (message: M, received: Received) => void | Promise<void>,
  ): Subscription {
    const running = new Running(options);
    const { contract, subject } = on;
    const counters = this.#counters(contract.template);
    const handling = eventHandling(contract, handle, { running, counters, log: this.#link.log });
    const law = lawOf(contract.headers, contract.class === 'frames');
    const subscription = listen(this.#link, { subject, queue: options.queue, running }, (msg) => {
      let message: M;
      try {
        message = decode(contract.message, msg.data);
      } catch (thrown) {
        return counters.violated(ruleOf(thrown));
      }
      const broken = law(msg, message);
      if (broken !== undefined) return counters.violated(broken);
      handling(message, new NatsReceived(msg));
    });
    return this.#hold(subscription);
  }

  ensureStream(spec: StreamSpec): Promise<void> {
    return this.#streams.ensure(spec);
  }

  async append<T extends string, M>(
    to: Address<EventContract<T, M>>,
    message: M,
    options: AppendOptions,
  ): Promise<PubAck> {
    const { contract, subject } = to;
    const { messageId, timeoutMs, correlation, urgency } = options;
    const bytes = encode(contract.message, message);
    const headers = writeHeaders(contract.headers, correlation, messageId, options.headers);
    return append({ subject, bytes, headers, timeoutMs, urgency }, this.#requests, this.#link);
  }

  async consume<M>(
    from: ConsumeFrom<M>,
    handle: (delivery: Delivery<M>) => void | Promise<void>,
  ): Promise<Subscription> {
    const counters = this.#counters(from.stream.subject);
    return this.#hold(await consume(from, handle, { link: this.#link, counters, replicas: this.#replicas }));
  }

  read(stream: StreamSpec, options: { readonly fromSeq: number; readonly limit: number }): Promise<readonly Stored[]> {
    return readStored(this.#link, stream, options);
  }

  progress(stream: StreamSpec, consumer: ConsumerSpec): Promise<Progress> {
    return progressOf(this.#link, stream, consumer);
  }

  remove(stream: StreamSpec, seq: number): Promise<boolean> {
    return removeStored(this.#link, stream, seq);
  }

  trim(stream: StreamSpec, belowSeq: number): Promise<number> {
    return trimStored(this.#link, stream, belowSeq);
  }

  async openBucket(spec: BucketSpec): Promise<KeyValue> {
    assertBucketName(spec.name);
    const known = this.#buckets.get(spec.name);
    const bucket =
      known ?? new NatsBucket(spec, { link: this.#link, requests: this.#requests, replicas: this.#replicas });
    this.#buckets.set(spec.name, bucket);
    if (known !== undefined && spec.isOwn === true) known.own(spec);
    await bucket.prepare();
    return bucket;
  }

  flush(): Promise<void> {
    return this.#link.flush();
  }

  async drain(): Promise<void> {
    await Promise.all([...this.#subscriptions].map((subscription) => subscription.drain()));
    await Promise.all([...this.#buckets.values()].map((bucket) => bucket.close()));
    if (this.state === 'connected') await this.#link.flush().catch(() => undefined);
    await this.#link.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.drain();
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
    this.#subscriptions.add(held);
    return held;
  }
}

/** Throws `invalid_reply`. */
function readReply<R>(reply: Payload<R>, data: Uint8Array): R {
  try {
    return decode(reply, data);
  } catch (cause) {
    throw new BeamlineError('invalid_reply', `not a ${reply.id}`, { cause });
  }
}

/** Opens at once, connected or not: a server that is away is tried for until it is there. */
export async function openNatsBus(options: NatsBusOptions): Promise<Bus> {
  const link = new NatsLink(options);
  const bus = new NatsBus(link, options);
  await link.open();
  return bus;
}
