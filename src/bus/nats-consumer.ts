// A durable pull consumer that is taken up again with every connection, stream and consumer made if they are gone.
// What cannot be read is counted, logged and given up, so that one bad message does not come back for ever.
import type { ConsumerMessages, JsMsg } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { decode } from '../contracts/codec.ts';
import type { Payload } from '../contracts/contract.ts';
import type { ConsumerSpec, StreamSpec } from '../contracts/streams.ts';
import type { Delivery, Subscription } from './bus.ts';
import type { ContractCounters } from './bus-counters.ts';
import { deliver, type DeliveryHandler } from './delivering.ts';
import { Running } from './handling.ts';
import type { NatsLink } from './nats-link.ts';
import { ensureStream, openConsumer } from './nats-stream.ts';

const BATCH = 500;
const ACK = new TextEncoder().encode('+ACK');
const PULL = { expires: 10_000, idle_heartbeat: 2_000, abort_on_missing_resource: true };

export interface ConsumeFrom<M> {
  readonly stream: StreamSpec;
  readonly consumer: ConsumerSpec;
  readonly message: Payload<M>;
}

export interface ConsumeDeps {
  readonly link: NatsLink;
  readonly counters: ContractCounters;
  readonly replicas: number;
}

/** Resolves after the first attempt to take the consumer up; later ones go on until it is drained. */
export async function consume<M>(
  from: ConsumeFrom<M>,
  handle: DeliveryHandler<M>,
  { link, counters, replicas }: ConsumeDeps,
): Promise<Subscription> {
  const running = new Running({});
  const onMessage = (msg: JsMsg): void => {
    const delivery = readDelivery(from, msg, link);
    if (delivery instanceof Error) {
      counters.invalid.add();
      link.log.error('bus_stream_message_invalid', {
        source: from.stream.name,
        count: msg.seq,
        fault: delivery,
      });
      msg.term();
    } else deliver(delivery, handle, { spec: from.consumer, running, log: link.log });
  };
  let current: ConsumerMessages | undefined;
  let isDrained = false;
  let tried: () => void;
  const first = new Promise<void>((resolve) => {
    tried = resolve;
  });
  const takeUp = async (nc: NatsConnection): Promise<void> => {
    await ensureStream(nc, from.stream, replicas);
    const consumer = await openConsumer(nc, from.stream, from.consumer);
    if (isDrained) return;
    current = await consumer.consume({
      ...PULL,
      max_messages: Math.min(BATCH, from.consumer.ackPendingMax),
      callback: onMessage,
    });
    tried();
    await current.closed();
  };
  const attached = link.eachConnection((nc) => {
    void (async () => {
      for (let failures = 0; !isDrained && link.nc === nc; failures++) {
        // eslint-disable-next-line no-await-in-loop -- tries come one after the other
        await takeUp(nc).catch((fault: unknown) => {
          if (link.nc === nc) link.log.warn('bus_consumer_failed', { source: from.consumer.durable, fault });
        });
        tried();
        // eslint-disable-next-line no-await-in-loop -- as above
        if (!isDrained && link.nc === nc) await link.backOff(failures);
      }
    })();
  });
  if (link.nc !== undefined) await first;
  const drain = async (): Promise<void> => {
    isDrained = true;
    attached[Symbol.dispose]();
    await current?.close();
    await running.idle();
  };
  return {
    get pending() {
      return running.count;
    },
    drain,
    [Symbol.asyncDispose]: drain,
  };
}

function readDelivery<M>(from: ConsumeFrom<M>, msg: JsMsg, link: NatsLink): NatsDelivery<M> | Error {
  try {
    return new NatsDelivery(decode(from.message, msg.data), msg, link);
  } catch (thrown) {
    return thrown instanceof Error ? thrown : new Error(String(thrown));
  }
}

/** What the server knows of a delivery is read from its reply subject only when somebody asks. */
class NatsDelivery<M> implements Delivery<M> {
  readonly message: M;
  readonly #msg: JsMsg;
  readonly #link: NatsLink;
  #isSettled = false;

  constructor(message: M, msg: JsMsg, link: NatsLink) {
    this.message = message;
    this.#msg = msg;
    this.#link = link;
  }

  get count(): number {
    return this.#msg.info.deliveryCount;
  }

  get seq(): number {
    return this.#msg.seq;
  }

  /** Travels with other messages. One that is lost with its connection is answered by another delivery. */
  ack(): void {
    if (!this.#settle() || this.#link.nc === undefined) return;
    this.#link.send({ subject: replyOf(this.#msg), bytes: ACK }, 'batched');
  }

  nak(delayMs: number): void {
    if (this.#settle()) this.#msg.nak(delayMs);
  }

  term(): void {
    if (this.#settle()) this.#msg.term();
  }

  working(): void {
    if (!this.#isSettled) this.#msg.working();
  }

  #settle(): boolean {
    if (this.#isSettled) return false;
    this.#isSettled = true;
    return true;
  }
}

/** The client library's type does not name it. */
const replyOf = (msg: JsMsg): string => (msg as JsMsg & { readonly reply: string }).reply;
