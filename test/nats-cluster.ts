// A real cluster of three nats-servers for tests, each a process with its own store that can be killed and stopped.
import { jetstreamManager } from '@nats-io/jetstream';
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
  /** Resolves when all copies of the stream, or of all streams, are as new as their leader's. */
  settled(stream?: string): Promise<void>;
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
  const leaderOf = (stream: string): Promise<NatsNode> =>
    until(
      `a leader of ${stream}`,
      async () => {
        const leader = (await infoOf(stream))?.cluster?.leader;
        return nodes.find(({ name }) => name === leader);
      },
      START_MS,
    );
  const isSettled = async (stream: string): Promise<boolean> => {
    const info = await infoOf(stream);
    const copies = info?.cluster?.replicas ?? [];
    return copies.length + 1 >= (info?.config.num_replicas ?? Infinity) && copies.every(({ current }) => current);
  };
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
      const names = async (): Promise<readonly string[] | undefined> =>
        stream === undefined ? askAny(nodes, ({ streams }) => streams.names().next()) : [stream];
      const areAll = async (): Promise<boolean> => {
        const found = await names();
        return found !== undefined && (await Promise.all(found.map(isSettled))).every(Boolean);
      };
      await until('all copies to be as new as their leaders', areAll, 2 * START_MS);
    },
  };
}

type Manager = Awaited<ReturnType<typeof jetstreamManager>>;

/** The first answer of a node, or undefined where none has one now. */
async function askAny<R>(nodes: readonly NatsNode[], ask: (manager: Manager) => Promise<R>): Promise<R | undefined> {
  const asked = nodes.map(async ({ url }) => {
    await using nc = await connect({ servers: url, timeout: ASK_MS, reconnect: false });
    return ask(await jetstreamManager(nc, { checkAPI: false, timeout: ASK_MS }));
  });
  return Promise.any(asked).catch(() => undefined);
}

/** Of different servers, though each was free when it was asked for. */
async function ports(count: number): Promise<readonly number[]> {
  const found = new Set<number>();
  // eslint-disable-next-line no-await-in-loop -- one after the other
  while (found.size < count) found.add(await freePort());
  return [...found];
}
