// A stream in memory with the observable behaviour of contracts 3: bounded, refusing when full, deduplicating by id,
// and feeding durable consumers that processes share.
// S1. A workqueue message goes when it is acknowledged; a limits message goes by age, and, since this stream ends with
//     the process anyway, an acknowledged one may go early once more than RETAINED_BYTES_MAX are held.
// S2. A delivery is open until ack, term or nak; an open one is delivered again when its ack wait is over.
import type { EventContract } from '../contracts/contract.ts';
import { DUPLICATE_WINDOW_MS } from '../contracts/limits.ts';
import type { ConsumerSpec, StreamSpec } from '../contracts/streams.ts';
import { BeamlineError } from '../core/errors.ts';
import { RecentNumbers } from '../core/recent-numbers.ts';
import type { Timers } from '../core/timers.ts';
import type { Log } from '../telemetry/log.ts';
import type { PubAck, Stored } from './bus.ts';
import type { ContractCounters } from './bus-counters.ts';
import { MemoryConsumer } from './memory-consumer.ts';
import { headersSent, type Origin } from './sent-headers.ts';

const RETAINED_BYTES_MAX = 65_536;
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
  /** What it was checked against when it came. */
  readonly contract: EventContract<string, unknown>;
  readonly origin: Origin;
  readonly bytes: number;
  readonly atMs: number;
  acks: number;
  isGone: boolean;
}

export interface StreamDeps {
  readonly timers: Timers;
  readonly log: Log;
  readonly counters: ContractCounters;
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
  }

  set spec(spec: StreamSpec) {
    this.#spec = spec;
  }

  /** Stores a message of at most so many bytes; throws `unavailable` when the stream is full. */
  append(contract: EventContract<string, unknown>, message: unknown, bytes: number, origin: Origin): PubAck {
    const { messageId } = origin;
    const nowMs = this.#deps.timers.clock.nowMs();
    const { name: stream } = this.#spec;
    this.#forgetOld(nowMs);
    if (this.#bytes + bytes > Math.min(this.#spec.bytesMax, STREAM_BYTES_MAX)) throw full(stream);
    const seq = this.#seq + 1;
    const known = messageId === undefined ? undefined : this.#ids.replace(messageId, seq);
    if (messageId !== undefined && known !== undefined && this.#isRecent(known, nowMs)) {
      this.#ids.replace(messageId, known);
      return { stream, seq: known, duplicate: true };
    }
    this.#seq = seq;
    this.#atMs[seq % this.#atMs.length] = nowMs;
    const stored: Held = { seq, message, contract, origin, bytes, atMs: nowMs, acks: 0, isGone: false };
    this.#bytes += bytes;
    this.#stored.push(stored);
    for (const consumer of this.#consumers.values()) consumer.offer(stored);
    return { stream, seq, duplicate: false };
  }

  consumer(spec: ConsumerSpec): MemoryConsumer {
    let consumer = this.#consumers.get(spec.durable);
    if (consumer === undefined) {
      consumer = new MemoryConsumer(spec, this, this.#deps);
      this.#consumers.set(spec.durable, consumer);
      for (const stored of this.#stored) if (stored !== undefined && !stored.isGone) consumer.offer(stored);
    }
    return consumer;
  }

  read({ fromSeq, limit }: { readonly fromSeq: number; readonly limit: number }): readonly Stored[] {
    this.#forgetOld(this.#deps.timers.clock.nowMs());
    const found: Stored[] = [];
    for (let place = this.#placeOf(fromSeq); place < this.#stored.length && found.length < limit; place++) {
      const stored = this.#stored[place];
      if (stored !== undefined && this.holds(stored)) found.push(this.told(stored));
    }
    return found;
  }

  /** A message as somebody sees it who may not be able to read it. */
  told({ seq, message, contract, origin, atMs }: Held): Stored {
    const { clock } = this.#deps.timers;
    return {
      seq,
      subject: this.#spec.subject,
      storedAtMs: Math.round(clock.epochMs() - (clock.nowMs() - atMs)),
      headers: headersSent(contract.headers, origin),
      body: new TextEncoder().encode(JSON.stringify(message)),
    };
  }

  remove(seq: number): boolean {
    const stored = this.#stored[this.#placeOf(seq)];
    if (stored?.seq !== seq || !this.holds(stored)) return false;
    this.#remove(stored);
    return true;
  }

  trim(belowSeq: number): number {
    let removed = 0;
    for (const stored of this.#stored.slice(this.#head, this.#placeOf(belowSeq))) {
      if (stored === undefined || stored.isGone) continue;
      this.#remove(stored);
      removed++;
    }
    return removed;
  }

  holds(stored: Held): boolean {
    return !stored.isGone && !this.#isExpired(stored, this.#deps.timers.clock.nowMs());
  }

  acknowledged(stored: Held): void {
    stored.acks++;
    if (this.#spec.retention === 'workqueue') this.#remove(stored);
    else this.#trim();
  }

  close(): void {
    for (const consumer of this.#consumers.values()) consumer.close();
  }

  #isRecent(seq: number, nowMs: number): boolean {
    const atMs = this.#atMs[seq % this.#atMs.length] ?? 0;
    return this.#seq - seq < this.#atMs.length && atMs > nowMs - DUPLICATE_WINDOW_MS;
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
