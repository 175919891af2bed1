// Reads what stands in a bucket of a NATS server, as fast as it is taken, with a consumer that lives as long as the list.
// L1. Whole, or it throws: silence for a while before the end, or a lost connection, is `unavailable`. There is no bound
//     on the whole time, so that a large bucket can be listed.
// L2. The server sends no more than a window ahead of the reader.
// L3. A key that is written while it is listed comes again with its newer value.
import { DeliverPolicy, jetstream, type JsMsg, type PushConsumer } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { BeamlineError } from '../core/errors.ts';
import type { Timer, Timers } from '../core/timers.ts';
import { isDeletion } from './nats-bucket-calls.ts';

const IDLE_MS = 5_000;

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
  const consumer = await jetstream(nc).consumers.getPushConsumer(stream, {
    deliver_policy: DeliverPolicy.All,
    filter_subjects: `${prefix}${pattern}`,
    headers_only: !withValues,
  });
  if ((await consumer.info(true)).num_pending === 0) return void (await ended(consumer));
  const messages = await consumer.consume();
  const patience = new Patience(timers, () => messages.stop());
  try {
    for await (const msg of messages) {
      patience.rest();
      yield listedIn(msg, prefix, withValues);
      if (msg.info.pending === 0) return;
      patience.begin();
    }
    // What was left may have been erased meanwhile: then nothing comes any more.
    if ((await consumer.info()).num_pending > 0) throw broken();
  } finally {
    patience[Symbol.dispose]();
    messages.stop();
    void ended(consumer);
  }
}

/** Ends a wait in which nothing came for too long; one timer for a whole list. */
class Patience implements Disposable {
  readonly #timers: Timers;
  readonly #onEnd: () => void;
  #sinceMs: number | undefined;
  #timer: Timer;

  constructor(timers: Timers, onEnd: () => void) {
    this.#timers = timers;
    this.#onEnd = onEnd;
    this.begin();
    this.#timer = this.#look();
  }

  begin(): void {
    this.#sinceMs = this.#timers.clock.nowMs();
  }

  /** It is the reader who takes its time. */
  rest(): void {
    this.#sinceMs = undefined;
  }

  [Symbol.dispose](): void {
    this.#timer.cancel();
  }

  #look(): Timer {
    return this.#timers.after(IDLE_MS, () => {
      const waitedMs = this.#sinceMs === undefined ? 0 : this.#timers.clock.nowMs() - this.#sinceMs;
      if (waitedMs >= IDLE_MS) this.#onEnd();
      else this.#timer = this.#look();
    });
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
