// Replies for a whole process on one inbox subscription: a Map from token to waiting request, and `publish`.
// R1. Every request ends: by its reply, by `timeout`, by its signal, or at once when the connection is lost.
// R2. A reply after the end finds no token and is ignored.
import type { Msg } from '@nats-io/transport-node';
import { BeamlineError } from '../core/errors.ts';
import { newHex } from '../core/ids.ts';
import { LiveMap } from '../core/live-map.ts';
import type { Timer } from '../core/timers.ts';
import type { Urgency } from './bus.ts';
import { statusOf, type WrittenHeaders } from './nats-headers.ts';
import { connectionLost, type NatsLink } from './nats-link.ts';
import { cancelled, timedOut } from './reply-race.ts';

const WAITING_MAX = 100_000;
const NO_RESPONDERS = 503;

export interface Call<R> {
  readonly subject: string;
  readonly bytes: Uint8Array;
  readonly headers: WrittenHeaders | undefined;
  readonly timeoutMs: number;
  readonly urgency?: Urgency | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Makes the reply of the message; what it throws is the end of the request. */
  readonly read: (msg: Msg) => R;
}

interface Waiting {
  settle(msg: Msg): void;
  fail(fault: BeamlineError): void;
}

export class NatsRequests {
  readonly #link: NatsLink;
  readonly #prefix = `_INBOX.${newHex(16)}.`;
  readonly #waiting = new LiveMap<Waiting>();
  #calls = 0;

  constructor(link: NatsLink) {
    this.#link = link;
    link.eachConnection((nc) => {
      nc.subscribe(`${this.#prefix}*`, {
        callback: (fault, msg) => {
          if (fault === null) this.#waiting.get(msg.subject.slice(this.#prefix.length))?.settle(msg);
        },
      });
    });
    link.onLoss(() => {
      if (this.#waiting.size === 0) return;
      const fault = connectionLost();
      for (const waiting of this.#waiting.values()) waiting.fail(fault);
    });
  }

  call<R>(call: Call<R>): Promise<R> {
    if (this.#waiting.size >= WAITING_MAX) {
      return Promise.reject(new BeamlineError('service_overloaded', 'too many requests wait for a reply'));
    }
    const { signal } = call;
    if (signal?.aborted === true) return Promise.reject(cancelled());
    const token = (this.#calls++).toString(36);
    return new Promise((resolve, reject) => {
      const wait = new Wait(this.#waiting, token, call, resolve, reject);
      const { subject, bytes, headers, urgency } = call;
      this.#link.send({ subject, bytes, headers, reply: this.#prefix + token }, urgency);
      wait.start(this.#link);
    });
  }
}

class Wait<R> implements Waiting {
  readonly #all: LiveMap<Waiting>;
  readonly #token: string;
  readonly #call: Call<R>;
  readonly #resolve: (reply: R) => void;
  readonly #reject: (fault: BeamlineError) => void;
  #timer: Timer | undefined;
  #abort: (() => void) | undefined;

  constructor(
    all: LiveMap<Waiting>,
    token: string,
    call: Call<R>,
    resolve: (reply: R) => void,
    reject: (fault: BeamlineError) => void,
  ) {
    this.#all = all;
    this.#token = token;
    this.#call = call;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  start(link: NatsLink): void {
    const { timeoutMs, signal } = this.#call;
    this.#all.set(this.#token, this);
    this.#timer = link.timers.after(timeoutMs, () => this.fail(timedOut(timeoutMs)));
    if (signal === undefined) return;
    this.#abort = () => this.fail(cancelled());
    signal.addEventListener('abort', this.#abort, { once: true });
  }

  settle(msg: Msg): void {
    this.#end();
    if (statusOf(msg) === NO_RESPONDERS) {
      const details = { reason: 'no_responders' };
      this.#reject(new BeamlineError('unavailable', 'nobody serves the subject', { details }));
      return;
    }
    try {
      this.#resolve(this.#call.read(msg));
    } catch (thrown) {
      this.#reject(BeamlineError.from(thrown));
    }
  }

  fail(fault: BeamlineError): void {
    this.#end();
    this.#reject(fault);
  }

  #end(): void {
    this.#all.delete(this.#token);
    this.#timer?.cancel();
    if (this.#abort !== undefined) this.#call.signal?.removeEventListener('abort', this.#abort);
  }
}
