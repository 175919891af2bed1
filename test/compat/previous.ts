// `npm run compat:previous -- REV`: roles of this checkout and of an earlier revision side by side over a real nats-server,
// in both mixtures, with whole and streamed answers. Exit 0: all were served.
/* eslint-disable no-console -- a command of its own */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { generateApiKey, hashApiKey, prefixOf } from '../../src/auth/api-key.ts';
import { systemClock } from '../../src/core/clock.ts';
import { Timers } from '../../src/core/timers.ts';
import { parseScript } from '../../src/provider/simulated-script.ts';
import { startSimulatedServer } from '../../src/provider/simulated-server.ts';
import { startNatsServer } from '../nats-server.ts';
import { startNode } from '../process.ts';

const HERE = fileURLToPath(new URL('../..', import.meta.url));
const PEPPER = 'a pepper for a trial, which guards nothing at all';
const REQUESTS = 20;

const revision = process.argv[2] ?? '';
if (revision === '') throw new Error('name a revision: npm run compat:previous -- REV');

await using opened = new AsyncDisposableStack();
const folder = mkdtempSync(join(tmpdir(), 'beamline-previous-'));
opened.defer(() => rmSync(folder, { recursive: true, force: true }));
const old = checkout(revision);
const timers = opened.use(new Timers(systemClock));
const upstream = opened.use(
  await startSimulatedServer({
    host: '127.0.0.1',
    port: 0,
    script: parseScript({ 'sim-small': { output_tokens: 10 } }),
    timers,
    log: () => undefined,
  }),
);
const { config, key } = writeConfig(upstream.url);
const served = [
  await mixture('this gateway and router, an earlier worker and ledger', HERE, old),
  await mixture('an earlier gateway and router, this worker and ledger', old, HERE),
];
process.exitCode = served.every(Boolean) ? 0 : 1;

/** The files of a revision, with the packages of this checkout. */
function checkout(rev: string): string {
  const root = join(folder, 'checkout');
  mkdirSync(root);
  const archive = spawnSync('git', ['-C', HERE, 'archive', '--format=tar', rev], { maxBuffer: 1_000_000_000 });
  if (archive.status !== 0) throw new Error(`git does not know ${rev}`);
  const { status } = spawnSync('tar', ['-x', '-C', root], { input: archive.stdout });
  if (status !== 0) throw new Error('the revision cannot be unpacked');
  symlinkSync(join(HERE, 'node_modules'), join(root, 'node_modules'));
  return root;
}

function writeConfig(url: string): { config: string; key: string } {
  const secret = generateApiKey('test');
  const identity = { id: 'key_trial', name: 'trial', tenants: ['acme'], role: 'service' };
  const provider = { id: 'alder', type: 'openai-compatible', base_url: url, models: { 'sim-small': {} } };
  const path = join(folder, 'beamline.yaml');
  writeFileSync(
    path,
    JSON.stringify({
      gateway: {
        auth: {
          pepper: { current: 'env:BEAMLINE_PEPPER' },
          keys: [{ ...identity, prefix: prefixOf(secret), hash: hashApiKey(secret, PEPPER) }],
        },
        shutdown: { lame_duck_ms: 0 },
      },
      providers: { list: [provider] },
    }),
  );
  return { config: path, key: secret };
}

async function mixture(what: string, front: string, back: string): Promise<boolean> {
  await using stack = new AsyncDisposableStack();
  const nats = stack.use(await startNatsServer());
  const start = (root: string, role: string, ...more: readonly string[]) => {
    const args = [join(root, 'src/main.ts'), role, '--nats', nats.url, '--config', config, ...more];
    const started = startNode(args, { BEAMLINE_PEPPER: PEPPER });
    stack.defer(() => started.stop());
    return started;
  };
  await start(back, 'ledger').until(/ledger_ready/);
  await start(back, 'worker').until(/worker_ready/);
  await start(front, 'router').until(/router_ready/);
  const [url] = await start(front, 'gateway', '--host', '127.0.0.1', '--port', '0').until(/http:\/\/127\.0\.0\.1:\d+/);
  let good = 0;
  for (let n = 0; n < REQUESTS; n++) {
    // oxlint-disable-next-line no-await-in-loop -- one after the other
    if (await isAnswered(url, n % 2 === 0)) good++;
  }
  console.log(`${good === REQUESTS ? 'ok  ' : 'FAIL'} ${what}: ${good} of ${REQUESTS} requests answered`);
  return good === REQUESTS;
}

async function isAnswered(url: string, stream: boolean): Promise<boolean> {
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'alder/sim-small', stream, messages: [{ role: 'user', content: 'hello' }] }),
  });
  const text = await response.text();
  return response.status === 200 && (stream ? text.trimEnd().endsWith('[DONE]') : text.includes('"choices"'));
}
