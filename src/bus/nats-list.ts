// Reads what stands in a bucket of a NATS server, as fast as it is taken, with a consumer that lives as long as the list.
// L1. Whole, or it throws: silence for a while before the end, or a lost connection, is `unavailable`. There is no bound
//     on the whole time, so that a large bucket can be listed.
// L2. The server sends no more than a window ahead of the reader.
// L3. A key that is written while it is listed comes again with its newer value.
// L4. The end is where the server has nothing after what was read, and asking for that is as dear as a list: it is asked
//     where the server's counts say that nothing is pending. They alone would not do, since a 2.9 server leaves a key out
//     of them for a moment while it is written again.
// L5. Where others write all the time, that moment may not come, and what is read is what came since the list began. Then
//     the end is asked for so often: each time, all that stood at the time before has been read, save what was written
//     again since. A key is only missed if it was written that often meanwhile.
import { DeliverPolicy, jetstream, type JsMsg, type PushConsumer } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { BeamlineError } from '../core/errors.ts';
import type { Timer, Timers } from '../core/timers.ts';
import { isDeletion } from './nats-bucket-calls.ts';
import { managerOf } from './nats-stream.ts';

/** After so much silence the end is looked for: the last ones may have been erased. */
const LOOK_MS = 100;
/** Of silence before the end. */
const IDLE_MS = 5_000;
const LOOKS_MAX = 100;

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
  const filter = `${prefix}${pattern}`;
  const { streams } = await managerOf(nc);
  const lastSeq = async (): Promise<number> => (await streams.getMessage(stream, { last_by_subj: filter }))?.seq ?? 0;
  let endSeq = (await streams.info(stream)).state.last_seq;
  const consumer = await jetstream(nc).consumers.getPushConsumer(stream, {
    deliver_policy: DeliverPolicy.LastPerSubject,
    filter_subjects: filter,
    headers_only: !withValues,
  });
  if ((await consumer.info(true)).num_pending === 0) return void (await ended(consumer));
  const messages = await consumer.consume();
  const silence = new Silence({ timers, consumer, lastSeq, stop: () => messages.stop() });
  try {
    let looks = 0;
    for await (const msg of messages) {
      silence.end(msg.seq);
      yield listedIn(msg, prefix, withValues);
      const isPast = msg.seq >= endSeq;
      if (isPast || msg.info.pending === 0) {
        // oxlint-disable-next-line no-await-in-loop -- asked where the end may be, not for each
        endSeq = await lastSeq();
        if (isPast) looks++;
        if (endSeq <= msg.seq || looks === LOOKS_MAX) return;
      }
      silence.begin();
    }
    if (!silence.isLast) throw broken();
  } finally {
    silence[Symbol.dispose]();
    messages.stop();
    void ended(consumer);
  }
}

interface SilenceDeps {
  readonly timers: Timers;
  readonly consumer: PushConsumer;
  readonly lastSeq: () => Promise<number>;
  readonly stop: () => void;
}

/** While nothing comes: looks whether that is the end, and stops the list then, or after too long. */
class Silence implements Disposable {
  /** Whether it is what follows the last one. */
  isLast = false;
  readonly #deps: SilenceDeps;
  #readSeq = 0;
  #sinceMs: number | undefined;
  #timer: Timer;

  constructor(deps: SilenceDeps) {
    this.#deps = deps;
    this.begin();
    this.#timer = this.#lookLater();
  }

  begin(): void {
    this.#sinceMs = this.#deps.timers.clock.nowMs();
  }

  /** From here on it is the reader who takes its time. */
  end(readSeq: number): void {
    this.#readSeq = readSeq;
    this.#sinceMs = undefined;
  }

  [Symbol.dispose](): void {
    this.#timer.cancel();
    // A look under way is the last one.
    this.isLast = true;
  }

  #lookLater(): Timer {
    return this.#deps.timers.after(LOOK_MS, () => void this.#look());
  }

  async #look(): Promise<void> {
    // A server that does not answer is silent as well.
    if (this.#lastsMs() >= LOOK_MS) this.isLast ||= await this.#isAtEnd().catch(() => false);
    if (this.isLast || this.#lastsMs() >= IDLE_MS) this.#deps.stop();
    else this.#timer = this.#lookLater();
  }

  async #isAtEnd(): Promise<boolean> {
    const { consumer, lastSeq } = this.#deps;
    const readSeq = this.#readSeq;
    return (await consumer.info()).num_pending === 0 && (await lastSeq()) <= readSeq;
  }

  #lastsMs(): number {
    return this.#sinceMs === undefined ? 0 : this.#deps.timers.clock.nowMs() - this.#sinceMs;
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
