// A durable pull consumer that is taken up again with every connection, stream and consumer made if they are gone.
// What cannot be delivered is counted and given up, so that one bad message does not come back for ever.
import type { Consumer, ConsumerMessages, JsMsg } from '@nats-io/jetstream';
import type { Msg, NatsConnection } from '@nats-io/transport-node';
import { decode } from '../contracts/codec.ts';
import { BeamlineError } from '../core/errors.ts';
import type { ConsumeFrom, Subscription, Undeliverable } from './bus.ts';
import type { ContractCounters } from './bus-counters.ts';
import {
  deliver,
  type DeliveryHandler,
  EXHAUSTED,
  giveUp,
  isExhausted,
  judge,
  type Reason,
  unreadable,
} from './delivering.ts';
import { Running } from './handling.ts';
import { headerFault } from './header-law.ts';
import { NatsDelivery } from './nats-delivery.ts';
import { headersIn } from './nats-headers.ts';
import { lawOf } from './nats-law.ts';
import type { NatsLink } from './nats-link.ts';
import type { Replicas } from './nats-replicas.ts';
import { ensureStream, openConsumer } from './nats-stream.ts';
import { type Hold, PendingRoom } from './pending-room.ts';

const BATCH = 500;
/** What is run here comes in smaller parts, so that many who wait do not hold up the event loop together. */
const FITTING = 64;
const PULL = { expires: 10_000, idle_heartbeat: 2_000 };

export interface ConsumeDeps {
  readonly link: NatsLink;
  readonly counters: ContractCounters;
  readonly replicas: Replicas;
}

/** Resolves after the first attempt to take the consumer up; later ones go on until it is drained. */
export async function consume<M>(
  from: ConsumeFrom<M>,
  handle: DeliveryHandler<M>,
  { link, counters, replicas }: ConsumeDeps,
): Promise<Subscription> {
  const running = new Running({});
  const room = from.pendingMax === undefined ? undefined : new PendingRoom(from.pendingMax);
  const onMessage = handling(from, handle, { link, counters, running, room });
  let current: ConsumerMessages | undefined;
  let isDrained = false;
  let tried: () => void;
  const first = new Promise<void>((resolve) => {
    tried = resolve;
  });
  /** A stream of deliveries, without regard to which are settled: the server holds back above its own bound. */
  const takeAll = async (consumer: Consumer): Promise<void> => {
    current = await consumer.consume({
      ...PULL,
      abort_on_missing_resource: true,
      max_messages: Math.min(BATCH, from.consumer.ackPendingMax),
      callback: onMessage,
    });
    tried();
    await current.closed();
  };
  /** Asks for as many as there is room for, again and again. */
  const takeWhatFits = async (consumer: Consumer, free: PendingRoom): Promise<void> => {
    tried();
    while (!isDrained && !link.isClosing) {
      // eslint-disable-next-line no-await-in-loop -- one pull after the other
      await free.open();
      if (isDrained) return;
      // eslint-disable-next-line no-await-in-loop -- as above
      current = await consumer.fetch({ ...PULL, max_messages: Math.min(FITTING, free.left) });
      // eslint-disable-next-line no-await-in-loop -- as above
      for await (const msg of current) onMessage(msg);
    }
  };
  const takeUp = async (nc: NatsConnection): Promise<void> => {
    await link.repaired();
    await ensureStream(nc, from.stream, replicas);
    const consumer = await openConsumer(nc, from.stream, from.consumer);
    if (isDrained) return;
    await (room === undefined ? takeAll(consumer) : takeWhatFits(consumer, room));
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
    room?.end();
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

/** What is done with each delivery; never throws. */
function handling<M>(
  from: ConsumeFrom<M>,
  handle: DeliveryHandler<M>,
  deps: Pick<ConsumeDeps, 'link' | 'counters'> & { readonly running: Running; readonly room: PendingRoom | undefined },
): (msg: JsMsg) => void {
  const { consumer: spec, undeliverable, forgiven } = from;
  const { link, counters, running, room } = deps;
  const { log } = link;
  const refuse = (msg: JsMsg, hold: Hold | undefined, reason: Reason): void => {
    const delivery = new NatsDelivery(undefined, msg, link, hold);
    giveUp(delivery, () => told(msg, reason), reason, { spec, running, log, counters, undeliverable });
  };
  const law = lawOf(from.stream.headers);
  return (msg) => {
    const hold = room?.take(link.timers, spec.ackWaitMs);
    let message: M;
    try {
      message = decode(from.message, msg.data);
    } catch (thrown) {
      return refuse(msg, hold, unreadable(BeamlineError.from(thrown)));
    }
    const broken = law(rawOf(msg), message);
    if (broken !== undefined) return refuse(msg, hold, unreadable(headerFault(broken)));
    // The count is read from the reply subject: only where there is a limit.
    const delivery = new NatsDelivery(message, msg, link, hold);
    const goOn = (): void => deliver(delivery, handle, { spec, running, log });
    if (spec.deliveryLimit === undefined || !isExhausted(spec, msg.info.deliveryCount)) return goOn();
    const end = (): void => refuse(msg, hold, EXHAUSTED);
    if (forgiven === undefined) return end();
    judge(delivery, forgiven, { spec, running, log, goOn, giveUp: end });
  };
}

/** The message under a delivery, which the client library's type does not name. */
const rawOf = (msg: JsMsg): Msg => (msg as JsMsg & { readonly msg: Msg }).msg;

const told = (msg: JsMsg, reason: Reason): Undeliverable => ({
  seq: msg.seq,
  subject: msg.subject,
  storedAtMs: msg.time.getTime(),
  headers: headersIn(msg.headers),
  body: msg.data,
  count: msg.info.deliveryCount,
  ...reason,
});
