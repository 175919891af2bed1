// A durable consumer of a stream in memory, shared by those who joined it.
// C1. A delivery is open until ack, term or nak; an open one is delivered again when its ack wait is over.
// C2. A member holds at most as many open ones as it takes; what no member has room for waits.
import type { Payload } from '../contracts/contract.ts';
import type { HeaderSet } from '../contracts/headers.ts';
import type { ConsumerSpec } from '../contracts/streams.ts';
import { BeamlineError } from '../core/errors.ts';
import { LiveList } from '../core/live-list.ts';
import type { Timer } from '../core/timers.ts';
import type { Delivery, Subscription, Undeliverable } from './bus.ts';
import {
  deliver,
  type DeliveryHandler,
  EXHAUSTED,
  type Forgiving,
  giveUp,
  isExhausted,
  judge,
  type Reason,
  type UndeliverableHandler,
  unreadable,
} from './delivering.ts';
import { Running } from './handling.ts';
import { brokenBySent, headerFault } from './header-law.ts';
import type { Held, MemoryStream, StreamDeps } from './memory-stream.ts';

/** One message on its way to one durable consumer; the handler's view of a delivery as well. */
class Flight implements Delivery<unknown> {
  readonly stored: Held;
  readonly #consumer: MemoryConsumer;
  /** Deliveries by the processes before this one, and by this one. */
  readonly #earlier: number;
  tries = 0;
  state: 'ready' | 'open' | 'naked' | 'done' = 'ready';
  /** The moment of the redelivery, while it is open. */
  dueMs = 0;
  timer: Timer | undefined;
  /** Who has it, while it is open. */
  member: Member | undefined;
  /** Among the open ones; -1 while it is not. */
  place = -1;

  constructor(stored: Held, consumer: MemoryConsumer, earlier: number) {
    this.stored = stored;
    this.#consumer = consumer;
    this.#earlier = earlier;
  }

  get count(): number {
    return this.#earlier + this.tries;
  }

  get message(): unknown {
    return this.stored.message;
  }

  get seq(): number {
    return this.stored.seq;
  }

  get storedAtMs(): number {
    return this.stored.epochMs;
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

export interface Joining {
  readonly handle: DeliveryHandler<unknown>;
  readonly message: Payload<unknown>;
  /** What a message must carry. */
  readonly headers: HeaderSet | undefined;
  readonly pendingMax: number;
  readonly undeliverable: UndeliverableHandler | undefined;
  readonly forgiven: Forgiving<unknown>;
}

interface Member extends Joining {
  readonly running: Running;
  open: number;
}

export class MemoryConsumer {
  readonly #spec: ConsumerSpec;
  readonly #stream: MemoryStream;
  readonly #deps: StreamDeps;
  #ready: Flight[] = [];
  #members: readonly Member[] = [];
  #turn = 0;
  /** Delivered and not yet acknowledged, as the server counts them: a nak with a delay stays among them. */
  #unacknowledged = 0;
  readonly #open = new LiveList<Flight>();
  /** Refused for a time. */
  readonly #naked = new Set<Flight>();
  #ackWait: Timer | undefined;
  #wake: NodeJS.Immediate | undefined;

  constructor(spec: ConsumerSpec, stream: MemoryStream, deps: StreamDeps) {
    this.#spec = spec;
    this.#stream = stream;
    this.#deps = deps;
  }

  offer(stored: Held): void {
    const earlier = this.#deps.recorder?.deliveries(this.#spec.durable, stored.seq) ?? 0;
    this.#ready.push(new Flight(stored, this, earlier));
    this.#wakeUp();
  }

  join(joining: Joining): Subscription {
    const running = new Running({});
    const member: Member = { ...joining, running, open: 0 };
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
    this.#naked.clear();
    this.#ready = [];
  }

  /** Of what is neither acknowledged nor given up. */
  oldest(): Held | undefined {
    let oldest: Held | undefined;
    for (const flights of [this.#ready, this.#open.values(), this.#naked]) {
      for (const { stored } of flights) {
        if (!stored.isGone && (oldest === undefined || stored.seq < oldest.seq)) oldest = stored;
      }
    }
    return oldest;
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
      const flight = ready[taken];
      if (flight === undefined) break;
      if (flight.tries === 0 && this.#unacknowledged >= this.#spec.ackPendingMax) break;
      if (flight.state === 'done' || !this.#stream.holds(flight.stored)) {
        if (flight.state !== 'done') this.#finish(flight);
        continue;
      }
      const member = this.#nextMember();
      if (member === undefined) break;
      this.#deliver(flight, member);
    }
    if (taken < ready.length) this.#ready = [...ready.slice(taken), ...this.#ready];
  }

  /** By turns, those who have room. */
  #nextMember(): Member | undefined {
    for (let tries = this.#members.length; tries > 0; tries--) {
      const member = this.#members[this.#turn++ % this.#members.length];
      if (member !== undefined && member.open < member.pendingMax) return member;
    }
    return undefined;
  }

  #deliver(flight: Flight, member: Member): void {
    if (flight.tries++ === 0) this.#unacknowledged++;
    // Counted beyond the process, for a message that ends it each time must be given up as well.
    if (this.#spec.deliveryLimit !== undefined)
      this.#deps.recorder?.delivered(this.#spec.durable, flight.seq, flight.count);
    flight.state = 'open';
    flight.place = this.#open.add(flight);
    flight.member = member;
    member.open++;
    this.startAckWait(flight);
    const { handle, running, undeliverable, forgiven } = member;
    const { log, counters } = this.#deps;
    const reason = this.#reasonAgainst(flight, member);
    const spec = this.#spec;
    const goOn = (): void => deliver(flight, handle, { spec, running, log });
    const end = (why: Reason): void => {
      const told = (): Undeliverable => ({ ...this.#stream.told(flight.stored), count: flight.count, ...why });
      giveUp(flight, told, why, { spec, running, log, counters, undeliverable });
    };
    if (reason === undefined) return goOn();
    if (reason !== EXHAUSTED || forgiven === undefined) return end(reason);
    judge(flight, forgiven, { spec, running, log, goOn, giveUp: () => end(EXHAUSTED) });
  }

  /** Checks again only what was checked against something else when it came. */
  #reasonAgainst({ stored, count }: Flight, { message, headers }: Member): Reason | undefined {
    if (stored.contract?.message !== message && !message.check(stored.message)) {
      const details = { reason: 'schema' };
      return unreadable(new BeamlineError('invalid_request', message.fault(stored.message), { details }));
    }
    const broken = brokenBySent(headers, stored);
    if (broken !== undefined) return unreadable(headerFault(broken));
    return isExhausted(this.#spec, count) ? EXHAUSTED : undefined;
  }

  #leave(flight: Flight): void {
    flight.timer?.cancel();
    if (flight.place >= 0) this.#open.delete(flight.place);
    flight.place = -1;
    if (flight.member !== undefined) flight.member.open--;
    flight.member = undefined;
    if (this.#ready.length > 0) this.#wakeUp();
  }

  over(flight: Flight): void {
    if (flight.state === 'done') return;
    this.#finish(flight);
    this.#stream.acknowledged(flight.stored, this.#spec.durable);
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
      this.#naked.delete(flight);
      flight.state = 'ready';
      this.#ready.unshift(flight);
      this.#wakeUp();
    };
    if (delayMs <= 0) return ready();
    this.#naked.add(flight);
    flight.timer = this.#deps.timers.after(delayMs, ready);
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
    if (flight.state === 'naked') this.#naked.delete(flight);
    flight.state = 'done';
    this.#leave(flight);
    if (flight.tries > 0) this.#unacknowledged--;
  }
}
