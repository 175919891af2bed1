// A stream in memory with the observable behaviour of contracts 3: bounded, refusing when full, deduplicating by id,
// and feeding durable consumers that processes share.
// S1. A workqueue message goes when it is acknowledged; a limits message goes by age, and, since this stream ends with
//     the process anyway, an acknowledged one may go early once more than RETAINED_BYTES_MAX are held.
// S2. With a journal nothing goes early, and a message is given to consumers once it is on the disk.
import type { EventContract } from '../contracts/contract.ts';
import { DUPLICATE_WINDOW_MS } from '../contracts/limits.ts';
import type { ConsumerSpec, StreamSpec } from '../contracts/streams.ts';
import { BeamlineError } from '../core/errors.ts';
import { RecentNumbers } from '../core/recent-numbers.ts';
import type { Timers } from '../core/timers.ts';
import type { Log } from '../telemetry/log.ts';
import type { Progress, PubAck, Stored } from './bus.ts';
import type { ContractCounters } from './bus-counters.ts';
import { MemoryConsumer } from './memory-consumer.ts';
import type { LeftStream } from './memory-left.ts';
import type { StreamRecorder, Told } from './memory-recorder.ts';
import { headersSent, type Origin } from './sent-headers.ts';

const RETAINED_BYTES_MAX = 8_192;
/** No stream of one process holds more, whatever its settings allow a server. */
const STREAM_BYTES_MAX = 256 * 1_048_576;
const DUPLICATES_MAX = 2_000;
/** Expired messages are looked for at most this often. */
const SWEEP_MS = 1_000;
/** Places at the front of a list that are given back at once. */
const COMPACT_AT = 1_024;

/** A message as its stream holds it. */
export interface Held {
  readonly seq: number;
  message: unknown;
  /** What it was checked against when it came; undefined for one that a process before this one took. */
  readonly contract: EventContract<string, unknown> | undefined;
  readonly origin: Origin;
  readonly bytes: number;
  readonly atMs: number;
  /** The same moment, Unix epoch. */
  readonly epochMs: number;
  acks: number;
  /** Whether consumers may have it. */
  isReady: boolean;
  isGone: boolean;
}

export interface StreamDeps {
  readonly timers: Timers;
  readonly log: Log;
  readonly counters: ContractCounters;
  /** Without one the stream ends with the process. */
  readonly recorder: StreamRecorder | undefined;
}

export class MemoryStream {
  readonly #deps: StreamDeps;
  /** In order; those before `#head` are gone. */
  #stored: (Held | undefined)[] = [];
  #head = 0;
  readonly #ids = new RecentNumbers(DUPLICATES_MAX);
  /** When the newest messages came, by sequence. */
  readonly #atMs = new Float64Array(2 * DUPLICATES_MAX);
  readonly #consumers = new Map<string, MemoryConsumer>();
  #spec: StreamSpec;
  #bytes = 0;
  #seq = 0;
  #sweepMs = 0;

  constructor(spec: StreamSpec, deps: StreamDeps) {
    this.#spec = spec;
    this.#deps = deps;
    const left = deps.recorder?.attach(() => this.#toldAll());
    if (left !== undefined) this.#restore(left);
  }

  set spec(spec: StreamSpec) {
    this.#spec = spec;
  }

  /**
   * Stores a message of at most so many bytes; throws `unavailable` when the stream or its journal is full.
   * With a journal a promise, which rejects when it is not sure that the message is kept.
   */
  append(
    contract: EventContract<string, unknown>,
    message: unknown,
    bytes: number,
    origin: Origin,
  ): PubAck | Promise<PubAck> {
    const { messageId } = origin;
    const nowMs = this.#deps.timers.clock.nowMs();
    const { name: stream } = this.#spec;
    this.#forgetOld(nowMs);
    if (this.#bytes + bytes > Math.min(this.#spec.bytesMax, STREAM_BYTES_MAX)) throw full(stream);
    const seq = this.#seq + 1;
    const known = messageId === undefined ? undefined : this.#ids.replace(messageId, seq);
    if (messageId !== undefined && known !== undefined && this.#isRecent(known, nowMs)) {
      this.#ids.replace(messageId, known);
      return this.#settled({ stream, seq: known, duplicate: true }, this.#deps.recorder?.synced());
    }
    const epochMs = this.#deps.timers.clock.epochMs();
    const place = { atMs: nowMs, epochMs, acks: 0, isReady: false, isGone: false };
    const stored: Held = { seq, message, contract, origin, bytes, ...place };
    const kept = this.#recorded(stored);
    this.#seq = seq;
    this.#atMs[seq % this.#atMs.length] = nowMs;
    this.#bytes += bytes;
    this.#stored.push(stored);
    const ack = { stream, seq, duplicate: false };
    if (kept !== undefined)
      return this.#settled(
        ack,
        kept.then(() => this.#offer(stored)),
      );
    this.#offer(stored);
    return ack;
  }

  consumer(spec: ConsumerSpec): MemoryConsumer {
    let consumer = this.#consumers.get(spec.durable);
    if (consumer === undefined) {
      consumer = new MemoryConsumer(spec, this, this.#deps);
      this.#consumers.set(spec.durable, consumer);
      for (const stored of this.#stored) if (this.#isWanted(stored, spec)) consumer.offer(stored);
    }
    return consumer;
  }

  read({ fromSeq, limit }: { readonly fromSeq: number; readonly limit: number }): readonly Stored[] {
    this.#forgetOld(this.#deps.timers.clock.nowMs());
    const found: Stored[] = [];
    for (let place = this.#placeOf(fromSeq); place < this.#stored.length && found.length < limit; place++) {
      const stored = this.#stored[place];
      if (stored?.isReady === true && this.holds(stored)) found.push(this.told(stored));
    }
    return found;
  }

  progress(durable: string): Progress {
    const oldest = this.#oldestLeft(durable);
    const lastSeq = this.#seq;
    if (oldest === undefined) return { lastSeq, settledSeq: lastSeq, oldestAtMs: undefined };
    return { lastSeq, settledSeq: oldest.seq - 1, oldestAtMs: oldest.epochMs };
  }

  /** A message as somebody sees it who may not be able to read it. */
  told(stored: Held): Stored {
    const { seq, epochMs, headers, message } = this.#told(stored);
    const body = new TextEncoder().encode(JSON.stringify(message));
    return { seq, subject: this.#spec.subject, storedAtMs: epochMs, headers, body };
  }

  async remove(seq: number): Promise<boolean> {
    const stored = this.#stored[this.#placeOf(seq)];
    if (stored?.seq !== seq || !this.holds(stored)) return false;
    const kept = this.#deps.recorder?.removed(seq);
    this.#remove(stored);
    await kept;
    return true;
  }

  async trim(belowSeq: number): Promise<number> {
    const below = this.#stored.slice(this.#head, this.#placeOf(belowSeq)).filter((stored) => stored?.isGone === false);
    if (below.length === 0) return 0;
    const kept = this.#deps.recorder?.trimmed(belowSeq);
    for (const stored of below) if (stored !== undefined) this.#remove(stored);
    await kept;
    return below.length;
  }

  holds(stored: Held): boolean {
    return !stored.isGone && !this.#isExpired(stored, this.#deps.timers.clock.nowMs());
  }

  acknowledged(stored: Held, durable: string): void {
    stored.acks++;
    const { recorder } = this.#deps;
    const isQueue = this.#spec.retention === 'workqueue';
    if (isQueue) recorder?.acknowledged(durable, stored.seq);
    else recorder?.settled(durable, stored.seq);
    if (isQueue) this.#remove(stored);
    else if (recorder === undefined) this.#trim();
  }

  close(): void {
    for (const consumer of this.#consumers.values()) consumer.close();
  }

  /** A message that finds no room in the journal was never here, nor was its id. */
  #recorded(stored: Held): Promise<void> | undefined {
    try {
      return this.#deps.recorder?.appended(this.#told(stored));
    } catch (fault) {
      if (stored.origin.messageId !== undefined) this.#ids.replace(stored.origin.messageId, 0);
      throw fault;
    }
  }

  /** The acknowledgement, once what it promises is kept. */
  #settled(ack: PubAck, kept: Promise<void> | undefined): PubAck | Promise<PubAck> {
    return kept === undefined ? ack : kept.then(() => ack);
  }

  #offer(stored: Held): void {
    stored.isReady = true;
    for (const consumer of this.#consumers.values()) consumer.offer(stored);
  }

  #oldestLeft(durable: string): Held | undefined {
    const consumer = this.#consumers.get(durable);
    if (consumer === undefined || this.#spec.retention === 'workqueue') {
      const isDone = (seq: number): boolean => this.#deps.recorder?.isDone(durable, seq) === true;
      return this.#stored.find((stored) => stored?.isGone === false && !isDone(stored.seq));
    }
    return consumer.oldest() ?? this.#oldestUnready();
  }

  /** Of the newest ones, which the journal is still writing. */
  #oldestUnready(): Held | undefined {
    const ready = this.#stored.findLastIndex((stored) => stored?.isReady !== false);
    return this.#stored[ready + 1];
  }

  #isWanted(stored: Held | undefined, { durable }: ConsumerSpec): stored is Held {
    if (stored?.isReady !== true || stored.isGone) return false;
    return this.#deps.recorder?.isDone(durable, stored.seq) !== true;
  }

  #told(stored: Held): Told {
    const { seq, epochMs, message, contract, origin } = stored;
    const headers = headersSent(contract?.headers, origin);
    return { seq, epochMs, messageId: origin.messageId, headers, message };
  }

  /** Those that are held now, one after the other; what goes meanwhile is left out. */
  #toldAll(): Iterable<Told> {
    const held = this.#stored.slice(this.#head);
    const told = (stored: Held): Told => this.#told(stored);
    return (function* () {
      for (const stored of held) if (stored?.isGone === false) yield told(stored);
    })();
  }

  #restore({ seq, messages, ids }: LeftStream): void {
    const { clock } = this.#deps.timers;
    const startMs = clock.nowMs() - clock.epochMs();
    this.#seq = seq;
    for (const { messageId, headers, message, bytes, ...left } of messages.values()) {
      const origin = { headers, ...(messageId === undefined ? {} : { messageId }) };
      const atMs = Math.min(clock.nowMs(), startMs + left.epochMs);
      const restored = { contract: undefined, acks: 0, isReady: true, isGone: false };
      this.#stored.push({ ...restored, seq: left.seq, message, origin, bytes, atMs, epochMs: left.epochMs });
      this.#bytes += bytes;
    }
    for (const [id, number, epochMs] of ids.values()) {
      this.#ids.replace(id, number);
      this.#atMs[number % this.#atMs.length] = startMs + epochMs;
    }
  }

  #isRecent(seq: number, nowMs: number): boolean {
    const atMs = this.#atMs[seq % this.#atMs.length] ?? 0;
    return seq > 0 && this.#seq - seq < this.#atMs.length && atMs > nowMs - DUPLICATE_WINDOW_MS;
  }

  #isExpired(stored: Held, nowMs: number): boolean {
    return this.#spec.ageMsMax > 0 && stored.atMs <= nowMs - this.#spec.ageMsMax;
  }

  #forgetOld(nowMs: number): void {
    if (nowMs < this.#sweepMs) return;
    this.#sweepMs = nowMs + SWEEP_MS;
    if (this.#spec.ageMsMax === 0) return;
    for (const stored of this.#stored.slice(this.#head)) {
      if (stored === undefined) continue;
      if (!this.#isExpired(stored, nowMs)) break;
      this.#remove(stored);
    }
  }

  /** Where the first message from a sequence on is. */
  #placeOf(seq: number): number {
    let low = this.#head;
    let high = this.#stored.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#stored[middle]?.seq ?? 0) < seq) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Lets the oldest messages go that every consumer has acknowledged. */
  #trim(): void {
    while (this.#bytes > RETAINED_BYTES_MAX) {
      const oldest = this.#stored[this.#head];
      if (oldest === undefined || oldest.acks < this.#consumers.size) return;
      this.#remove(oldest);
    }
  }

  #remove(stored: Held): void {
    if (stored.isGone) return;
    stored.isGone = true;
    stored.message = undefined;
    this.#bytes -= stored.bytes;
    while (this.#stored[this.#head]?.isGone === true) this.#stored[this.#head++] = undefined;
    if (this.#head < COMPACT_AT || this.#head * 2 < this.#stored.length) return;
    this.#stored = this.#stored.slice(this.#head);
    this.#head = 0;
  }
}

const full = (stream: string): BeamlineError =>
  new BeamlineError('unavailable', `the stream ${stream} is full`, {
    details: { reason: 'stream_full' },
  });
