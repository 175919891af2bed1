// Whether a server speaks, before the client library is let at it: a dial of the library that gets a connection but no
// greeting, as from a stopped server, would leave its socket open for ever.
import { connect } from 'node:net';

const PORT = 4_222;

/** Resolves to true once the server sent its first bytes; the socket is gone in any case. */
export function greets(url: string, timeoutMs: number): Promise<boolean> {
  const { hostname, port } = new URL(url.includes('://') ? url : `nats://${url}`);
  return new Promise((resolve) => {
    const socket = connect({
      host: hostname.replace(/^\[|\]$/g, ''),
      port: port === '' ? PORT : Number(port),
    });
    const timer = setTimeout(() => socket.destroy(), timeoutMs);
    let isGreeted = false;
    socket.once('data', () => {
      isGreeted = true;
      socket.destroy();
    });
    socket.on('error', () => socket.destroy());
    socket.once('close', () => {
      clearTimeout(timer);
      resolve(isGreeted);
    });
  });
}
