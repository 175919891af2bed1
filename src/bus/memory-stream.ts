// A stream in memory with the observable behaviour of contracts 3: bounded, refusing when full, deduplicating by id,
// and feeding durable consumers that processes share.
// S1. A workqueue message goes when it is acknowledged; a limits message goes by age, and, since this stream ends with
//     the process anyway, an acknowledged one may go early once more than RETAINED_BYTES_MAX are held.
// S2. A delivery is open until ack, term or nak; an open one is delivered again when its ack wait is over.
import type { ConsumerSpec, StreamSpec } from '../contracts/streams.ts';
import { DUPLICATE_WINDOW_MS } from '../contracts/limits.ts';
import { BeamlineError } from '../core/errors.ts';
import { LiveList } from '../core/live-list.ts';
import { RecentNumbers } from '../core/recent-numbers.ts';
import type { Timer, Timers } from '../core/timers.ts';
import type { Log } from '../telemetry/log.ts';
import type { Delivery, PubAck, Subscription } from './bus.ts';
import { deliver, type DeliveryHandler } from './delivering.ts';
import { Running } from './handling.ts';

const RETAINED_BYTES_MAX = 65_536;
/** No stream of one process holds more, whatever its settings allow a server. */
const STREAM_BYTES_MAX = 256 * 1_048_576;
const DUPLICATES_MAX = 2_000;
/** Expired messages are looked for at most this often. */
const SWEEP_MS = 1_000;
/** Places at the front of a list that are given back at once. */
const COMPACT_AT = 1_024;

interface Stored {
  readonly seq: number;
  message: unknown;
  readonly bytes: number;
  readonly atMs: number;
  acks: number;
  isGone: boolean;
}

interface StreamDeps {
  readonly timers: Timers;
  readonly log: Log;
}

export class MemoryStream {
  readonly #deps: StreamDeps;
  /** In order; those before `#head` are gone. */
  #stored: (Stored | undefined)[] = [];
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
  append(message: unknown, bytes: number, messageId?: string): PubAck {
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
    const stored: Stored = { seq, message, bytes, atMs: nowMs, acks: 0, isGone: false };
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

  holds(stored: Stored): boolean {
    return !stored.isGone && !this.#isExpired(stored, this.#deps.timers.clock.nowMs());
  }

  acknowledged(stored: Stored): void {
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

  #isExpired(stored: Stored, nowMs: number): boolean {
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

  /** Lets the oldest messages go that every consumer has acknowledged. */
  #trim(): void {
    while (this.#bytes > RETAINED_BYTES_MAX) {
      const oldest = this.#stored[this.#head];
      if (oldest === undefined || oldest.acks < this.#consumers.size) return;
      this.#remove(oldest);
    }
  }

  #remove(stored: Stored): void {
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

/** One message on its way to one durable consumer; the handler's view of a delivery as well. */
class Flight implements Delivery<unknown> {
  readonly stored: Stored;
  readonly #consumer: MemoryConsumer;
  count = 0;
  state: 'ready' | 'open' | 'naked' | 'done' = 'ready';
  /** The moment of the redelivery, while it is open. */
  dueMs = 0;
  timer: Timer | undefined;
  /** Among the open ones; -1 while it is not. */
  place = -1;

  constructor(stored: Stored, consumer: MemoryConsumer) {
    this.stored = stored;
    this.#consumer = consumer;
  }

  get message(): unknown {
    return this.stored.message;
  }

  get seq(): number {
    return this.stored.seq;
  }

  ack(): void {
    this.#consumer.over(this);
  }

  term(): void {
    this.#consumer.over(this);
  }

  nak(delayMs: number): void {
    if (this.state === 'open') this.#consumer.again(this, delayMs);
  }

  working(): void {
    if (this.state === 'open') this.#consumer.startAckWait(this);
  }
}

interface Member {
  readonly handle: DeliveryHandler<unknown>;
  readonly running: Running;
}

class MemoryConsumer {
  readonly #spec: ConsumerSpec;
  readonly #stream: MemoryStream;
  readonly #deps: StreamDeps;
  #ready: Flight[] = [];
  #members: readonly Member[] = [];
  #turn = 0;
  /** Delivered and not yet acknowledged, as the server counts them: a nak with a delay stays among them. */
  #unacknowledged = 0;
  readonly #open = new LiveList<Flight>();
  #ackWait: Timer | undefined;
  #wake: NodeJS.Immediate | undefined;

  constructor(spec: ConsumerSpec, stream: MemoryStream, deps: StreamDeps) {
    this.#spec = spec;
    this.#stream = stream;
    this.#deps = deps;
  }

  offer(stored: Stored): void {
    this.#ready.push(new Flight(stored, this));
    this.#wakeUp();
  }

  join(handle: DeliveryHandler<unknown>): Subscription {
    const running = new Running({});
    const member: Member = { handle, running };
    this.#members = [...this.#members, member];
    this.#wakeUp();
    const drain = (): Promise<void> => {
      this.#members = this.#members.filter((other) => other !== member);
      return running.idle();
    };
    return {
      get pending() {
        return running.count;
      },
      drain,
      [Symbol.asyncDispose]: drain,
    };
  }

  close(): void {
    clearImmediate(this.#wake);
    this.#ackWait?.cancel();
    this.#members = [];
    for (const flight of this.#open.values()) this.#leave(flight);
    this.#ready = [];
  }

  #wakeUp(): void {
    if (this.#wake !== undefined || this.#members.length === 0) return;
    this.#wake = setImmediate(() => {
      this.#wake = undefined;
      this.#pump();
    });
  }

  #pump(): void {
    const ready = this.#ready;
    this.#ready = [];
    let taken = 0;
    for (; taken < ready.length; taken++) {
      const member = this.#members[this.#turn % this.#members.length];
      const flight = ready[taken];
      if (member === undefined || flight === undefined) break;
      if (flight.count === 0 && this.#unacknowledged >= this.#spec.ackPendingMax) break;
      if (flight.state === 'done' || !this.#stream.holds(flight.stored)) {
        if (flight.state !== 'done') this.#finish(flight);
        continue;
      }
      this.#turn++;
      this.#deliver(flight, member);
    }
    if (taken < ready.length) this.#ready = [...ready.slice(taken), ...this.#ready];
  }

  #deliver(flight: Flight, { handle, running }: Member): void {
    if (flight.count++ === 0) this.#unacknowledged++;
    flight.state = 'open';
    flight.place = this.#open.add(flight);
    this.startAckWait(flight);
    deliver(flight, handle, { spec: this.#spec, running, log: this.#deps.log });
  }

  #leave(flight: Flight): void {
    flight.timer?.cancel();
    if (flight.place >= 0) this.#open.delete(flight.place);
    flight.place = -1;
  }

  over(flight: Flight): void {
    if (flight.state === 'done') return;
    this.#finish(flight);
    this.#stream.acknowledged(flight.stored);
  }

  /** One timer looks after all open deliveries, so that one which is acknowledged at once costs none. */
  startAckWait(flight: Flight): void {
    flight.dueMs = this.#deps.timers.clock.nowMs() + this.#spec.ackWaitMs;
    this.#ackWait ??= this.#deps.timers.at(flight.dueMs, () => this.#redeliver());
  }

  again(flight: Flight, delayMs: number): void {
    this.#leave(flight);
    flight.state = delayMs > 0 ? 'naked' : 'ready';
    const ready = (): void => {
      flight.state = 'ready';
      this.#ready.unshift(flight);
      this.#wakeUp();
    };
    if (delayMs > 0) flight.timer = this.#deps.timers.after(delayMs, ready);
    else ready();
  }

  #redeliver(): void {
    this.#ackWait = undefined;
    const nowMs = this.#deps.timers.clock.nowMs();
    let nextMs = Number.POSITIVE_INFINITY;
    for (const flight of this.#open.values()) {
      if (flight.dueMs <= nowMs) this.again(flight, 0);
      else nextMs = Math.min(nextMs, flight.dueMs);
    }
    if (nextMs < Number.POSITIVE_INFINITY) this.#ackWait = this.#deps.timers.at(nextMs, () => this.#redeliver());
  }

  #finish(flight: Flight): void {
    flight.state = 'done';
    this.#leave(flight);
    if (flight.count > 0) this.#unacknowledged--;
    if (this.#ready.length > 0) this.#wakeUp();
  }
}
