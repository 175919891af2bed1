// What leaves this process on one connection: the messages of one turn of the event loop go in one write.
// Each write wakes the server, and each message that it passes on wakes a peer, so messages that travel together cost
// a fraction of the same messages alone.
// O1. Messages `now` and `soon` keep their order among each other, and `batched` ones among themselves.
// O2. Nothing waits longer than its time and one tick of the timers.
// O3. What was taken when the connection breaks is lost, like what was already on its way.
import type { NatsConnection, PublishOptions } from '@nats-io/transport-node';
import type { Timer, Timers } from '../core/timers.ts';
import { atTurnEnd } from '../core/turn.ts';
import type { Log } from '../telemetry/log.ts';
import type { Urgency } from './bus.ts';
import type { WrittenHeaders } from './nats-headers.ts';

const SOON_MS = 5;
const BATCH_MS = 10;
/** A batch of this size leaves at once. */
const BATCH_MAX = 256;

export interface Outgoing {
  readonly subject: string;
  readonly bytes: Uint8Array;
  readonly reply?: string;
  readonly headers?: WrittenHeaders | undefined;
}

export class NatsOutbound {
  readonly #nc: NatsConnection;
  readonly #timers: Timers;
  readonly #log: Log;
  #waiting: Outgoing[] = [];
  #batch: Outgoing[] = [];
  #isLeaving = false;
  #soon: Timer | undefined;
  #batchEnd: Timer | undefined;

  constructor(nc: NatsConnection, timers: Timers, log: Log) {
    this.#nc = nc;
    this.#timers = timers;
    this.#log = log;
  }

  push(message: Outgoing, urgency: Urgency): void {
    switch (urgency) {
      case 'now':
        this.#waiting.push(message);
        if (!this.#isLeaving) atTurnEnd(this.#leave);
        this.#isLeaving = true;
        return;
      case 'soon':
        this.#waiting.push(message);
        if (!this.#isLeaving) this.#soon ??= this.#timers.after(SOON_MS, this.#leave);
        return;
      case 'batched':
        this.#batchEnd ??= this.#timers.after(BATCH_MS, this.#leaveBatch);
        if (this.#batch.push(message) >= BATCH_MAX) this.#leaveBatch();
    }
  }

  /** Gives all that waits to the client library, which writes it before the turn is over. */
  release(): void {
    this.#leave();
    this.#leaveBatch();
  }

  readonly #leave = (): void => {
    this.#isLeaving = false;
    this.#soon?.cancel();
    this.#soon = undefined;
    const leaving = this.#waiting;
    this.#waiting = [];
    for (const message of leaving) this.#publish(message);
  };

  readonly #leaveBatch = (): void => {
    this.#batchEnd?.cancel();
    this.#batchEnd = undefined;
    const leaving = this.#batch;
    this.#batch = [];
    for (const message of leaving) this.#publish(message);
  };

  #publish(message: Outgoing): void {
    try {
      this.#nc.publish(message.subject, message.bytes, message as unknown as PublishOptions);
    } catch (fault) {
      if (!this.#nc.isClosed()) this.#log.error('bus_message_not_sent', { route: message.subject, fault });
    }
  }
}
