// The files that Beamline and the upstream run with: a key with its pepper, priced models, a policy with weights and
// a fallback. Metrics, usage and the access log are on because nothing here turns them off.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { generateApiKey, hashApiKey, prefixOf } from '../src/auth/api-key.ts';

const TENANT = 'bench';
const POLICY = 'balanced';
/** With the fields around it the text makes an answer of half a kilobyte. */
const CHAT_TEXT_BYTES = 154;
const PEPPER = 'the pepper of the benchmark, which guards nothing';

export interface BeamlineSettings {
  /** Path of the configuration file. */
  readonly config: string;
  readonly environment: Readonly<Record<string, string>>;
  /** What a caller sends. */
  readonly headers: Readonly<Record<string, string>>;
}

/** Writes configuration and policy into the folder. */
export function writeBeamlineSettings(folder: string, upstreamPort: number): BeamlineSettings {
  const key = generateApiKey('live');
  const policies = join(folder, 'policies');
  const config = join(folder, 'config.yaml');
  mkdirSync(join(policies, TENANT), { recursive: true });
  writeJson(join(policies, TENANT, `${POLICY}.json`), policy);
  writeJson(config, {
    gateway: {
      auth: {
        pepper: { current: 'env:BEAMLINE_PEPPER' },
        keys: [{ ...identity, prefix: prefixOf(key), hash: hashApiKey(key, PEPPER) }],
      },
    },
    policy: { dir: policies },
    providers: {
      list: ['alder', 'birch'].map((id) => ({
        id,
        type: 'openai-compatible',
        base_url: `http://127.0.0.1:${upstreamPort}/v1`,
        keys: [{ id: 'main', secret: 'env:BENCH_PROVIDER_KEY' }],
        models,
      })),
    },
  });
  return {
    config,
    environment: { BEAMLINE_PEPPER: PEPPER, BENCH_PROVIDER_KEY: 'sk-bench' },
    headers: { authorization: `Bearer ${key}`, 'x-beamline-policy': POLICY },
  };
}

/** Writes the upstream's behaviour: answers at once, paced by nothing but the sockets. */
export function writeScript(folder: string): string {
  const path = join(folder, 'script.json');
  writeJson(path, {
    'bench-chat': { answer_bytes: CHAT_TEXT_BYTES },
    'bench-stream-20': { output_tokens: 20, chunks: 20 },
    'bench-stream-100': { output_tokens: 100, chunks: 100 },
  });
  return path;
}

const identity = { id: 'bench-key', name: 'benchmark', tenants: [TENANT], role: 'service' };

const price = { input: 150_000, output: 600_000 };
const models = { 'bench-chat': { price }, 'bench-stream-20': { price }, 'bench-stream-100': { price } };

const policy = {
  version: '1.0',
  providers: [
    { name: 'alder', weight: 70 },
    { name: 'birch', weight: 30 },
  ],
  fallbacks: [{ when: { status: ['timeout', '5xx'] }, retry: 1, to: 'birch' }],
};

const writeJson = (path: string, value: unknown): void => writeFileSync(path, JSON.stringify(value, undefined, 2));
