// What the benchmark of durable work runs on: all roles in one process with a data folder, or apart over a NATS server with
// its store on the disk, started as the launcher starts it. The simulated provider answers from this process after a
// millisecond, or two: its clock ticks each millisecond.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { generateApiKey, hashApiKey, prefixOf } from '../src/auth/api-key.ts';
import { systemClock } from '../src/core/clock.ts';
import { Timers } from '../src/core/timers.ts';
import { parseScript } from '../src/provider/simulated-script.ts';
import { startSimulatedServer } from '../src/provider/simulated-server.ts';
import { startNatsServer } from '../test/nats-server.ts';
import type { TestProcess } from '../test/process.ts';
import { startLaunched } from './launched.ts';

export const TENANTS = ['loud', 'quiet-1', 'quiet-2', 'quiet-3', 'quiet-4'] as const;
export type SiteMode = 'embedded' | 'nats';

export interface JobSite extends AsyncDisposable {
  readonly url: string;
  readonly keys: Readonly<Record<string, string>>;
  readonly processes: readonly { readonly name: string; readonly pid: number }[];
  /** Requests that the provider had. */
  arrivals(): number;
  /** Times that a worker took no jobs because it was overloaded: what was measured meanwhile is its rest. */
  holds(): number;
}

const PEPPER = 'a pepper for measurements, which guards nothing at all';

export async function startJobSite(mode: SiteMode, folder: string, profiles: string | undefined): Promise<JobSite> {
  await using opening = new AsyncDisposableStack();
  const timers = opening.use(new Timers(systemClock, { tickMs: 1 }));
  let arrivals = 0;
  const upstream = opening.use(
    await startSimulatedServer({
      host: '127.0.0.1',
      port: 0,
      script: parseScript({ default: { first_chunk_ms: 1, output_tokens: 20 } }),
      timers,
      log: () => void arrivals++,
    }),
  );
  const keys = Object.fromEntries(TENANTS.map((tenant) => [tenant, generateApiKey('test')]));
  const config = writeConfig(folder, upstream.url, keys);
  const processes: { name: string; pid: number }[] = [];
  const outputs: (() => string)[] = [];
  const start = (name: string, args: readonly string[]): TestProcess => {
    const profile: Readonly<Record<string, string>> =
      profiles === undefined ? {} : { NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${join(profiles, `${mode}-${name}`)}` };
    const started = startLaunched([...args, '--config', config], { BEAMLINE_PEPPER: PEPPER, ...profile });
    processes.push({ name, pid: started.pid });
    outputs.push(() => started.output());
    opening.defer(() => started.stop());
    return started;
  };
  let gateway: TestProcess;
  if (mode === 'embedded') gateway = start('up', ['up', '--port', '0', '--data', join(folder, 'data')]);
  else {
    const nats = opening.use(await startNatsServer());
    processes.push({ name: 'nats-server', pid: nats.pid });
    for (const role of ['ledger', 'worker', 'router']) {
      // eslint-disable-next-line no-await-in-loop -- one after the other
      await start(role, [role, '--nats', nats.url]).until(new RegExp(`${role}_ready`));
    }
    gateway = start('gateway', ['gateway', '--nats', nats.url, '--host', '127.0.0.1', '--port', '0']);
  }
  const [url] = await gateway.until(/http:\/\/127\.0\.0\.1:\d+/);
  const opened = opening.move();
  return {
    url,
    keys,
    processes,
    arrivals: () => arrivals,
    holds: () => outputs.reduce((sum, output) => sum + [...output().matchAll(HELD)].length, 0),
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

const HELD = /"state":"held","source":"[^"]*overload[^"]*","message":"job_fetch"/g;

function writeConfig(folder: string, upstreamUrl: string, keys: Readonly<Record<string, string>>): string {
  const records = Object.entries(keys).map(([tenant, secret]) => ({
    id: `key_${tenant}`,
    name: tenant,
    prefix: prefixOf(secret),
    hash: hashApiKey(secret, PEPPER),
    tenants: [tenant],
    role: 'service',
  }));
  const path = join(folder, 'beamline.yaml');
  const price = { input: 1_000_000, output: 2_000_000 };
  writeFileSync(
    path,
    JSON.stringify({
      gateway: { auth: { pepper: { current: 'env:BEAMLINE_PEPPER' }, keys: records }, shutdown: { lame_duck_ms: 0 } },
      router: { jobs_outstanding: 1_000_000 },
      worker: { data_dir: join(folder, 'worker') },
      ledger: { url: `sqlite:${join(folder, 'ledger.sqlite')}` },
      providers: {
        list: [{ id: 'alder', type: 'openai-compatible', base_url: upstreamUrl, models: { 'test-chat': { price } } }],
      },
    }),
  );
  return path;
}
