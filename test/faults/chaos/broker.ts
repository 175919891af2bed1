// The NATS that a run works on, with its stores on the disk: one server, or three of which one at a time is down.
import { setTimeout as sleep } from 'node:timers/promises';
import { startNatsCluster } from '../../nats-cluster.ts';
import { type NatsServer, startNatsServer } from '../../nats-server.ts';
import type { Random } from './random.ts';

/** A server of 2.9 that was killed may never take up some of its copies again. */
const WHOLE_MS = 20_000;

export interface Broker extends AsyncDisposable {
  readonly url: string;
  /** Kills a server with SIGKILL, now. Its `back` settles when it runs again, and has all that the others have. */
  kill(downMs: number): Promise<{ readonly back: Promise<void> }>;
}

export const startBroker = (servers: 1 | 3, random: Random): Promise<Broker> =>
  servers === 1 ? startOne() : startThree(random);

async function startOne(): Promise<Broker> {
  const server = await startNatsServer();
  return {
    url: server.url,
    async kill(downMs) {
      await server.kill();
      return { back: restarted(server, downMs) };
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

async function startThree(random: Random): Promise<Broker> {
  const cluster = await startNatsCluster();
  const restartedWhole = async (node: NatsServer | undefined, downMs: number): Promise<void> => {
    if (node !== undefined) await restarted(node, downMs);
    await cluster.whole(WHOLE_MS);
  };
  return {
    url: cluster.url,
    async kill(downMs) {
      const node = cluster.nodes[Math.floor(random() * cluster.nodes.length)];
      await node?.kill();
      return { back: restartedWhole(node, downMs) };
    },
    [Symbol.asyncDispose]: () => cluster[Symbol.asyncDispose](),
  };
}

async function restarted(server: NatsServer, downMs: number): Promise<void> {
  await sleep(downMs);
  await server.restart();
}
