// One delivery of a NATS stream, as its handler sees it.
import type { JsMsg } from '@nats-io/jetstream';
import type { Delivery } from './bus.ts';
import type { NatsLink } from './nats-link.ts';
import type { Hold } from './pending-room.ts';

const ACK = new TextEncoder().encode('+ACK');

/** What the server knows of a delivery is read from its reply subject only when somebody asks. */
export class NatsDelivery<M> implements Delivery<M> {
  readonly message: M;
  readonly #msg: JsMsg;
  readonly #link: NatsLink;
  readonly #hold: Hold | undefined;
  #isSettled = false;

  constructor(message: M, msg: JsMsg, link: NatsLink, hold: Hold | undefined) {
    this.message = message;
    this.#msg = msg;
    this.#link = link;
    this.#hold = hold;
  }

  get count(): number {
    return this.#msg.info.deliveryCount;
  }

  get seq(): number {
    return this.#msg.seq;
  }

  get storedAtMs(): number {
    return this.#msg.time.getTime();
  }

  /** Travels with other messages. One that is lost with its connection is answered by another delivery. */
  ack(): void {
    if (!this.#settle() || this.#link.nc === undefined) return;
    this.#link.send({ subject: replyOf(this.#msg), bytes: ACK }, 'batched');
  }

  nak(delayMs: number): void {
    if (this.#settle()) this.#msg.nak(delayMs);
  }

  term(): void {
    if (this.#settle()) this.#msg.term();
  }

  working(): void {
    if (this.#isSettled) return;
    this.#msg.working();
    this.#hold?.extend();
  }

  #settle(): boolean {
    if (this.#isSettled) return false;
    this.#isSettled = true;
    this.#hold?.release();
    return true;
  }
}

/** The client library's type does not name it. */
const replyOf = (msg: JsMsg): string => (msg as JsMsg & { readonly reply: string }).reply;
