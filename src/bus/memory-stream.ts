// A stream in memory with the observable behaviour of contracts 3: bounded, refusing when full, deduplicating by id,
// and feeding durable consumers that processes share.
// S1. A workqueue message goes when it is acknowledged; a limits message goes by age, and, since this stream ends with
//     the process anyway, an acknowledged one may go early once more than RETAINED_BYTES_MAX are held.
// S2. A delivery is open until ack, term or nak; an open one is delivered again when its ack wait is over.
import type { ConsumerSpec, StreamSpec } from '../contracts/streams.ts';
import { DUPLICATE_WINDOW_MS } from '../contracts/limits.ts';
import { BeamlineError } from '../core/errors.ts';
import { LiveMap } from '../core/live-map.ts';
import { Recent } from '../core/recent.ts';
import type { Timer, Timers } from '../core/timers.ts';
import type { Log } from '../telemetry/log.ts';
import type { Delivery, PubAck, Subscription } from './bus.ts';
import { deliver, type DeliveryHandler } from './delivering.ts';
import { Running } from './handling.ts';
import { bytesAtMost } from './message-size.ts';

const RETAINED_BYTES_MAX = 65_536;
/** No stream of one process holds more, whatever its settings allow a server. */
const STREAM_BYTES_MAX = 256 * 1_048_576;
const DUPLICATES_MAX = 2_000;
/** Expired messages are looked for at most this often. */
const SWEEP_MS = 1_000;

interface Stored {
  readonly seq: number;
  readonly message: unknown;
  readonly bytes: number;
  readonly atMs: number;
  acks: number;
}

interface StreamDeps {
  readonly timers: Timers;
  readonly log: Log;
}

export class MemoryStream {
  readonly #deps: StreamDeps;
  readonly #stored = new LiveMap<number, Stored>();
  readonly #ids = new Recent<{ readonly seq: number; readonly atMs: number }>(DUPLICATES_MAX);
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

  /** Stores a message; throws `unavailable` when the stream is full. */
  append(message: unknown, messageId?: string): PubAck {
    const nowMs = this.#deps.timers.clock.nowMs();
    const { name: stream } = this.#spec;
    const known = messageId === undefined ? undefined : this.#ids.get(messageId);
    if (known !== undefined && known.atMs > nowMs - DUPLICATE_WINDOW_MS)
      return { stream, seq: known.seq, duplicate: true };
    this.#forgetOld(nowMs);
    const bytes = bytesAtMost(message, Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY);
    if (this.#bytes + bytes > Math.min(this.#spec.bytesMax, STREAM_BYTES_MAX)) throw full(stream);
    const stored: Stored = { seq: ++this.#seq, message, bytes, atMs: nowMs, acks: 0 };
    this.#bytes += bytes;
    this.#stored.set(stored.seq, stored);
    if (messageId !== undefined) this.#ids.set(messageId, { seq: stored.seq, atMs: nowMs });
    for (const consumer of this.#consumers.values()) consumer.offer(stored);
    return { stream, seq: stored.seq, duplicate: false };
  }

  consumer(spec: ConsumerSpec): MemoryConsumer {
    let consumer = this.#consumers.get(spec.durable);
    if (consumer === undefined) {
      consumer = new MemoryConsumer(spec, this, this.#deps);
      this.#consumers.set(spec.durable, consumer);
      for (const stored of this.#stored.values()) consumer.offer(stored);
    }
    return consumer;
  }

  holds(stored: Stored): boolean {
    return this.#stored.has(stored.seq) && !this.#isExpired(stored, this.#deps.timers.clock.nowMs());
  }

  acknowledged(stored: Stored): void {
    stored.acks++;
    const isDone = this.#spec.retention === 'workqueue' || stored.acks >= this.#consumers.size;
    if (isDone && (this.#spec.retention === 'workqueue' || this.#bytes > RETAINED_BYTES_MAX)) this.#remove(stored);
  }

  close(): void {
    for (const consumer of this.#consumers.values()) consumer.close();
  }

  #isExpired(stored: Stored, nowMs: number): boolean {
    return this.#spec.ageMsMax > 0 && stored.atMs <= nowMs - this.#spec.ageMsMax;
  }

  #forgetOld(nowMs: number): void {
    if (nowMs < this.#sweepMs) return;
    this.#sweepMs = nowMs + SWEEP_MS;
    if (this.#spec.ageMsMax === 0) return;
    for (const stored of this.#stored.values()) {
      if (!this.#isExpired(stored, nowMs)) break;
      this.#remove(stored);
    }
  }

  #remove(stored: Stored): void {
    if (this.#stored.delete(stored.seq)) this.#bytes -= stored.bytes;
  }
}

const full = (stream: string): BeamlineError =>
  new BeamlineError('unavailable', `the stream ${stream} is full`, {
    details: { reason: 'stream_full' },
  });

/** One message on its way to one durable consumer. */
interface Flight {
  readonly stored: Stored;
  count: number;
  state: 'ready' | 'open' | 'naked' | 'done';
  timer: Timer | undefined;
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
  #wake: NodeJS.Immediate | undefined;

  constructor(spec: ConsumerSpec, stream: MemoryStream, deps: StreamDeps) {
    this.#spec = spec;
    this.#stream = stream;
    this.#deps = deps;
  }

  offer(stored: Stored): void {
    this.#ready.push({ stored, count: 0, state: 'ready', timer: undefined });
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
    this.#members = [];
    for (const flight of this.#open.values()) flight.timer?.cancel();
    this.#open.clear();
    this.#ready = [];
  }

  readonly #open = new LiveMap<number, Flight>();

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
    this.#ready = [...ready.slice(taken), ...this.#ready];
  }

  #deliver(flight: Flight, { handle, running }: Member): void {
    if (flight.count++ === 0) this.#unacknowledged++;
    flight.state = 'open';
    this.#open.set(flight.stored.seq, flight);
    this.#startAckWait(flight);
    deliver(this.#delivery(flight), handle, { spec: this.#spec, running, log: this.#deps.log });
  }

  #delivery(flight: Flight): Delivery<unknown> {
    let isOver = false;
    const end = (act: () => void) => (): void => {
      if (isOver || flight.state === 'done') return;
      isOver = true;
      act();
    };
    const over = end(() => {
      this.#finish(flight);
      this.#stream.acknowledged(flight.stored);
    });
    return {
      message: flight.stored.message,
      count: flight.count,
      seq: flight.stored.seq,
      ack: over,
      term: over,
      nak: (delayMs) => end(() => this.#again(flight, 'naked', delayMs))(),
      working: () => {
        if (!isOver && flight.state === 'open') this.#startAckWait(flight);
      },
    };
  }

  #startAckWait(flight: Flight): void {
    flight.timer?.cancel();
    flight.timer = this.#deps.timers.after(this.#spec.ackWaitMs, () => this.#again(flight, 'ready', 0));
  }

  #again(flight: Flight, state: 'ready' | 'naked', delayMs: number): void {
    flight.timer?.cancel();
    flight.state = state;
    const ready = (): void => {
      flight.state = 'ready';
      this.#ready.unshift(flight);
      this.#wakeUp();
    };
    if (delayMs > 0) flight.timer = this.#deps.timers.after(delayMs, ready);
    else ready();
  }

  #finish(flight: Flight): void {
    flight.timer?.cancel();
    flight.state = 'done';
    this.#open.delete(flight.stored.seq);
    if (flight.count > 0) this.#unacknowledged--;
    if (this.#ready.length > 0) this.#wakeUp();
  }
}
