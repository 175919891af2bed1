/* eslint-disable no-await-in-loop -- requests of a test come one after the other */
// Providers that fail and that are slow, behind one process: how often they are asked, and which of the limits ends a stream.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { systemClock } from '../../src/core/clock.ts';
import { Timers } from '../../src/core/timers.ts';
import { parseScript } from '../../src/provider/simulated-script.ts';
import { startSimulatedServer } from '../../src/provider/simulated-server.ts';
import { startBeamline } from '../process.ts';

const NEVER_MS = 600_000;
const REQUESTS = 100;
const UNAVAILABLE = { status: 503 };
const SCRIPT = {
  down: { errors: [{ ...UNAVAILABLE, when: 'always' }] },
  flaky: { errors: [{ ...UNAVAILABLE, when: { ratio: 0.6 } }], output_tokens: 3 },
  silent: { first_chunk_ms: NEVER_MS },
  stalling: { output_tokens: 20, stream_faults: [{ at_chunk: 3, kind: 'stall_ms', ms: NEVER_MS }] },
  slow: { output_tokens: 40, tokens_per_s: 10 },
  endless: { output_tokens: 100_000, tokens_per_s: 20 },
};
const ALDER = { version: '2.0', weights: { alder: 1 } };
const AGAIN = { retry: 3, to: 'birch', backoff: { strategy: 'fixed', base_ms: 1, jitter: false } };
const POLICIES = {
  thrifty: {
    ...ALDER,
    fallbacks: [{ ...AGAIN, when: { status: '5xx' } }],
    retry: { max_attempts: 5, budget: { ratio: 0.2, min_retries: 0, window_seconds: 60 } },
  },
  guarded: {
    version: '2.0',
    weights: { cedar: 1 },
    retry: { max_attempts: 1 },
    circuit_breaker: { enabled: true, failure_threshold: 5 },
  },
  first: { ...ALDER, retry: { max_attempts: 1 }, timeouts: { first_chunk_ms: 300, idle_ms: NEVER_MS } },
  idle: { ...ALDER, retry: { max_attempts: 1 }, timeouts: { first_chunk_ms: NEVER_MS, idle_ms: 300 } },
  total: { ...ALDER, retry: { max_attempts: 1 }, timeout_ms: 2_000 },
  patient: { ...ALDER, timeouts: { first_chunk_ms: 3_000, idle_ms: 3_000 } },
};

const opened = new AsyncDisposableStack();
const arrivals: string[] = [];
let url = '';
let key = '';

before(async () => {
  const folder = mkdtempSync(join(tmpdir(), 'beamline-providers-'));
  opened.defer(() => rmSync(folder, { recursive: true, force: true }));
  const timers = opened.use(new Timers(systemClock));
  const log = ({ body }: { body: unknown }): void => void arrivals.push(String((body as { model?: unknown }).model));
  const server = { host: '127.0.0.1', port: 0, script: parseScript(SCRIPT), timers, log };
  const upstream = opened.use(await startSimulatedServer(server));
  const policies = join(folder, 'policies', 'default');
  mkdirSync(policies, { recursive: true });
  for (const [id, document] of Object.entries(POLICIES))
    writeFileSync(join(policies, `${id}.json`), JSON.stringify(document));
  const models = Object.fromEntries(Object.keys(SCRIPT).map((model) => [model, {}]));
  const list = ['alder', 'birch', 'cedar'].map((id) => ({
    id,
    type: 'openai-compatible',
    base_url: upstream.url,
    models,
  }));
  const config = join(folder, 'beamline.yaml');
  writeFileSync(config, JSON.stringify({ policy: { dir: join(folder, 'policies') }, providers: { list } }));
  const up = startBeamline(['up', '--port', '0', '--config', config]);
  opened.defer(() => up.stop());
  await up.until(/Ctrl-C drains and stops/);
  [, url = ''] = /^ {2}curl (\S+)/m.exec(up.output()) ?? [];
  key = /Bearer (\S+)'/.exec(up.output())?.[1] ?? '';
});
after(() => opened.disposeAsync());

async function chat(policy: keyof typeof POLICIES, model: keyof typeof SCRIPT, stream = false) {
  const response = await fetch(url, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json', 'x-beamline-policy': policy },
    body: JSON.stringify({ model, stream, messages: [{ role: 'user', content: 'hello' }] }),
  });
  return { status: response.status, text: await response.text() };
}

const arrived = (model: string): number => arrivals.filter((one) => one === model).length;

// The other limits are so long that nobody else would end it.
for (const [what, policy, model, status, hasBegun] of [
  ['does not begin is ended by the limit of its first chunk', 'first', 'silent', 504, false],
  ['stands still is ended by the limit between its chunks', 'idle', 'stalling', 200, true],
  ['never ends is ended by the time of its request', 'total', 'endless', 200, true],
] as const) {
  test(`a stream that ${what}, and by no other`, async () => {
    const { status: told, text } = await chat(policy, model, true);
    assert.deepEqual([told, /"code":"timeout"/.test(text), /\[DONE\]/.test(text)], [status, true, false]);
    assert.equal(/"delta":\{"content":"./.test(text), hasBegun);
    assert.equal(arrived(model), 1);
  });
}

test('a stream that takes longer in all than its first chunk and its gaps may is not ended', async () => {
  const { status, text } = await chat('patient', 'slow', true);
  assert.deepEqual([status, text.endsWith('data: [DONE]\n\n')], [200, true]);
});

test('a provider that fails many is asked a fifth more often at most, and those who are not tried again hear of it', async () => {
  const codes = new Set<unknown>();
  for (let n = 0; n < REQUESTS; n++) {
    const { status, text } = await chat('thrifty', 'flaky');
    codes.add(status === 200 ? 'served' : (JSON.parse(text) as { error: { code: string } }).error.code);
  }
  const attempts = arrived('flaky');
  assert.ok(attempts > REQUESTS && attempts <= REQUESTS * 1.2, `${attempts} attempts`);
  assert.deepEqual(codes, new Set(['served', 'provider_unavailable']));
});

test('a provider that fails everybody is asked no more after five failures', async () => {
  const codes: string[] = [];
  for (let n = 0; n < 20; n++) {
    const { text } = await chat('guarded', 'down');
    codes.push((JSON.parse(text) as { error: { code: string } }).error.code);
  }
  assert.equal(arrived('down'), 5);
  assert.deepEqual(new Set(codes.slice(5)), new Set(['circuit_breaker_open']));
});
