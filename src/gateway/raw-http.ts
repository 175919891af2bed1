// Speaks HTTP by hand over a socket, for tests of what no client library would send.
import { connect, type Socket } from 'node:net';

export interface RawAnswer {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
}

export interface RawSocket extends Disposable {
  readonly socket: Socket;
  /** Everything that has come. */
  readonly text: () => string;
  /** Resolves when what has come satisfies `isEnough`, rejects when the server closes before. */
  until(isEnough: (text: string) => boolean): Promise<string>;
  /** Resolves with everything when the server has closed. */
  closed(): Promise<string>;
}

export function openRaw(url: string): RawSocket {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  let text = '';
  let isClosed = false;
  const listeners = new Set<() => void>();
  const notify = (): void => {
    for (const listener of listeners) listener();
  };
  socket.setEncoding('latin1');
  socket.on('data', (part: string) => {
    text += part;
    notify();
  });
  socket.on('error', () => undefined);
  socket.on('close', () => {
    isClosed = true;
    notify();
  });
  const wait = (isEnough: () => boolean | Error): Promise<string> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        const state = isEnough();
        if (state === false) return;
        listeners.delete(look);
        if (state === true) resolve(text);
        else reject(state);
      };
      listeners.add(look);
      look();
    });
  return {
    socket,
    text: () => text,
    until: (isEnough) => wait(() => isEnough(text) || (isClosed && new Error(`closed after: ${text.slice(0, 500)}`))),
    closed: () => wait(() => isClosed),
    [Symbol.dispose]: () => void socket.destroy(),
  };
}

/** Sends bytes on a socket of their own and reads one answer with a content-length. */
export async function exchangeRaw(url: string, bytes: string | Buffer): Promise<RawAnswer> {
  using raw = openRaw(url);
  raw.socket.write(bytes);
  return parseRaw(await raw.until((text) => isWhole(text)));
}

export function parseRaw(text: string): RawAnswer {
  const end = text.indexOf('\r\n\r\n');
  const [first = '', ...lines] = text.slice(0, end).split('\r\n');
  const headers = new Map(
    lines.map((line) => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
    }),
  );
  return { status: Number(first.split(' ')[1]), headers, body: text.slice(end + 4) };
}

function isWhole(text: string): boolean {
  if (!text.includes('\r\n\r\n')) return false;
  const { headers, body } = parseRaw(text);
  return body.length >= Number(headers.get('content-length') ?? Number.POSITIVE_INFINITY);
}
