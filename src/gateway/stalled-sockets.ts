// Cuts sockets whose peer takes nothing of an answer that is written: the call is over by then, and nobody else looks.
// One sweep for all sockets, only while there are any; whoever still works on a call watches its reader itself.
import type { Socket } from 'node:net';
import type { Timer, Timers } from '../core/timers.ts';

/** What the sweep reads of a socket. A part of one large write that has left shows in the handle alone. */
export type Watched = Pick<Socket, 'writableLength' | 'bytesWritten'> & {
  readonly _handle?: { readonly writeQueueSize?: number } | null;
};

interface Seen {
  bytesLeft: number;
  /** When a sweep first found bytes waiting with as many gone; undefined while none wait. */
  sinceMs: number | undefined;
}

export interface StalledOptions<S> {
  readonly timers: Timers;
  /** How long a peer may take nothing while bytes wait for it. */
  readonly stallMs: number;
  /** Whether somebody else watches the reader of this socket. */
  readonly isOwned: (socket: S) => boolean;
  readonly cut: (socket: S) => void;
}

export class StalledSockets<S extends Watched> {
  readonly #options: StalledOptions<S>;
  readonly #sockets = new Map<S, Seen>();
  #timer: Timer | undefined;

  constructor(options: StalledOptions<S>) {
    this.#options = options;
  }

  add(socket: S): void {
    this.#sockets.set(socket, { bytesLeft: 0, sinceMs: undefined });
    this.#timer ??= this.#next();
  }

  delete(socket: S): void {
    this.#sockets.delete(socket);
    if (this.#sockets.size > 0) return;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  keys(): Iterable<S> {
    return this.#sockets.keys();
  }

  #next(): Timer {
    return this.#options.timers.after(this.#options.stallMs / 4, () => {
      this.#timer = this.#next();
      this.#sweep();
    });
  }

  #sweep(): void {
    const { timers, stallMs, isOwned, cut } = this.#options;
    const nowMs = timers.clock.nowMs();
    for (const [socket, seen] of this.#sockets) {
      const bytesLeft = leftOf(socket);
      const isWaiting = socket.writableLength > 0 && !isOwned(socket);
      if (!isWaiting) seen.sinceMs = undefined;
      else if (seen.sinceMs === undefined || bytesLeft !== seen.bytesLeft) {
        seen.bytesLeft = bytesLeft;
        seen.sinceMs = nowMs;
      } else if (nowMs >= seen.sinceMs + stallMs) cut(socket);
    }
  }
}

/** Bytes that the system has taken. */
const leftOf = ({ bytesWritten, writableLength, _handle }: Watched): number =>
  bytesWritten - (_handle?.writeQueueSize ?? writableLength);
