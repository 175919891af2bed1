import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../core/clock.ts';
import type { ExecutionFailure } from '../core/execution-errors.ts';
import { Timers } from '../core/timers.ts';
import { openOpenAiCompatible } from './openai-compatible.ts';
import type { ChatEnd, Provider } from './provider.ts';
import { openSimulated } from './simulated.ts';
import { parseScript } from './simulated-script.ts';
import { startSimulatedServer } from './simulated-server.ts';

interface Embeddings {
  readonly data: readonly { readonly index: number; readonly embedding: number[] | string }[];
}

const ask = (provider: Provider, body: object): Promise<ChatEnd | ExecutionFailure> =>
  new Promise((resolve, reject) => {
    assert.ok(provider.embeddings);
    assert.equal(provider.embeddings.dialect, 'openai.embeddings');
    provider.embeddings.chat(
      { model: 'sim-small', body: { model: 'asked', ...body }, stream: false, firstChunkMs: 2_000, idleMs: 2_000 },
      { chunk: () => reject(new Error('a chunk')), end: resolve, fail: resolve },
    );
  });

const ended = async (provider: Provider, body: object): Promise<ChatEnd> => {
  const end = await ask(provider, body);
  assert.ok('raw' in end, JSON.stringify(end));
  return end;
};
const dataOf = ({ raw }: ChatEnd): Embeddings['data'] => (JSON.parse(raw ?? '') as Embeddings).data;

async function withBoth(script: object, use: (provider: Provider) => Promise<void>): Promise<void> {
  using timers = new Timers(systemClock, { tickMs: 5 });
  const parsed = parseScript(script);
  await using inside = openSimulated({ id: 'sim', script: parsed, timers });
  await use(inside);
  await using server = await startSimulatedServer({ host: '127.0.0.1', port: 0, script: parseScript(script), timers });
  const limits = { connectMs: 1_000, maxBodyBytes: 1_000_000, connections: 4 };
  await using outside = openOpenAiCompatible({ id: 'sim', baseUrl: `${server.url}/`, timers, limits });
  await use(outside);
}

test('vectors depend on seed, model, dimensions and input alone, have the length 1, and are the same in both encodings', () =>
  withBoth({}, async (provider) => {
    const whole = await ended(provider, { input: 'a lake', dimensions: 4 });
    const several = await ended(provider, { input: ['a lake', 'a river'], dimensions: 4 });
    assert.deepEqual(dataOf(several)[0], dataOf(whole)[0]);
    assert.notDeepEqual(dataOf(several)[1]?.embedding, dataOf(whole)[0]?.embedding);
    const vector = dataOf(whole)[0]?.embedding;
    assert.deepEqual(vector, VECTOR);
    assert.ok(Math.abs(Math.hypot(...VECTOR) - 1) < 1e-6);
    const encoded = dataOf(await ended(provider, { input: 'a lake', dimensions: 4, encoding_format: 'base64' }));
    const bytes = Buffer.from(String(encoded[0]?.embedding), 'base64');
    assert.deepEqual(
      VECTOR.map((_, n) => bytes.readFloatLE(n * 4)),
      VECTOR,
    );
    assert.equal(whole.usage?.inputTokens, 2);
    assert.equal((await ended(provider, { input: [1, 2, 3] })).usage?.inputTokens, 3);
    assert.equal(dataOf(await ended(provider, { input: [[1], [2]] })).length, 2);
    assert.equal(dataOf(await ended(provider, { input: 'a lake' }))[0]?.embedding.length, 256);
  }));

/** As this file was written; a change of one bit breaks whoever compares answers. */
const VECTOR: readonly number[] = [0.5351874232292175, -0.4973953664302826, 0.1958577036857605, 0.6540734171867371];

test('refusals of the script are those of the provider', () =>
  withBoth({ default: { errors: [{ when: 'always', status: 429, retry_after: '2' }] } }, async (provider) => {
    const failure = await ask(provider, { input: 'a' });
    assert.ok('code' in failure);
    assert.deepEqual([failure.code, failure.retryAfterMs], ['PROVIDER_RATE_LIMITED', 2_000]);
  }));

test('a request without input is refused, and a missing report of usage stays missing', () =>
  withBoth({ default: { usage: 'absent' } }, async (provider) => {
    const failure = await ask(provider, { input: 7 });
    assert.ok('code' in failure);
    assert.equal(failure.code, 'INVALID_INPUT');
    assert.equal((await ended(provider, { input: 'a' })).usage, undefined);
  }));
