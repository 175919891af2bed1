// Everything that durable work needs, in processes that can be killed: apart, NATS with its store on the disk, a gateway,
// two routers, two workers with their folders, and a ledger; embedded, one process with a folder for its data.
// Beside them the simulated provider with its log, which nobody kills.
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { generateApiKey, hashApiKey, prefixOf } from '../../../src/auth/api-key.ts';
import { startBeamline } from '../../process.ts';
import { startBroker } from './broker.ts';
import { type Random } from './random.ts';
import { type Supervised, supervise } from './supervised.ts';

export const VICTIMS = ['gateway', 'router', 'worker', 'ledger', 'nats'] as const;
/** `up` is all roles in one process. */
export type Victim = (typeof VICTIMS)[number] | 'up';

const PEPPER = 'a pepper for tests, which guards nothing at all';
export const TENANTS = ['acme', 'globex'] as const;
const DOWN_MS_MAX = 1_000;

export interface FleetOptions {
  readonly mode: 'apart' | 'embedded';
  /** Of NATS, when apart. */
  readonly servers: 1 | 3;
  readonly folder: string;
  readonly random: Random;
  /** Milliseconds of one answer of the provider. */
  readonly answerMs: number;
}

export interface Fleet extends AsyncDisposable {
  readonly url: string;
  /** Absent when embedded. */
  readonly natsUrl: string | undefined;
  /** The provider's own log. */
  readonly truth: string;
  readonly database: string;
  readonly keys: Readonly<Record<(typeof TENANTS)[number], string>>;
  /** Kills one process of the role; it comes back by itself. */
  kill(victim: Victim): Promise<void>;
  /** Resolves when all processes run and are ready. */
  ready(): Promise<void>;
  /** Ends that nobody asked for. */
  ownEnds(): readonly string[];
}

export async function startFleet({ mode, servers, folder, random, answerMs }: FleetOptions): Promise<Fleet> {
  await using opening = new AsyncDisposableStack();
  const nats = mode === 'apart' ? opening.use(await startBroker(servers, random)) : undefined;
  const truth = join(folder, 'truth.ndjson');
  const database = `sqlite:${join(folder, 'ledger.sqlite')}`;
  const script = join(folder, 'script.json');
  writeFileSync(script, JSON.stringify({ default: { output_tokens: 20, first_chunk_ms: answerMs } }));
  const sim = startBeamline(['sim', '--port', '0', '--script', script, '--log', truth]);
  opening.defer(() => sim.stop());
  const [, simUrl = ''] = await sim.until(/simulated provider: (http:\S+)/);

  const keys = { acme: generateApiKey('test'), globex: generateApiKey('test') };
  const port = await freePort();
  const downMs = (): number => Math.floor(random() * DOWN_MS_MAX);
  const member = (role: Exclude<Victim, 'nats'>, name: string): Supervised => {
    const config = writeConfig(folder, name, { simUrl, port, database, keys });
    const where = nats === undefined ? ['--data', join(folder, 'data')] : ['--nats', nats.url];
    const start = () => startBeamline([role, ...where, '--config', config], { BEAMLINE_PEPPER: PEPPER });
    const started = supervise({ name, start, isReady: READY[role], downMs });
    opening.defer(() => started.stop());
    return started;
  };
  // The gateway last, so that it is stopped first.
  const members: Readonly<Partial<Record<Victim, readonly Supervised[]>>> =
    nats === undefined
      ? { up: [member('up', 'up')] }
      : {
          ledger: [member('ledger', 'ledger-1')],
          worker: [member('worker', 'worker-1'), member('worker', 'worker-2')],
          router: [member('router', 'router-1'), member('router', 'router-2')],
          gateway: [member('gateway', 'gateway-1')],
        };
  const all = Object.values(members).flat();
  let broker = Promise.resolve();
  const ready = async (): Promise<void> => {
    await broker;
    await Promise.all(all.map((one) => one.ready()));
  };
  opening.defer(() => broker);
  await ready();
  const opened = opening.move();
  return {
    url: `http://127.0.0.1:${port}`,
    natsUrl: nats?.url,
    truth,
    database,
    keys,
    async kill(victim) {
      if (victim === 'nats' && nats !== undefined) {
        await broker;
        const { back } = await nats.kill(downMs());
        broker = back;
        return;
      }
      const of = members[victim];
      if (of === undefined) throw new RangeError(`there is no ${victim} to kill`);
      await of[Math.floor(random() * of.length)]?.kill();
    },
    ready,
    ownEnds: () => all.flatMap(({ ownEnds }) => ownEnds),
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

const READY = {
  gateway: /gateway_ready|http:\/\/127\.0\.0\.1:\d+/,
  router: /router_ready/,
  worker: /worker_ready/,
  ledger: /ledger_ready/,
  up: /http:\/\/127\.0\.0\.1:\d+/,
} as const;

interface Addresses {
  readonly simUrl: string;
  readonly port: number;
  readonly database: string;
  readonly keys: Readonly<Record<string, string>>;
}

function writeConfig(folder: string, name: string, { simUrl, port, database, keys }: Addresses): string {
  const data = join(folder, name);
  mkdirSync(data, { recursive: true });
  const records = Object.entries(keys).map(([tenant, secret]) => ({
    id: `key_${tenant}`,
    name: tenant,
    prefix: prefixOf(secret),
    hash: hashApiKey(secret, PEPPER),
    tenants: [tenant],
    role: 'service',
  }));
  const price = { input: 1_000_000, output: 2_000_000 };
  const path = join(folder, `${name}.yaml`);
  writeFileSync(
    path,
    JSON.stringify({
      gateway: {
        http: { host: '127.0.0.1', port },
        auth: { pepper: { current: 'env:BEAMLINE_PEPPER' }, keys: records },
        router: { decide_timeout_ms: 2_000 },
        shutdown: { lame_duck_ms: 0 },
      },
      router: { sweep_ms: 1_000, jobs_outstanding: 1_000_000 },
      worker: { heartbeat_ms: 500, data_dir: data },
      ledger: { url: database },
      providers: {
        list: [{ id: 'alder', type: 'openai-compatible', base_url: simUrl, models: { 'test-chat': { price } } }],
      },
    }),
  );
  return path;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
