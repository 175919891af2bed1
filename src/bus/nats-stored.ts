// What a stream of a NATS server holds, read and removed by sequence: for administration, not for the way of messages.
import { JetStreamApiError, type JetStreamManager, type MsgRequest } from '@nats-io/jetstream';
import type { ConsumerSpec, StreamSpec } from '../contracts/streams.ts';
import { BeamlineError } from '../core/errors.ts';
import type { Progress, Stored } from './bus.ts';
import { headersIn } from './nats-headers.ts';
import type { NatsLink } from './nats-link.ts';
import { managerOf, storeFault } from './nats-stream.ts';

const NO_STREAM = 10_059;
const NO_CONSUMER = 10_014;
/** "sequence not found"; and a failed deletion, which a 2.9 server says of a message that is not there. */
const NO_MESSAGE: ReadonlySet<number | undefined> = new Set([10_043, 10_057]);

/** One round trip for each: a 2.9 server has no way to ask for several at once without a consumer. */
export function readStored(
  link: NatsLink,
  { name, subject }: StreamSpec,
  { fromSeq, limit }: { readonly fromSeq: number; readonly limit: number },
): Promise<readonly Stored[]> {
  return managing(link, async ({ streams }) => {
    const found: Stored[] = [];
    for (let seq = Math.max(1, fromSeq); found.length < limit; seq = (found.at(-1)?.seq ?? seq) + 1) {
      // eslint-disable-next-line no-await-in-loop -- each answer says where the next one is
      const message = await streams.getMessage(name, nextOf(subject, seq));
      if (message === null) break;
      found.push({
        seq: message.seq,
        subject: message.subject,
        storedAtMs: message.time.getTime(),
        headers: headersIn(message.header),
        body: message.data,
      });
    }
    return found;
  });
}

/** Asked of the leader, who has what was just stored; the library's type names this query for followers only. */
const nextOf = (subject: string, seq: number): MsgRequest => ({ next_by_subj: subject, seq }) as MsgRequest;

/**
 * The stream first and its consumer after it, so that a consumer with nothing left has settled all that the stream told of.
 * A queue keeps only what is left, which a 2.9 server that was killed does not know exactly: what was acknowledged may
 * stand there again, below the consumer's floor, and deliveries may be counted that are gone. So both are asked, and
 * whoever knows of more that is settled is right.
 */
export function progressOf(link: NatsLink, stream: StreamSpec, { durable }: ConsumerSpec): Promise<Progress> {
  return managing(link, async ({ streams, consumers }) => {
    const { state } = await streams.info(stream.name);
    const { last_seq: lastSeq, first_seq: firstSeq, messages } = state;
    const done = { lastSeq, settledSeq: lastSeq, oldestAtMs: undefined };
    if (messages === 0) return done;
    const consumer = await consumers.info(stream.name, durable).catch(absent);
    if (consumer?.num_pending === 0 && consumer.num_ack_pending === 0) return done;
    const settledSeq = Math.max(firstSeq - 1, consumer?.ack_floor.stream_seq ?? 0);
    if (settledSeq >= lastSeq) return done;
    if (settledSeq < firstSeq) return { lastSeq, settledSeq, oldestAtMs: Date.parse(state.first_ts) };
    const oldest = await streams.getMessage(stream.name, nextOf(stream.subject, settledSeq + 1));
    return oldest === null ? done : { lastSeq, settledSeq, oldestAtMs: oldest.time.getTime() };
  });
}

function absent(fault: unknown): undefined {
  if (!(fault instanceof JetStreamApiError) || fault.code !== NO_CONSUMER) throw fault;
}

/** Of a reply to a removal by number. */
export const isAbsent = (code: number | undefined): boolean => NO_MESSAGE.has(code);

export const removeStored = (link: NatsLink, { name }: Pick<StreamSpec, 'name'>, seq: number): Promise<boolean> =>
  managing(link, ({ streams }) =>
    streams.deleteMessage(name, seq, false).catch((fault: unknown) => {
      if (fault instanceof JetStreamApiError && isAbsent(fault.code)) return false;
      throw fault;
    }),
  );

export const trimStored = (link: NatsLink, { name }: StreamSpec, belowSeq: number): Promise<number> =>
  managing(link, async ({ streams }) => {
    // A 2.9 server takes a purge below the first sequence for one of everything.
    if (belowSeq > 1) return (await streams.purge(name, { seq: belowSeq })).purged;
    await streams.info(name);
    return 0;
  });

async function managing<R>(link: NatsLink, work: (manager: JetStreamManager) => Promise<R>): Promise<R> {
  const nc = link.connected();
  try {
    return await work(await managerOf(nc));
  } catch (cause) {
    if (!(cause instanceof JetStreamApiError) || cause.code !== NO_STREAM) throw storeFault(cause);
    throw new BeamlineError('unavailable', 'no stream holds the subject', { cause, details: { reason: 'no_stream' } });
  }
}
