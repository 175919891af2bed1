// The generated permissions on a server that enforces them: every role does its work with them, and the server refuses
// what they do not grant.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { credsAuthenticator, connect } from '@nats-io/transport-node';
import { generateApiKey, hashApiKey, prefixOf } from '../../src/auth/api-key.ts';
import { type Allowed, natsAccounts } from '../nats-accounts.ts';
import { type NatsServer, startNatsServer } from '../nats-server.ts';
import { startBeamline } from '../process.ts';
import { until } from '../until.ts';

const PEPPER = 'a pepper for tests, which guards nothing at all';
const ROLES = ['ledger', 'worker', 'router', 'gateway'] as const;

const folder = mkdtempSync(join(tmpdir(), 'beamline-permissions-'));
const log = join(folder, 'nats.log');
const key = generateApiKey('test');
let nats: NatsServer;
let creds: Readonly<Record<string, string>>;
const opened = new AsyncDisposableStack();
opened.defer(() => rmSync(folder, { recursive: true, force: true }));
let url = '';

/** As an operator fills them in: with the pool of the worker. */
function filled(): Record<string, Allowed> {
  const text = readFileSync('contracts/generated/nats-permissions.json', 'utf8');
  const lines = text.replaceAll('<pool>', 'default');
  return JSON.parse(lines) as Record<string, Allowed>;
}

before(async () => {
  const accounts = natsAccounts(filled());
  ({ creds } = accounts);
  mkdirSync(join(folder, 'policies', 'acme'), { recursive: true });
  writeFileSync(
    join(folder, 'policies', 'acme', 'default.yaml'),
    'version: "2.0"\nproviders: [{ name: alder, weight: 1 }]\n',
  );
  const config = join(folder, 'nats.conf');
  writeFileSync(config, accounts.config);
  nats = opened.use(await startNatsServer({ args: ['--config', config, '--log', log] }));
  const record = { id: 'k1', name: 'test', prefix: prefixOf(key), hash: hashApiKey(key, PEPPER), tenants: ['acme'] };
  for (const role of ROLES) {
    const credsFile = join(folder, `${role}.creds`);
    const settings = join(folder, `${role}.yaml`);
    writeFileSync(credsFile, creds[role] ?? '');
    writeFileSync(
      settings,
      JSON.stringify({
        nats: { url: nats.url, creds: `file:${credsFile}` },
        gateway: {
          auth: { pepper: { current: 'env:BEAMLINE_PEPPER' }, keys: [{ ...record, role: 'service' }] },
          http: { host: '127.0.0.1', port: 0 },
          shutdown: { lame_duck_ms: 0 },
        },
        policy: { dir: join(folder, 'policies') },
        providers: {
          list: [{ id: 'alder', type: 'sim', models: { small: { price: { input: 1_000_000, output: 1 } } } }],
        },
      }),
    );
    const started = startBeamline([role, '--config', settings], { BEAMLINE_PEPPER: PEPPER });
    opened.defer(() => started.stop());
    // eslint-disable-next-line no-await-in-loop -- each finds the one before it
    const [found] = await started.until(role === 'gateway' ? /http:\/\/127\.0\.0\.1:\d+/ : new RegExp(`${role}_ready`));
    url = found;
  }
});
// In reverse: the gateway first, and the server last.
after(() => opened.disposeAsync());

const post = (path: string, body: object): Promise<Response> =>
  fetch(`${url}${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
const CHAT = { model: 'alder/small', messages: [{ role: 'user', content: 'hello' }] };

test('a chat and a job are served by roles that may do only what they need', async () => {
  const answer = await post('/v1/chat/completions', CHAT);
  assert.equal(answer.status, 200, await answer.clone().text());

  const accepted = await post('/api/v1/jobs', { task: { type: 'ai.chat', model: CHAT.model, payload: CHAT } });
  assert.equal(accepted.status, 202, await accepted.clone().text());
  const location = accepted.headers.get('location') ?? '';
  await until('the job to have succeeded', async () => {
    const job = await fetch(new URL(location, url), { headers: { authorization: `Bearer ${key}` } });
    return (await job.text()).includes('"succeeded"');
  });
});

const violations = (): readonly string[] =>
  readFileSync(log, 'utf8')
    .split('\n')
    .filter((line) => /violation/i.test(line));

test('the server had to refuse nothing of it', () => {
  assert.deepEqual(violations(), []);
});

// What each role must not do, tried with its own credentials.
const REFUSED: readonly (readonly [role: string, subject: string])[] = [
  ['worker', 'beamline.router.v2.decide'],
  ['worker', '$KV.beamline_jobs.acme.a1.state'],
  ['worker', '$JS.API.STREAM.DELETE.CAF_RESULT'],
  ['gateway', 'caf.exec.result.v1'],
  ['ledger', 'caf.exec.cancel.v2'],
];

for (const [role, subject] of REFUSED) {
  test(`the server lets no ${role} publish ${subject}`, async () => {
    const { port } = nats;
    const authenticator = credsAuthenticator(new TextEncoder().encode(creds[role]));
    const client = await connect({ servers: `127.0.0.1:${port}`, authenticator });
    try {
      client.publish(subject, '{}');
      await client.flush();
      await until('the refusal', () =>
        violations().some((line) => line.includes('Publish') && line.includes(`Subject "${subject}"`)),
      );
    } finally {
      await client.close();
    }
  });
}
