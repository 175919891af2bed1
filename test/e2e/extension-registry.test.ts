// An extension that is registered while everything runs: over HTTP, on a real bus, and kept over a restart.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startNatsServer } from '../nats-server.ts';
import { startBeamline, startNode } from '../process.ts';
import { until } from '../until.ts';

const GUARDED = { version: '2.0', providers: [{ name: 'sim', weight: 1 }], validators: [{ id: 'pii_guard' }] };
const GUARD = { id: 'pii_guard', type: 'validator', timeout_ms: 5_000, config: { types: ['phone'] } };

async function startUp(natsUrl: string, config: string, use: string) {
  const beamline = startBeamline(['up', '--port', '0', '--nats', natsUrl, '--config', config]);
  const [url] = await beamline.until(/http:\/\/127\.0\.0\.1:\d+/);
  const [, key = ''] = await beamline.until(/API key +(\S+)/);
  const send = async (method: string, path: string, body?: object) => {
    const response = await fetch(`${url}${path}`, {
      method,
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json', 'x-beamline-policy': use },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    const { error } = (text === '' ? {} : JSON.parse(text)) as { error?: { code: string } };
    return { status: response.status, code: error?.code, text };
  };
  /** The code of the refusal of a prompt with a phone number. */
  const ask = async () => {
    const messages = [{ role: 'user', content: 'call 555-0142' }];
    return (await send('POST', '/v1/chat/completions', { model: 'sim-small', messages })).code;
  };
  return { beamline, send, ask };
}

/** A server, and a configuration whose policies live on it. */
async function openGround(opened: AsyncDisposableStack) {
  const folder = mkdtempSync(join(tmpdir(), 'beamline-extensions-'));
  opened.defer(() => rmSync(folder, { recursive: true, force: true }));
  const config = join(folder, 'beamline.yaml');
  writeFileSync(config, JSON.stringify({ policy: { source: 'kv' } }));
  const nats = await startNatsServer();
  opened.defer(() => nats.stop());
  return { config, nats };
}

test('an extension is registered without a restart, and is there after one', async () => {
  await using opened = new AsyncDisposableStack();
  const { config, nats } = await openGround(opened);
  const one = await startUp(nats.url, config, 'guarded');
  opened.defer(() => one.beamline.kill());
  const policy = await one.send('PUT', '/api/v1/policies/default/guarded', GUARDED);
  assert.equal(policy.status, 201, policy.text);
  await until('the policy to be known', async () => (await one.ask()) === 'extension_not_found');
  const made = await one.send('POST', '/api/v1/extensions', GUARD);
  assert.equal(made.status, 201, made.text);
  assert.equal(await one.ask(), 'extension_unavailable');
  const path = fileURLToPath(new URL('../../examples/extensions/pii_guard.ts', import.meta.url));
  const guard = startNode([path], { NATS_URL: nats.url });
  opened.defer(() => guard.kill());
  await guard.until(/serving pii_guard/);
  assert.equal(await one.ask(), 'validator_blocked');
  await one.beamline.stop();

  const two = await startUp(nats.url, config, 'guarded');
  opened.defer(() => two.beamline.kill());
  assert.equal(await two.ask(), 'validator_blocked');
  assert.equal((await two.send('DELETE', '/api/v1/extensions/pii_guard')).code, 'conflict');
  assert.equal((await two.send('DELETE', '/api/v1/policies/default/guarded')).status, 204);
  const remove = () => two.send('DELETE', '/api/v1/extensions/pii_guard');
  await until('nothing to name it', async () => (await remove()).status === 204);
  assert.equal((await two.send('GET', '/api/v1/extensions/pii_guard')).code, 'extension_not_found');
  await two.beamline.stop();
});

test('a provider is registered without a restart, and policies use it as any other', async () => {
  await using opened = new AsyncDisposableStack();
  const { config, nats } = await openGround(opened);
  const { beamline, send } = await startUp(nats.url, config, 'lab');
  opened.defer(() => beamline.kill());
  const path = fileURLToPath(new URL('../../examples/extensions/lab_llm.ts', import.meta.url));
  const lab = startNode([path], { NATS_URL: nats.url });
  opened.defer(() => lab.kill());
  await lab.until(/serving lab_llm/);
  const policy = { version: '2.0', providers: [{ name: 'lab_llm', weight: 1, model: 'parrot' }] };
  assert.equal((await send('PUT', '/api/v1/policies/default/lab', policy)).status, 201);
  const messages = [{ role: 'user', content: 'two lakes' }];
  const ask = () => send('POST', '/v1/chat/completions', { model: 'parrot', messages });
  await until('the policy to be known', async () => (await ask()).code !== 'policy_not_found');
  assert.notEqual((await ask()).status, 200, 'nobody serves it yet');
  const made = await send('POST', '/api/v1/extensions', { id: 'lab_llm', type: 'provider' });
  assert.equal(made.status, 201, made.text);
  await until('the worker to ask it', async () => (await ask()).text.includes('You said: two lakes'));
  await beamline.stop();
});
