// How each candidate is started. All processes of a candidate share one core; the upstream and the load share the other.
import { join } from 'node:path';
import { type Child, startChild } from './child.ts';
import { installPeer } from './peer.ts';
import { freePort, connectFault, untilReady } from './port.ts';
import { writeBeamlineSettings, writeScript } from './settings.ts';

export const CANDIDATE_CORE = 0;
export const LOAD_CORE = 1;

/** What a candidate is started with. */
export interface Site {
  /** A folder of its own for settings and logs. */
  readonly folder: string;
  readonly upstreamPort: number;
  /** Stops what was started. */
  readonly opened: AsyncDisposableStack;
}

/** Where a candidate listens and what its callers send; no children for the direct way. */
export interface Running {
  readonly port: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly children: readonly Child[];
}

export interface Candidate {
  readonly id: 'direct' | 'bare' | 'embedded' | 'nats' | 'portkey' | 'portkey24';
  readonly title: string;
  start(site: Site): Promise<Running>;
}

export const CANDIDATES: readonly Candidate[] = [
  { id: 'direct', title: 'direct', start: startDirect },
  { id: 'bare', title: 'bare proxy', start: startBare },
  { id: 'embedded', title: 'Beamline, embedded', start: startEmbedded },
  { id: 'nats', title: 'Beamline over NATS', start: startOverNats },
  { id: 'portkey', title: 'Portkey 1.15.2', start: (site) => startPortkey(site, installPeer().ownNode) },
  { id: 'portkey24', title: 'Portkey on Node 24', start: (site) => startPortkey(site, process.execPath) },
];

export type CandidateId = Candidate['id'];

const root = new URL('..', import.meta.url).pathname;
const beamline = join(root, 'beamline');
const anyKey = { authorization: 'Bearer sk-bench' };

/** The simulated provider on the load's core. */
export async function startUpstream(folder: string, opened: AsyncDisposableStack): Promise<Running> {
  const port = await freePort();
  const command = [beamline, 'sim', '--port', String(port), '--script', writeScript(folder)];
  const child = opened.use(startChild({ core: LOAD_CORE, command, logPath: join(folder, 'upstream.log') }));
  await untilReady([child], () => connectFault(port));
  return { port, headers: anyKey, children: [child] };
}

function startDirect({ upstreamPort }: Site): Promise<Running> {
  return Promise.resolve({ port: upstreamPort, headers: anyKey, children: [] });
}

async function startBare(site: Site): Promise<Running> {
  const port = await freePort();
  const proxy = join(root, 'bench/bare-proxy.ts');
  const child = startOn(site, 'bare', [process.execPath, proxy, String(port), `http://127.0.0.1:${site.upstreamPort}`]);
  return { port, headers: anyKey, children: [child] };
}

async function startEmbedded(site: Site): Promise<Running> {
  const port = await freePort();
  const { config, environment, headers } = writeBeamlineSettings(site.folder, site.upstreamPort);
  const command = [beamline, 'up', '--port', String(port), '--config', config];
  return { port, headers, children: [startOn(site, 'up', command, environment)] };
}

async function startOverNats(site: Site): Promise<Running> {
  const [port, natsPort] = [await freePort(), await freePort()];
  const { config, environment, headers } = writeBeamlineSettings(site.folder, site.upstreamPort);
  const store = join(site.folder, 'nats');
  const server = ['nats-server', '-a', '127.0.0.1', '-p', String(natsPort), '-js', '-sd', store];
  const nats = startOn(site, 'nats-server', server);
  await untilReady([nats], () => connectFault(natsPort));
  const roles = [['worker'], ['router'], ['gateway', '--port', String(port)]].map(([role = '', ...more]) => {
    const command = [beamline, role, '--nats', `nats://127.0.0.1:${natsPort}`, '--config', config];
    return startOn(site, role, [...command, ...more], environment);
  });
  return { port, headers, children: [nats, ...roles] };
}

async function startPortkey(site: Site, node: string): Promise<Running> {
  const port = await freePort();
  const child = startOn(site, 'portkey', [node, installPeer().server, '--headless', `--port=${port}`]);
  const headers = {
    ...anyKey,
    'x-portkey-provider': 'openai',
    'x-portkey-custom-host': `http://127.0.0.1:${site.upstreamPort}/v1`,
  };
  return { port, headers, children: [child] };
}

function startOn(
  { folder, opened }: Site,
  name: string,
  command: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Child {
  const logPath = join(folder, `${name}.log`);
  return opened.use(startChild({ core: CANDIDATE_CORE, command, environment, logPath }));
}
