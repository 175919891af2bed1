// The examples and the commands of the README do what they say.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { startNatsServer } from '../nats-server.ts';
import { startBeamline, startNode, startProgram } from '../process.ts';

const at = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const EXAMPLE = at('examples/beamline.yaml');
const PEPPER = { BEAMLINE_PEPPER: 'a pepper for tests, which guards nothing at all' };

async function outputOf(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<string> {
  const command = startBeamline(args, env);
  await command.ended;
  await command.stop();
  return command.output();
}

test('the example configuration is accepted, and each setting is printed with its source', async () => {
  const printed = await outputOf(['gateway', '--config', EXAMPLE, '--check-config'], {
    ...PEPPER,
    BEAMLINE_LOG_LEVEL: 'warn',
  });
  assert.match(printed, /^log_level = "warn" {2}# environment$/m);
  assert.match(printed, /^policy\.dir = "examples\/policies" {2}# file$/m);
  assert.doesNotMatch(printed, /guards nothing/);
});

test('`./beamline up` prints a request that works as it stands, and the example client runs against it', async () => {
  await using opened = new AsyncDisposableStack();
  const up = startProgram(at('beamline'), ['up', '--port', '0']);
  opened.defer(() => up.stop());
  await up.until(/Ctrl-C drains and stops/);
  const [, command = '', url = '', rest = ''] = /^ {2}(curl (\S+) ([^]+?))\n\n/m.exec(up.output()) ?? [];
  const { stdout } = await promisify(execFile)('sh', ['-c', command]);
  const { choices } = JSON.parse(stdout) as { choices: readonly { message: { content: string } }[] };
  assert.ok((choices[0]?.message.content ?? '').length > 0);

  const key = /Bearer (\S+)'/.exec(rest)?.[1] ?? '';
  const client = startNode([at('examples/client.ts')], {
    BEAMLINE_URL: url.replace('/chat/completions', ''),
    BEAMLINE_KEY: key,
  });
  opened.defer(() => client.stop());
  await client.ended;
  assert.match(client.output(), /^from sim, \d+ tokens$/m);
  assert.match(client.output(), /^refused: 404 model_not_found$/m);
});

test('the roles run apart with the example, a key that was made for it, and its policies', async () => {
  await using opened = new AsyncDisposableStack();
  const folder = mkdtempSync(join(tmpdir(), 'beamline-example-'));
  opened.defer(() => rmSync(folder, { recursive: true, force: true }));
  const nats = opened.use(await startNatsServer());
  const made = await outputOf(['key', 'create', '--tenant', 'acme', '--role', 'service'], PEPPER);
  const [key = ''] = made.split('\n');
  const record = made.slice(made.indexOf('  - id')).replaceAll(/^/gm, '    ');
  const config = join(folder, 'beamline.yaml');
  writeFileSync(config, readFileSync(EXAMPLE, 'utf8').replace('keys: []', `keys:\n${record}`));

  const start = (role: string, ...more: readonly string[]) => {
    const process = startBeamline([role, '--nats', nats.url, '--config', config, ...more], {
      ...PEPPER,
      OPENAI_API_KEY: 'sk-example',
      BEAMLINE_GATEWAY_SHUTDOWN_LAME_DUCK_MS: '0',
    });
    opened.defer(() => process.stop());
    return process;
  };
  const others = ['router', 'worker', 'ledger'].map((role) => start(role).until(new RegExp(`${role}_ready`)));
  const [url] = await start('gateway', '--host', '127.0.0.1', '--port', '0').until(/http:\/\/127\.0\.0\.1:\d+/);
  await Promise.all(others);

  const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' };
  const models = (await (await fetch(`${url}/v1/models`, { headers })).json()) as { data: readonly { id: string }[] };
  const names = new Set(models.data.map(({ id }) => id));
  assert.ok(['fast', 'steady', 'sticky'].every((name) => names.has(name)));
  const body = JSON.stringify({ model: 'fast', messages: [{ role: 'user', content: 'Say hello' }] });
  const answer = await fetch(`${url}/v1/chat/completions`, { method: 'POST', headers, body });
  assert.deepEqual([answer.status, answer.headers.get('x-beamline-provider')], [200, 'sim']);
  await answer.text();
});
