// Budgets through the public door of one process: refused in the words of the caller's dialect, changed while it runs, and
// the same for work that is done later.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { generateApiKey, hashApiKey, prefixOf } from '../../src/auth/api-key.ts';
import { systemClock } from '../../src/core/clock.ts';
import { Timers } from '../../src/core/timers.ts';
import { parseScript } from '../../src/provider/simulated-script.ts';
import { startSimulatedServer } from '../../src/provider/simulated-server.ts';
import { startBeamline } from '../process.ts';
import { until } from '../until.ts';

const PEPPER = 'a pepper for tests, which guards nothing at all';
const TENANTS = ['quota', 'jobs', 'free', 'tagged', 'provided'] as const;
const DAY_S = 86_400;

const opened = new AsyncDisposableStack();
const keys = Object.fromEntries(TENANTS.map((tenant) => [tenant, generateApiKey('test')]));
let url = '';

before(async () => {
  const folder = mkdtempSync(join(tmpdir(), 'beamline-budgets-'));
  opened.defer(() => rmSync(folder, { recursive: true, force: true }));
  const timers = opened.use(new Timers(systemClock));
  const script = parseScript({ 'test-chat': { output_tokens: 5 } });
  const server = opened.use(await startSimulatedServer({ host: '127.0.0.1', port: 0, script, timers }));
  const config = join(folder, 'beamline.yaml');
  const records = Object.entries(keys).map(([tenant, secret]) => ({
    id: `key_${tenant}`,
    name: tenant,
    prefix: prefixOf(secret),
    hash: hashApiKey(secret, PEPPER),
    tenants: [tenant],
    role: 'admin',
  }));
  const price = { input: 1_000_000, output: 2_000_000 };
  const models = { 'test-chat': { price } };
  const quota = { id: 'calls', unit: 'requests', window: 'day' };
  writeFileSync(
    config,
    JSON.stringify({
      gateway: { auth: { pepper: { current: 'env:BEAMLINE_PEPPER' }, keys: records }, shutdown: { lame_duck_ms: 0 } },
      budgets: [
        { ...quota, tenant: 'quota', limit: 2 },
        { ...quota, tenant: 'jobs', limit: 1 },
        { ...quota, id: 'tags', tenant: 'tagged', scope: 'tag', limit: 1 },
        { ...quota, id: 'alder', tenant: 'provided', scope: 'provider', subject: 'alder', limit: 2 },
      ],
      providers: { list: [{ id: 'alder', type: 'openai-compatible', base_url: server.url, models }] },
    }),
  );
  const beamline = startBeamline(['up', '--port', '0', '--config', config], { BEAMLINE_PEPPER: PEPPER });
  opened.defer(() => beamline.stop());
  [url] = await beamline.until(/http:\/\/127\.0\.0\.1:\d+/);
});
after(() => opened.disposeAsync());

async function send(
  tenant: (typeof TENANTS)[number],
  method: string,
  path: string,
  body?: object,
  headers: Readonly<Record<string, string>> = {},
) {
  const response = await fetch(`${url}${path}`, {
    method,
    headers: { authorization: `Bearer ${keys[tenant]}`, 'content-type': 'application/json', ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  const json = text === '' ? {} : (JSON.parse(text) as Record<string, unknown>);
  return { status: response.status, headers: response.headers, json };
}

const MESSAGES = [{ role: 'user', content: 'hello' }];
const chat = (tenant: (typeof TENANTS)[number]) =>
  send(tenant, 'POST', '/v1/chat/completions', { model: 'test-chat', max_tokens: 5, messages: MESSAGES });

test('a spent quota is refused as OpenAI would, until it is reset', async () => {
  assert.deepEqual([(await chat('quota')).status, (await chat('quota')).status], [200, 200]);
  const { status, headers, json } = await chat('quota');
  const { error } = json as { error: Record<string, unknown> };
  assert.deepEqual([status, error['code'], error['type']], [429, 'insufficient_quota', 'insufficient_quota']);
  assert.equal(headers.get('x-should-retry'), 'false');
  const waitS = Number(headers.get('retry-after'));
  assert.ok(waitS > 0 && waitS <= DAY_S, `retry-after ${waitS}`);
  const shown = await send('quota', 'GET', '/api/v1/budgets/calls');
  assert.deepEqual([shown.json['limit'], shown.json['remaining'], shown.json['source']], [2, 0, 'configuration']);
  assert.ok(Math.abs(Date.parse(String(shown.json['resets_at'])) - Date.now() - waitS * 1_000) < 60_000);
  assert.equal((await send('quota', 'PATCH', '/api/v1/budgets/calls', { limit: 9 })).status, 409);
});

test('a budget that is made while it runs holds at once; a higher limit lets pass, and none is in the way', async () => {
  assert.equal((await chat('free')).status, 200);
  const made = await send('free', 'POST', '/api/v1/budgets', { id: 'own', limit: 0, window: 'total' });
  assert.equal(made.status, 201);
  const refused = await chat('free');
  assert.deepEqual([refused.status, refused.headers.get('retry-after')], [429, String(DAY_S)], 'it is never reset');
  assert.equal((await send('free', 'PATCH', '/api/v1/budgets/own', { limit: 10_000 })).status, 200);
  assert.equal((await chat('free')).status, 200);
  await until('the ledger to settle', async () => {
    const { json } = await send('free', 'GET', '/api/v1/budgets/own');
    return Number(json['spent']) > 0;
  });
  assert.equal((await send('free', 'PATCH', '/api/v1/budgets/own', { limit: 0 })).status, 200);
  assert.equal((await chat('free')).status, 429);
  assert.equal((await send('free', 'DELETE', '/api/v1/budgets/own')).status, 204);
  assert.equal((await chat('free')).status, 200);
});

test('a job counts like a request, from its acceptance on', async () => {
  const order = () =>
    send('jobs', 'POST', '/api/v1/jobs', {
      task: { type: 'ai.chat', model: 'test-chat', payload: { messages: MESSAGES, max_tokens: 5 } },
    });
  const first = await order();
  assert.equal(first.status, 202);
  const refused = await order();
  const { error } = refused.json as { error: Record<string, unknown> };
  assert.deepEqual([refused.status, error['code']], [429, 'budget_exceeded']);
  assert.equal((await chat('jobs')).status, 429);
  const path = `/api/v1/jobs/${String(first.json['id'])}`;
  await until('the job to end', async () => (await send('jobs', 'GET', path)).json['status'] === 'completed');
  assert.equal((await order()).status, 429);
});

test('each tag of a job counts in a budget of its own, until the ledger has it and after', async () => {
  const task = { type: 'ai.chat', model: 'test-chat', payload: { messages: MESSAGES, max_tokens: 5 } };
  const order = async (tags?: string) =>
    (await send('tagged', 'POST', '/api/v1/jobs', { task }, tags === undefined ? {} : { 'x-beamline-tags': tags }))
      .status;
  assert.deepEqual([await order('night, batch'), await order('batch'), await order('day')], [202, 429, 202]);
  assert.deepEqual([await order(), (await chat('tagged')).status], [202, 200], 'without a tag it counts in none');
  await until('the ledger to settle', async () => {
    const { json } = await send('tagged', 'GET', '/api/v1/budgets/tags');
    const accounts = json['accounts'] as { subject: string; spent: number }[];
    return accounts.filter(({ spent }) => spent === 1).length === 3;
  });
  assert.equal(await order('batch'), 429);
});

test('the budget of a provider counts what goes there, requests and jobs, and refuses in the words of the caller', async () => {
  const task = { type: 'ai.chat', model: 'test-chat', payload: { messages: MESSAGES, max_tokens: 5 } };
  assert.equal((await chat('provided')).status, 200);
  const { json } = await send('provided', 'POST', '/api/v1/jobs', { task });
  const path = `/api/v1/jobs/${String(json['id'])}`;
  await until('the job to end', async () => (await send('provided', 'GET', path)).json['status'] === 'completed');
  const refused = await chat('provided');
  assert.deepEqual([refused.status, (refused.json['error'] as { code?: string }).code], [429, 'insufficient_quota']);
  assert.ok(Number(refused.headers.get('retry-after')) > 0);
  await until('the ledger to settle', async () => {
    const shown = await send('provided', 'GET', '/api/v1/budgets/alder');
    return shown.json['spent'] === 2 && shown.json['remaining'] === 0;
  });
  const late = await send('provided', 'POST', '/api/v1/jobs', { task });
  assert.equal(late.status, 202, 'which provider a job gets is known when it is sent');
  await until('its end', async () => {
    const job = (await send('provided', 'GET', `/api/v1/jobs/${String(late.json['id'])}`)).json;
    return job['status'] === 'failed' && (job['error'] as { code?: string }).code === 'budget_exceeded';
  });
});
