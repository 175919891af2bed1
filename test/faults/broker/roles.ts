// The roles in processes of their own on a broker that somebody else breaks, and the simulated provider with its log.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { generateApiKey, hashApiKey, prefixOf } from '../../../src/auth/api-key.ts';
import { freePort } from '../../nats-server.ts';
import { startBeamline, type TestProcess } from '../../process.ts';

export const PEPPER = 'a pepper for tests, which guards nothing at all';
export const ROLES = ['ledger', 'worker', 'router', 'gateway'] as const;
type RoleName = (typeof ROLES)[number];
const READY = /ledger_ready|worker_ready|router_ready|gateway_listening/;

export interface RolesOptions {
  readonly folder: string;
  /** All servers, separated by commas. */
  readonly natsUrl: string;
  /** Milliseconds of one answer of the provider. */
  readonly answerMs: number;
  /** Of every role. */
  readonly env?: Readonly<Record<string, string>>;
}

/** What a client and an auditor need. */
export interface Doors {
  readonly url: string;
  /** The provider's own log. */
  readonly truth: string;
  readonly database: string;
  readonly keys: { readonly acme: string; readonly globex: string };
  /** Of somebody else of acme, who may decide what acme asks. */
  readonly approverKey: string;
}

export interface Roles extends Doors, AsyncDisposable {
  readonly processes: Readonly<Record<RoleName, TestProcess>>;
  /** Resolves when a process serves. */
  ready(process: TestProcess): Promise<unknown>;
  /** One more process of a role, which ends with the others; `env` goes before the configuration. */
  start(role: RoleName, env?: Readonly<Record<string, string>>): TestProcess;
}

/** The provider, and a configuration for whoever serves. */
export async function startGround(
  { folder, answerMs }: Pick<RolesOptions, 'folder' | 'answerMs'>,
  opening: AsyncDisposableStack,
): Promise<Doors & { readonly config: string }> {
  const truth = join(folder, 'truth.ndjson');
  const database = `sqlite:${join(folder, 'ledger.sqlite')}`;
  const script = join(folder, 'script.json');
  writeFileSync(script, JSON.stringify({ default: { output_tokens: 20, first_chunk_ms: answerMs } }));
  const sim = startBeamline(['sim', '--port', '0', '--script', script, '--log', truth]);
  opening.defer(() => sim.stop());
  const [, simUrl = ''] = await sim.until(/simulated provider: (http:\S+)/);
  const keys = { acme: generateApiKey('test'), globex: generateApiKey('test') };
  const port = await freePort();
  const approverKey = generateApiKey('test');
  const config = writeConfig(folder, { simUrl, port, database, keys: { ...keys, approver: approverKey } });
  return { url: `http://127.0.0.1:${port}`, truth, database, keys, approverKey, config };
}

export async function startRoles({ natsUrl, env: common = {}, ...ground }: RolesOptions): Promise<Roles> {
  await using opening = new AsyncDisposableStack();
  const { config, ...doors } = await startGround(ground, opening);
  const started = opening.use(new AsyncDisposableStack());
  const start: Roles['start'] = (role, env = {}) => {
    const process = startBeamline([role, '--nats', natsUrl, '--config', config], {
      BEAMLINE_PEPPER: PEPPER,
      ...common,
      ...env,
    });
    started.defer(() => process.stop());
    return process;
  };
  // Stopped in reverse: the gateway first.
  const processes = {
    ledger: start('ledger'),
    worker: start('worker'),
    router: start('router'),
    gateway: start('gateway'),
  };
  const ready = (process: TestProcess): Promise<unknown> => process.until(READY);
  await Promise.all(ROLES.map((role) => ready(processes[role])));
  const opened = opening.move();
  return { ...doors, processes, ready, start, [Symbol.asyncDispose]: () => opened.disposeAsync() };
}

interface Addresses {
  readonly simUrl: string;
  readonly port: number;
  readonly database: string;
  readonly keys: Readonly<Record<string, string>>;
}

function writeConfig(folder: string, { simUrl, port, database, keys }: Addresses): string {
  const data = join(folder, 'worker');
  mkdirSync(data, { recursive: true });
  const records = Object.entries(keys).map(([name, secret]) => ({
    id: `key_${name}`,
    name,
    prefix: prefixOf(secret),
    hash: hashApiKey(secret, PEPPER),
    tenants: [name === 'approver' ? 'acme' : name],
    role: name === 'approver' ? 'admin' : 'service',
    scopes: ['human:request'],
  }));
  const price = { input: 1_000_000, output: 2_000_000 };
  const path = join(folder, 'beamline.yaml');
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
      blocks: { test: true },
      providers: {
        list: [{ id: 'alder', type: 'openai-compatible', base_url: simUrl, models: { 'test-chat': { price } } }],
      },
    }),
  );
  return path;
}
