// What leaves this process on one connection: the messages of one turn of the event loop go in one write.
// Each write wakes the server, and each message that it passes on wakes a peer, so messages that travel together cost
// a fraction of the same messages alone.
// O1. Order is kept. A message for which nobody waits travels with the next one for which somebody does, or after
//     LINGER_MS at the latest.
// O2. What was taken when the connection breaks is lost, like what was already on its way.
import type { NatsConnection, PublishOptions } from '@nats-io/transport-node';
import type { Log } from '../telemetry/log.ts';
import { atTurnEnd } from '../core/turn.ts';
import type { Timer, Timers } from '../core/timers.ts';
import type { Urgency } from './bus.ts';
import type { WrittenHeaders } from './nats-headers.ts';

const LINGER_MS = 5;

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
  #isLeaving = false;
  #linger: Timer | undefined;

  constructor(nc: NatsConnection, timers: Timers, log: Log) {
    this.#nc = nc;
    this.#timers = timers;
    this.#log = log;
  }

  push(message: Outgoing, urgency: Urgency): void {
    this.#waiting.push(message);
    if (this.#isLeaving) return;
    if (urgency === 'now') {
      this.#isLeaving = true;
      atTurnEnd(this.#atEnd);
    } else this.#linger ??= this.#timers.after(LINGER_MS, this.#atEnd);
  }

  /** Gives all that waits to the client library, which writes it before the turn is over. */
  release(): void {
    this.#isLeaving = false;
    this.#linger?.cancel();
    this.#linger = undefined;
    const leaving = this.#waiting;
    this.#waiting = [];
    for (const message of leaving) this.#publish(message);
  }

  readonly #atEnd = (): void => this.release();

  #publish(message: Outgoing): void {
    try {
      this.#nc.publish(message.subject, message.bytes, message as unknown as PublishOptions);
    } catch (fault) {
      if (!this.#nc.isClosed()) this.#log.error('bus_message_not_sent', { route: message.subject, fault });
    }
  }
}
