// A real cluster of three nats-servers for tests, each a process with its own store that can be killed and stopped.
import { jetstreamManager, type StreamInfo } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { freePort, type NatsServer, startNatsServer } from './nats-server.ts';
import { until } from './until.ts';

const START_MS = 30_000;
const ASK_MS = 1_000;
const STEP_DOWN = '$JS.API.STREAM.LEADER.STEPDOWN';

export interface NatsNode extends NatsServer {
  readonly name: string;
}

export interface NatsCluster extends AsyncDisposable {
  /** All servers, separated by commas. */
  readonly url: string;
  readonly nodes: readonly NatsNode[];
  /** The node that leads the stream; waits until one does, as far as one of the nodes tells. */
  leaderOf(stream: string): Promise<NatsNode>;
  /** Resolves when another node leads the stream. */
  stepDown(stream: string): Promise<void>;
  /** Resolves when all copies of the stream are as new as its leader's. */
  settled(stream: string): Promise<void>;
  /**
   * Resolves when most copies of every stream are as new as their leader's. Waits for no more, since a server of 2.9 that
   * was killed may never take up some of its copies again (in two of ten runs on a busy machine).
   */
  inQuorum(): Promise<void>;
  /** Resolves when all copies of every stream are as new as their leader's, or after `longestMs`, for the same reason. */
  whole(longestMs: number): Promise<void>;
}

export async function startNatsCluster(): Promise<NatsCluster> {
  await using opening = new AsyncDisposableStack();
  const routes = await ports(3);
  const routeUrls = routes.map((port) => `nats://127.0.0.1:${port}`).join(',');
  const started = routes.map(async (port, n): Promise<NatsNode> => {
    const name = `n${n + 1}`;
    const cluster = ['--cluster_name', 'test', '--cluster', `nats://127.0.0.1:${port}`, '--routes', routeUrls];
    const server = opening.use(await startNatsServer({ args: ['--server_name', name, ...cluster] }));
    return Object.assign(server, { name });
  });
  const nodes = await Promise.all(started);
  const url = nodes.map((node) => node.url).join(',');
  const cluster = clusterOf(nodes, url);
  await until('the servers to elect a leader', () => askAny(nodes, ({ streams }) => streams.names().next()), START_MS);
  const opened = opening.move();
  return { ...cluster, [Symbol.asyncDispose]: () => opened.disposeAsync() };
}

function clusterOf(nodes: readonly NatsNode[], url: string): Omit<NatsCluster, keyof AsyncDisposable> {
  const infoOf = (stream: string) => askAny(nodes, ({ streams }) => streams.info(stream));
  const everyStream = async (is: (info: StreamInfo) => boolean): Promise<boolean> =>
    (await askAny(nodes, ({ streams }) => streams.list().next()))?.every(is) === true;
  const leaderOf = (stream: string): Promise<NatsNode> =>
    until(
      `a leader of ${stream}`,
      async () => {
        const leader = (await infoOf(stream))?.cluster?.leader;
        return nodes.find(({ name }) => name === leader);
      },
      START_MS,
    );
  return {
    url,
    nodes,
    leaderOf,
    async stepDown(stream) {
      const before = await leaderOf(stream);
      await using nc = await connect({ servers: before.url, timeout: ASK_MS });
      await nc.request(`${STEP_DOWN}.${stream}`, '', { timeout: 5 * ASK_MS });
      await until(`another leader of ${stream}`, async () => (await leaderOf(stream)) !== before, START_MS);
    },
    async settled(stream) {
      const isSettled = async (): Promise<boolean> => {
        const info = await infoOf(stream);
        return info !== undefined && currentCopies(info) >= info.config.num_replicas;
      };
      await until(`all copies of ${stream} to be as new as its leader's`, isSettled, 2 * START_MS);
    },
    async inQuorum() {
      const haveMost = (): Promise<boolean> =>
        everyStream((info) => currentCopies(info) > info.config.num_replicas / 2);
      await until('most copies of each stream to be as new as its leader', haveMost, 2 * START_MS);
    },
    async whole(longestMs) {
      const untilMs = performance.now() + longestMs;
      const haveAll = (): Promise<boolean> => everyStream((info) => currentCopies(info) >= info.config.num_replicas);
      await until('the copies', async () => (await haveAll()) || performance.now() > untilMs, longestMs + START_MS);
    },
  };
}

/** The leader is one of them; without one there is none. */
function currentCopies({ cluster }: StreamInfo): number {
  if (cluster?.leader === undefined) return 0;
  return 1 + (cluster.replicas ?? []).filter(({ current }) => current).length;
}

type Manager = Awaited<ReturnType<typeof jetstreamManager>>;

/** The answer of the first node that has one now, or undefined. */
async function askAny<R>(nodes: readonly NatsNode[], ask: (manager: Manager) => Promise<R>): Promise<R | undefined> {
  for (const { url } of nodes) {
    try {
      // eslint-disable-next-line no-await-in-loop -- one after the other
      await using nc = await connect({ servers: url, timeout: ASK_MS, reconnect: false });
      // eslint-disable-next-line no-await-in-loop -- as above
      return await ask(await jetstreamManager(nc, { checkAPI: false, timeout: ASK_MS }));
    } catch {
      continue;
    }
  }
  return undefined;
}

/** Of different servers, though each was free when it was asked for. */
async function ports(count: number): Promise<readonly number[]> {
  const found = new Set<number>();
  // eslint-disable-next-line no-await-in-loop -- one after the other
  while (found.size < count) found.add(await freePort());
  return [...found];
}
