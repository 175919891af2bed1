// Reads what stands in a bucket of a NATS server, as fast as it is taken, with a consumer that lives as long as the list.
// L1. Whole, or it throws: silence for a while before the end, or a lost connection, is `unavailable`. There is no bound
//     on the whole time, so that a large bucket can be listed.
// L2. The server sends no more than a window ahead of the reader.
// L3. A key that is written while it is listed comes again with its newer value.
// L4. A list ends while others write: a 2.9 server goes on counting as pending what was erased, so its count alone never
//     ends a list of a busy bucket.
import { DeliverPolicy, jetstream, type JsMsg, type PushConsumer } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { BeamlineError } from '../core/errors.ts';
import type { Timers } from '../core/timers.ts';
import { isDeletion } from './nats-bucket-calls.ts';
import { managerOf } from './nats-stream.ts';

const IDLE_MS = 5_000;
/** Silence after which the server is asked. */
const LOOK_MS = 250;
/** What was moved ahead of the reader by another write comes within this time. */
const TAIL_MS = 500;
const SILENCE = Symbol('silence');

/** A key as it was written last; deletions are among them. */
export interface Listed {
  readonly key: string;
  readonly revision: number;
  readonly writtenAtMs: number;
  readonly deleted: boolean;
  /** Empty where only notes are read. */
  readonly value: string;
}

export interface ListOptions {
  readonly timers: Timers;
  readonly stream: string;
  /** Of every key of the bucket, with its dot. */
  readonly prefix: string;
  readonly pattern: string;
  readonly withValues: boolean;
}

/** Throws `unavailable`, and what the server says. */
export async function* listed(nc: NatsConnection, options: ListOptions): AsyncGenerator<Listed, void> {
  const { timers, stream, prefix, pattern, withValues } = options;
  const { streams } = await managerOf(nc);
  const { last_seq: lastSeq } = (await streams.info(stream)).state;
  const consumer = await jetstream(nc).consumers.getPushConsumer(stream, {
    deliver_policy: DeliverPolicy.All,
    filter_subjects: `${prefix}${pattern}`,
    headers_only: !withValues,
  });
  if ((await consumer.info(true)).num_pending === 0) return void (await ended(consumer));
  const messages = await consumer.consume();
  const reading = messages[Symbol.asyncIterator]();
  const wait = new Wait(consumer, timers, lastSeq);
  try {
    for (;;) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      const next = await wait.orEnd(reading.next());
      if (next === 'end') return;
      if (next.done === true) throw broken();
      yield listedIn(next.value, prefix, withValues);
      if (next.value.info.pending === 0 || wait.isOver(next.value.seq)) return;
    }
  } finally {
    messages.stop();
    void ended(consumer);
  }
}

/** Waits for the next message. The last ones may have been erased meanwhile: then the server is asked what is left. */
class Wait {
  readonly #consumer: PushConsumer;
  readonly #timers: Timers;
  /** The last one of the bucket when the list began. */
  readonly #lastSeq: number;
  #caughtUpMs: number | undefined;

  constructor(consumer: PushConsumer, timers: Timers, lastSeq: number) {
    this.#consumer = consumer;
    this.#timers = timers;
    this.#lastSeq = lastSeq;
  }

  /** Whether the reader has been at the end for so long that it has seen every key, however often some are written. */
  isOver(seq: number): boolean {
    if (seq < this.#lastSeq) return false;
    const nowMs = this.#timers.clock.nowMs();
    this.#caughtUpMs ??= nowMs;
    return nowMs - this.#caughtUpMs >= TAIL_MS;
  }

  /** `end` if nothing is left, twice in a row, since what was sent before may still be on its way to the reader. */
  async orEnd<T>(next: Promise<T>): Promise<T | 'end'> {
    const sinceMs = this.#timers.clock.nowMs();
    for (let empty = 0; empty < 2;) {
      // oxlint-disable-next-line no-await-in-loop -- waits for a condition
      const found = await this.#orSilence(next);
      if (found !== SILENCE) return found;
      // oxlint-disable-next-line no-await-in-loop -- as above
      const { num_pending: left, delivered } = await this.#consumer.info();
      const isAtEnd = left === 0 || delivered.stream_seq >= this.#lastSeq;
      empty = isAtEnd ? empty + 1 : 0;
      if (!isAtEnd && this.#timers.clock.nowMs() - sinceMs >= IDLE_MS) throw broken();
    }
    return 'end';
  }

  async #orSilence<T>(next: Promise<T>): Promise<T | typeof SILENCE> {
    const { promise, resolve } = Promise.withResolvers<typeof SILENCE>();
    const timer = this.#timers.after(LOOK_MS, () => resolve(SILENCE));
    try {
      return await Promise.race([next, promise]);
    } finally {
      timer.cancel();
    }
  }
}

/** It would be forgotten by itself, later. */
const ended = (consumer: PushConsumer): Promise<unknown> => consumer.delete().catch(() => undefined);

const broken = (): BeamlineError => new BeamlineError('unavailable', 'the bucket could not be read to its end');

const listedIn = (msg: JsMsg, prefix: string, withValues: boolean): Listed => ({
  key: msg.subject.slice(prefix.length),
  revision: msg.seq,
  writtenAtMs: msg.time.getTime(),
  deleted: isDeletion(msg.headers?.get('KV-Operation') ?? ''),
  value: withValues ? msg.string() : '',
});
