// The whole product for a test, through its public doors: an upstream with scripted models, and Beamline before it,
// all in one process or three over NATS. The same configuration file serves both.
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { generateApiKey, hashApiKey, prefixOf } from '../src/auth/api-key.ts';
import { systemClock } from '../src/core/clock.ts';
import { Timers } from '../src/core/timers.ts';
import { parseScript } from '../src/provider/simulated-script.ts';
import { startSimulatedServer } from '../src/provider/simulated-server.ts';
import { type NatsServer, startNatsServer } from './nats-server.ts';
import { startBeamline, type TestProcess } from './process.ts';

const PEPPER = 'a pepper for tests, which guards nothing at all';
const PROVIDER_KEY = 'sk-planted-secret-0123456789';

/** Models of the upstream by name; each does what its name says. */
const SCRIPT = {
  'test-chat': { output_tokens: 40 },
  'test-long': { output_tokens: 300_000 },
  'test-slow': { output_tokens: 160, tokens_per_s: 40 },
  'test-slow-start': { first_chunk_ms: 1_500, output_tokens: 5 },
  'test-tools': { tool_call: { name: 'lookup', arguments: { city: 'Ohrid' } } },
  'test-400': {
    errors: [
      { when: 'always', status: 400, body: { error: { message: 'the field is odd', type: 'invalid_request_error' } } },
    ],
  },
  'test-401': { errors: [{ when: 'always', status: 401 }] },
  'test-429': { errors: [{ when: 'always', status: 429, retry_after: '2' }] },
  'test-500': { errors: [{ when: 'always', status: 500 }] },
  'test-flaky': { output_tokens: 10, errors: [{ when: { nth: 1 }, status: 503 }] },
  'test-stall': { output_tokens: 30, stream_faults: [{ at_chunk: 3, kind: 'stall_ms', ms: 60_000 }] },
  'test-truncate': { output_tokens: 30, stream_faults: [{ at_chunk: 3, kind: 'truncate' }] },
  'test-reset': { output_tokens: 30, stream_faults: [{ at_chunk: 3, kind: 'reset' }] },
  'test-garbage': { output_tokens: 30, stream_faults: [{ at_chunk: 3, kind: 'garbage' }] },
  // One event, larger than a message.
  'test-huge-event': { answer_bytes: 1_000_000, chunks: 1 },
  'test-silent': { first_chunk_ms: 60_000 },
} as const;

export const MODES = ['embedded', 'nats'] as const;
export type Mode = (typeof MODES)[number];

export interface StackOptions {
  readonly routers?: number;
  readonly workers?: number;
  /** Beside those of the script. */
  readonly models?: Readonly<Record<string, object>>;
  /** Documents of the tenant `acme` by id, beside those that every stack has. */
  readonly policies?: Readonly<Record<string, object>>;
  /** How long a gateway waits for a sign of a router or a worker. */
  readonly silenceMs?: number;
  /** Attempts that one router owns at a time. */
  readonly inFlightMax?: number;
}

export interface Stack extends AsyncDisposable {
  /** Without `/v1`. */
  readonly url: string;
  /** Of the tenant `acme`. */
  readonly key: string;
  /** Of the tenants `FAILING_TENANTS`: what a provider did to one of them changes nothing for the others. */
  readonly failingKey: string;
  readonly providerKey: string;
  readonly pepper: string;
  readonly upstream: Upstream;
  readonly nats: NatsServer | undefined;
  readonly gateway: TestProcess;
  readonly routers: readonly TestProcess[];
  readonly workers: readonly TestProcess[];
  /** Everything that Beamline wrote. */
  output(): string;
  /** One request with the key, and what else its headers say. */
  chat(body: object, signal?: AbortSignal, headers?: Readonly<Record<string, string>>): Promise<Response>;
}

/** What the upstream saw, as the ground truth beside what Beamline says. */
export interface Upstream {
  /** Bodies of the chat requests, in order. */
  readonly bodies: readonly unknown[];
  /** Answers that are being written now. */
  readonly running: number;
  /** Answers that the caller cut before their end. */
  readonly cut: number;
}

export async function startStack(mode: Mode, options: StackOptions = {}): Promise<Stack> {
  await using opening = new AsyncDisposableStack();
  const folder = mkdtempSync(join(tmpdir(), 'beamline-test-'));
  opening.defer(() => rmSync(folder, { recursive: true, force: true }));
  const timers = opening.use(new Timers(systemClock));
  const upstream = { bodies: [] as unknown[], running: 0, cut: 0 };
  opening.defer(observe(upstream));
  const server = opening.use(
    await startSimulatedServer({
      host: '127.0.0.1',
      port: 0,
      script: parseScript({ ...SCRIPT, ...options.models }),
      timers,
      log: ({ body }) => void upstream.bodies.push(body),
    }),
  );
  const nats = mode === 'nats' ? opening.use(await startNatsServer()) : undefined;
  const { config, key, failingKey } = writeConfig(folder, server.url, options);
  const env = { BEAMLINE_PEPPER: PEPPER, TEST_PROVIDER_KEY: PROVIDER_KEY };
  const started: TestProcess[] = [];
  const start = (args: readonly string[]): TestProcess => {
    const beamline = startBeamline([...args, '--config', config], env);
    started.push(beamline);
    // In reverse: the gateway first, so that what runs can end.
    opening.defer(() => beamline.stop());
    return beamline;
  };
  const alone = (role: string): TestProcess => start([role, '--nats', nats?.url ?? '']);
  const many = async (role: string, count: number): Promise<TestProcess[]> => {
    const roles = Array.from({ length: count }, () => alone(role));
    await Promise.all(roles.map((process) => process.until(new RegExp(`${role}_ready`))));
    return roles;
  };
  const workers = nats === undefined ? [] : await many('worker', options.workers ?? 1);
  const routers = nats === undefined ? [] : await many('router', options.routers ?? 1);
  const gateway =
    nats === undefined
      ? start(['up', '--port', '0'])
      : start(['gateway', '--nats', nats.url, '--host', '127.0.0.1', '--port', '0']);
  const [url] = await gateway.until(/http:\/\/127\.0\.0\.1:\d+/);
  const opened = opening.move();

  return {
    url,
    key,
    failingKey,
    providerKey: PROVIDER_KEY,
    pepper: PEPPER,
    upstream,
    nats,
    gateway,
    routers,
    workers,
    output: () => started.map((process) => process.output()).join(''),
    chat: (body, signal, headers) =>
      fetch(`${url}/v1/chat/completions`, {
        method: 'POST',
        headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json', ...headers },
        body: JSON.stringify({ messages: [{ role: 'user', content: 'hello' }], ...body }),
        ...(signal === undefined ? {} : { signal }),
      }),
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

/** Watches every answer of an HTTP server in this process; the upstream is the only one. */
function observe(upstream: { running: number; cut: number }): () => void {
  const begun = (message: unknown): void => {
    const { response } = message as { response: ServerResponse };
    upstream.running++;
    response.once('close', () => {
      upstream.running--;
      if (!response.writableFinished) upstream.cut++;
    });
  };
  subscribe('http.server.request.start', begun);
  return () => void unsubscribe('http.server.request.start', begun);
}

/** Breakers and cooldowns are those of a tenant, so each test of a failing provider can have one of its own. */
export const FAILING_TENANTS: readonly string[] = Array.from({ length: 20 }, (_, n) => `failing-${n}`);

function writeConfig(
  folder: string,
  baseUrl: string,
  options: StackOptions,
): { config: string; key: string; failingKey: string } {
  const key = generateApiKey('test');
  const failingKey = generateApiKey('test');
  const models = Object.fromEntries(
    Object.keys({ ...SCRIPT, ...options.models }).map((name) => [
      name,
      { price: { input: 1_000_000, output: 2_000_000 } },
    ]),
  );
  const provider = {
    type: 'openai-compatible',
    base_url: baseUrl,
    keys: [{ id: 'k1', secret: 'env:TEST_PROVIDER_KEY' }],
    models,
  };
  const recordOf = (id: string, secret: string, tenants: readonly string[]) => ({
    id,
    name: 'test',
    prefix: prefixOf(secret),
    hash: hashApiKey(secret, PEPPER),
    tenants,
    role: 'service',
  });
  const records = [recordOf('key_test', key, ['acme']), recordOf('key_failing', failingKey, FAILING_TENANTS)];
  const policies = join(folder, 'policies', 'acme');
  writePolicies(policies);
  for (const [id, document] of Object.entries(options.policies ?? {})) {
    writeFileSync(join(policies, `${id}.json`), JSON.stringify(document));
  }
  const { silenceMs, inFlightMax } = options;
  const config = join(folder, 'beamline.yaml');
  writeFileSync(
    config,
    JSON.stringify({
      frames: { heartbeat_ms: 300, silence_ms: silenceMs ?? 1_500 },
      gateway: {
        auth: { pepper: { current: 'env:BEAMLINE_PEPPER' }, keys: records },
        // Errors of a busy machine still come before the head of their stream.
        stream: { heartbeat_ms: 3_000 },
        router: { decide_timeout_ms: silenceMs ?? 1_000 },
        backpressure: { sample_ms: 500 },
        shutdown: { lame_duck_ms: 0, timeout_ms: 10_000 },
        tenants: [{ id: 'acme', aliases: { fast: 'alder/test-chat' } }],
      },
      ...(inFlightMax === undefined ? {} : { router: { in_flight_max: inFlightMax } }),
      policy: { dir: join(folder, 'policies') },
      extensions: [
        { id: 'normalize_text', type: 'pre', timeout_ms: 5_000 },
        { id: 'pii_guard', type: 'validator', timeout_ms: 5_000 },
        { id: 'redact_output', type: 'post', timeout_ms: 5_000 },
      ],
      blocks: { test: true },
      worker: { heartbeat_ms: 300, shutdown: { timeout_ms: 5_000 } },
      providers: {
        first_chunk_ms: 4_000,
        idle_ms: 1_500,
        list: [
          { id: 'alder', ...provider },
          { id: 'birch', ...provider },
          { id: 'lab_llm', type: 'nats', models: { parrot: {} } },
        ],
      },
    }),
  );
  return { config, key, failingKey };
}

function writePolicies(folder: string): void {
  mkdirSync(folder, { recursive: true });
  writeFileSync(
    join(folder, 'fixed.yaml'),
    ['version: "2.0"', 'providers:', '  - { name: birch, weight: 1, model: test-chat }'].join('\n'),
  );
  writeFileSync(
    join(folder, 'steady.yaml'),
    [
      'version: "2.0"',
      'providers:',
      '  - { name: alder, weight: 100 }',
      '  - { name: birch }',
      'fallbacks:',
      '  - { when: { status: 5xx }, retry: 1, backoff: { base_ms: 20, jitter: false }, to: birch }',
      // The tests fail more of their requests than a deployment would bear.
      'retry: { budget: { min_retries: 100 } }',
    ].join('\n'),
  );
  writeFileSync(
    join(folder, 'guarded.yaml'),
    [
      'version: "2.0"',
      'weights: { alder: 1 }',
      'pre: [{ id: normalize_text }]',
      'validators: [{ id: pii_guard, config: { types: [phone] } }]',
    ].join('\n'),
  );
  writeFileSync(
    join(folder, 'reviewed.yaml'),
    [
      'version: "2.0"',
      'weights: { alder: 1 }',
      'post: [{ id: redact_output, mode: required, config: { words: [small] } }]',
    ].join('\n'),
  );
  writeFileSync(
    join(folder, 'shadowed.yaml'),
    [
      'version: "2.0"',
      'providers: [{ name: alder, weight: 1 }, { name: birch, model: test-500 }]',
      'circuit_breaker: { enabled: true, failure_threshold: 1 }',
      'shadow: { to: birch, share: 100, when: "request.model == \'test-chat\'" }',
      'fallbacks: [{ when: { status: 5xx }, retry: 0, to: birch }]',
    ].join('\n'),
  );
  writeFileSync(
    join(folder, 'lab.yaml'),
    [
      'version: "2.0"',
      'providers: [{ name: lab_llm, weight: 1, model: parrot }, { name: birch }]',
      'fallbacks: [{ when: { status: [provider_unavailable, limit] }, retry: 0, to: birch }]',
    ].join('\n'),
  );
}
