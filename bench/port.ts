// Ports of children: found free before the start, awaited after it.
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Child } from './child.ts';

const START_WAIT_MS = 20_000;
const RETRY_MS = 50;

/** A port of 127.0.0.1 that nobody listens on now. */
export async function freePort(): Promise<number> {
  await using server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('a listener without a port');
  return address.port;
}

/** Tries until nothing is wrong; throws when a child ended or the time is over, with what is wrong. */
export async function untilReady(
  children: readonly Child[],
  findFault: () => Promise<string | undefined>,
): Promise<void> {
  const giveUpMs = performance.now() + START_WAIT_MS;
  for (;;) {
    // oxlint-disable-next-line no-await-in-loop -- one try after the other
    const fault = await findFault();
    if (fault === undefined) return;
    const ended = children.find((child) => !child.isRunning);
    if (ended !== undefined) throw new Error(`ended at its start: ${ended.lastWords()}`);
    if (performance.now() > giveUpMs) throw new Error(`not ready within ${START_WAIT_MS / 1000} s: ${fault}`);
    // oxlint-disable-next-line no-await-in-loop -- as above
    await sleep(RETRY_MS);
  }
}

/** What is wrong with connecting to the port, or nothing. */
export async function connectFault(port: number): Promise<string | undefined> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return undefined;
  } catch (error) {
    return String(error);
  } finally {
    socket.destroy();
  }
}
