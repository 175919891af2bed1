// Opens the sockets of a pool, and knows of each that broke whether its request had left in full: one that had not, on a
// socket that had served before, was never executed and may be sent once more (worker 7). Costs a listener a socket.
import type { buildConnector } from 'undici';
import buildSocket from 'undici/lib/core/connect.js';

export class UnwrittenRequests {
  readonly #faults = new WeakSet<Error>();
  readonly connect: buildConnector.connector;

  constructor(connectMs: number) {
    const open = buildSocket({ timeout: connectMs, allowH2: false });
    this.connect = (options, opened) =>
      open(options, (...[fault, socket]) => {
        if (fault !== null) return opened(fault, null);
        // Before the pool's own listener, which gives the same fault to the call.
        socket.on('error', (broken: Error) => {
          if (socket.writableLength > 0 && socket.bytesRead > 0) this.#faults.add(broken);
        });
        opened(null, socket);
      });
  }

  /** Whether the fault broke off a request that was still being written to a kept socket. */
  has(fault: Error): boolean {
    return this.#faults.has(fault);
  }
}
