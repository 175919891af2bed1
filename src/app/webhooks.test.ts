import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { readConfig } from '../config/read.ts';
import { systemClock } from '../core/clock.ts';
import { Timers } from '../core/timers.ts';
import type { EgressRequest } from '../provider/egress.ts';
import { openLog } from '../telemetry/log.ts';
import { Metrics } from '../telemetry/metrics.ts';
import { openWebhookSender, sendOver } from './webhooks.ts';

const folder = mkdtempSync(join(tmpdir(), 'beamline-webhooks-'));
after(() => rmSync(folder, { recursive: true }));

const secret = join(folder, 'secret');
writeFileSync(secret, `whsec_${Buffer.alloc(32, 7).toString('base64')}\n`);
const nonsense = join(folder, 'nonsense');
writeFileSync(nonsense, 'hunter2');

interface Setting {
  readonly id?: string;
  readonly url?: string;
  readonly secrets?: readonly string[];
}

/** As the configuration file says it. */
async function opened(...list: readonly Setting[]) {
  const file = join(folder, 'beamline.yaml');
  const usual = { id: 'whk_1', tenant: 'acme', url: 'https://hooks.example/jobs', secrets: [`file:${secret}`] };
  const webhooks = list.map((more) => Object.assign({}, usual, more));
  writeFileSync(file, JSON.stringify({ gateway: { webhooks } }));
  using timers = new Timers(systemClock);
  await using opening = new AsyncDisposableStack();
  const { config } = readConfig({ env: {}, file });
  const telemetry = { log: openLog('silent', { write: () => undefined }), metrics: new Metrics() };
  return openWebhookSender({ config, timers, telemetry }, opening);
}

test('an endpoint is what the configuration says, and hears of every end by default', async () => {
  const options = await opened({});
  const [endpoint] = options?.endpoints ?? [];
  assert.deepEqual(
    [endpoint?.id, endpoint?.tenantId, endpoint?.url, endpoint?.includeResult, endpoint?.events.size],
    ['whk_1', 'acme', 'https://hooks.example/jobs', false, 4],
  );
  assert.match(endpoint?.secrets[0]?.() ?? '', /^whsec_/);
});

test('without webhooks there is nothing to send', async () => {
  assert.equal(await opened(), undefined);
});

// name, setting, what the refusal names
const REFUSED: readonly (readonly [string, Setting, RegExp])[] = [
  ['plain http', { url: 'http://hooks.example/' }, /gateway\.webhooks\[0\]\.url|gateway\.webhooks\.0\.url/],
  ['a credential in the address', { url: 'https://a:b@hooks.example/' }, /url carries a credential|url.*credential/],
  [
    'an address of this machine',
    { url: 'https://127.0.0.1/' },
    /gateway\.webhooks\[0\]\.url may not be called: address/,
  ],
  ['a name of this machine', { url: 'https://localhost/' }, /gateway\.webhooks\[0\]\.url may not be called: name/],
  ['the metadata of a cloud', { url: 'https://169.254.169.254/' }, /may not be called: address/],
  ['a private address', { url: 'https://[fd00::1]/' }, /may not be called: address/],
  ['another port', { url: 'https://hooks.example:8443/' }, /may not be called: port/],
  ['no secret', { secrets: [] }, /secrets/],
  ['three secrets', { secrets: Array.from({ length: 3 }, () => `file:${secret}`) }, /secrets/],
  ['a secret in the file itself', { secrets: ['whsec_abc'] }, /secrets/],
  ['a secret that is away', { secrets: [`file:${folder}/none`] }, /secrets\[0\] refers to/],
  ['a secret that is none', { secrets: [`file:${nonsense}`] }, /secrets\[0\] is not whsec_/],
];

for (const [name, setting, said] of REFUSED) {
  test(`${name} refuses the start`, async () => {
    await assert.rejects(opened(setting), (fault: Error & { details?: unknown }) => {
      const told = `${fault.message} ${JSON.stringify(fault.details ?? {})}`;
      assert.match(told, said);
      assert.doesNotMatch(told, /hunter2/);
      return true;
    });
  });
}

test('one id for two endpoints of a tenant refuses the start', async () => {
  await assert.rejects(opened({}, { url: 'https://other.example/' }), /repeats/);
});

test('what is sent follows no redirect and carries no credential of ours', async () => {
  const seen: EgressRequest[] = [];
  const send = sendOver({
    send: async (request) => {
      seen.push(request);
      return {
        status: 302,
        headers: { location: 'https://elsewhere.example', 'retry-after': '7' },
        body: Buffer.alloc(0),
      };
    },
  });
  const { signal } = new AbortController();
  const answer = await send({
    url: 'https://hooks.example/',
    headers: { 'webhook-id': 'evt_1' },
    body: '{"ä":1}',
    signal,
  });
  assert.deepEqual(answer, { status: 302, retryAfter: '7' });
  const [request] = seen;
  assert.deepEqual([request?.method, request?.redirectsMax, request?.credentials], ['POST', 0, {}]);
  assert.equal(new TextDecoder().decode(request?.body), '{"ä":1}');
});
