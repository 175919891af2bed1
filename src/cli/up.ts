// `beamline up`: all roles in one process on the memory bus, with what the environment has keys for.
import { styleText } from 'node:util';
import { defineCommand } from 'citty';
import { ledgerAddress } from '../app/ledger-store.ts';
import { policyDataDir } from '../app/data-dir.ts';
import { openUp, type Running } from '../app/up.ts';
import { detectProviders } from '../config/detect.ts';
import { environment } from '../config/environment.ts';
import type { Config } from '../config/schema.ts';
import { EXIT } from './exit.ts';
import { openLogSink } from './log-sink.ts';
import { PRODUCT_VERSION } from './product.ts';
import { print } from './print.ts';
import { readRoleConfig, roleArgs } from './role-config.ts';
import { untilSignal } from './signal.ts';

export const upCommand = defineCommand({
  meta: { name: 'up', description: 'Run all roles in one process' },
  args: {
    ...roleArgs,
    host: { type: 'string', description: 'Address to bind (gateway.http.host, 127.0.0.1)' },
    data: { type: 'string', valueHint: 'folder', description: 'Folder for what outlives the process (data_dir)' },
    port: { type: 'string', description: 'Port to bind (gateway.http.port, 8080); 0 takes a free one' },
  },
  async run({ args }) {
    const effective = readRoleConfig(args, {
      flags: { 'gateway.http.host': args.host, 'gateway.http.port': args.port, data_dir: args.data },
      defaults: {
        'gateway.http.host': '127.0.0.1',
        'gateway.shutdown.lame_duck_ms': 0,
        'providers.list': detectProviders(environment),
      },
    });
    if (effective === undefined) return EXIT.ok;
    const hurry = new AbortController();
    const sink = openLogSink(process.stderr);
    const up = await openUp(effective.config, { sink, version: PRODUCT_VERSION, hurry: hurry.signal });
    {
      await using running = up;
      print(banner(effective.config, running));
      await untilSignal(hurry);
    }
    if (hurry.signal.aborted) return EXIT.failed;
    return up.abandoned > 0 ? EXIT.abandoned : EXIT.ok;
  },
});

function banner(config: Config, { url, key }: Running): string {
  const { list } = config.providers;
  const models = list.flatMap(({ id, models: named }) => {
    const [first] = Object.keys(named);
    return first === undefined ? [] : [`${id}/${first}`];
  });
  const model = models[0] ?? `${list[0]?.id ?? 'openai'}/MODEL`;
  const body = JSON.stringify({ model, messages: [{ role: 'user', content: 'Say hello' }] });
  return [
    `${styleText('bold', 'Beamline is up')} at ${url}`,
    '',
    `  base URL    ${url}/v1   (any OpenAI SDK)`,
    `  API key     ${key ?? 'one of gateway.auth.keys'}`,
    `  providers   ${list.map(({ id, type, base_url }) => (type === 'sim' ? `${id} (simulated, offline)` : `${id} (${base_url ?? 'on the bus'})`)).join(', ')}`,
    `  durable     ${durable(config)}`,
    `  usage       ${ledgerAddress(config) ?? 'in memory: it ends with this process'}`,
    `  in memory   ${key === undefined ? '' : 'the key above and '}sticky sessions end with this process`,
    '',
    `  curl ${url}/v1/chat/completions -H 'authorization: Bearer ${key ?? '$BEAMLINE_KEY'}' \\`,
    `    -H 'content-type: application/json' -d '${body}'`,
    '',
    'Ctrl-C drains and stops.',
  ].join('\n');
}

/** What outlives the process. */
function durable(config: Config): string {
  const { nats, data_dir: dir } = config;
  const policies = policyDataDir(config);
  const kept = policies === undefined ? '' : `; revisions of policies in ${policies}`;
  if (nats.url !== undefined) return `streams and buckets, usage events among them, on NATS${kept}`;
  if (dir === undefined) return `nothing; --data FOLDER keeps streams and buckets${kept}`;
  return `streams and buckets, usage events among them, in ${dir}${kept}`;
}
