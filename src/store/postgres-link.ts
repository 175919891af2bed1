// One connection to a PostgreSQL server while it serves one statement of somebody else.
import type { Socket } from 'node:net';
import type { PoolClient } from 'pg';

/** What comes over the socket beside the rows that are kept: heads, and rows that a write returns beyond them. */
const SOCKET_BYTES_MAX = 4_194_304;

export interface Link extends AsyncDisposable {
  /** The statement came to its end, and the connection may serve another. */
  isDone: boolean;
  /** More came than may. */
  readonly isFull: boolean;
  cut(): void;
}

/** A connection for one statement: cut by the signal, or when too much comes over it. */
export function linkOf(client: PoolClient, signal: AbortSignal): Link {
  // The client library's types do not name the socket.
  const { stream } = (client as unknown as { readonly connection: { readonly stream: Socket } }).connection;
  let bytes = 0;
  let isCut = false;
  const cut = (): void => {
    isCut = true;
    stream.destroy();
  };
  const count = ({ length }: Buffer): void => {
    bytes += length;
    if (bytes > SOCKET_BYTES_MAX) cut();
  };
  // Without a listener a connection that breaks would end the process.
  const broken = (): void => undefined;
  client.on('error', broken);
  stream.on('data', count);
  signal.addEventListener('abort', cut, { once: true });
  return {
    isDone: false,
    get isFull() {
      return bytes > SOCKET_BYTES_MAX;
    },
    cut,
    async [Symbol.asyncDispose]() {
      signal.removeEventListener('abort', cut);
      stream.off('data', count);
      const isOver = isCut || !this.isDone;
      client.release(isOver);
      // One that is closed may still tell of it.
      if (!isOver) client.off('error', broken);
    },
  };
}
