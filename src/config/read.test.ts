import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { stringify } from 'yaml';
import { BeamlineError } from '../core/errors.ts';
import { type ConfigInputs, readConfig } from './read.ts';

const folder = mkdtempSync(join(tmpdir(), 'beamline-config-'));
after(() => rmSync(folder, { recursive: true }));
let files = 0;

function fileOf(yaml: string): string {
  const path = join(folder, `${++files}.yaml`);
  writeFileSync(path, yaml);
  return path;
}

/** The faults of a configuration, with the file's own path left out. */
function faultsOf(yaml: string, more: Partial<ConfigInputs> = {}): readonly string[] {
  const file = fileOf(yaml);
  try {
    readConfig({ env: {}, file, ...more });
    return [];
  } catch (error) {
    assert.ok(error instanceof BeamlineError);
    assert.equal(error.code, 'validation_failed');
    assert.equal(error.details['reason'], 'configuration');
    return error.message.split('\n').map((line) => line.replace(`${file}:`, ''));
  }
}

test('without any input every setting has its declared default', () => {
  const { config, sources } = readConfig({ env: {} });
  assert.equal(config.log_level, 'info');
  assert.equal(config.gateway.http.port, 8080);
  assert.equal(config.nats.url, undefined);
  assert.deepEqual(config.providers.list, []);
  assert.deepEqual(new Set(sources.values()), new Set(['default']));
});

test('the command line wins over the environment, the environment over the file, the file over defaults', () => {
  const file = fileOf('worker: { pool: file, queue: { max: 2, call_wait_ms: 2 } }\ngateway: { http: { port: 1 } }');
  const { config, sources } = readConfig({
    file,
    env: { BEAMLINE_WORKER_POOL: 'environment', BEAMLINE_WORKER_QUEUE_MAX: '3', NATS_URL: 'nats://127.0.0.1:4222' },
    flags: { 'worker.pool': 'flag', 'nats.url': undefined },
    defaults: { 'gateway.http.port': 9, 'gateway.http.host': '127.0.0.1' },
  });
  const cases = [
    ['worker.pool', config.worker.pool, 'flag', 'flag'],
    ['worker.queue.max', config.worker.queue.max, 3, 'environment'],
    ['worker.queue.call_wait_ms', config.worker.queue.call_wait_ms, 2, 'file'],
    ['nats.url', config.nats.url, 'nats://127.0.0.1:4222', 'environment'],
    ['gateway.http.port', config.gateway.http.port, 1, 'file'],
    ['gateway.http.host', config.gateway.http.host, '127.0.0.1', 'default'],
    ['worker.slots.io', config.worker.slots.io, 256, 'default'],
  ] as const;
  for (const [path, value, expected, source] of cases) {
    assert.equal(value, expected, path);
    assert.equal(sources.get(path), source, path);
  }
});

test('our own name of a variable wins over a foreign one, and an empty variable is not set', () => {
  const env = { NATS_URL: 'nats://a:1', BEAMLINE_NATS_URL: 'nats://b:1', BEAMLINE_WORKER_POOL: '' };
  const { config, sources } = readConfig({ env });
  assert.equal(config.nats.url, 'nats://b:1');
  assert.equal(sources.get('worker.pool'), 'default');
});

test('entries of lists and maps get their defaults too', () => {
  const file = fileOf('providers:\n  list:\n    - { id: a, type: sim }\n    - { id: b, type: sim, models: { m/1: } }');
  const { config } = readConfig({ env: {}, file });
  const [first, second] = config.providers.list;
  assert.deepEqual(first, { id: 'a', type: 'sim', models: {}, connections: 256, pool: 'default' });
  assert.deepEqual(second?.models, { 'm/1': {} });
});

test('the configuration is frozen to its leaves', () => {
  const { config } = readConfig({
    env: {},
    file: fileOf('providers: { list: [{ id: a, type: sim, script: { x: [1] } }] }'),
  });
  const [provider] = config.providers.list;
  for (const part of [
    config,
    config.gateway.http.body_limit,
    config.providers.list,
    provider,
    provider?.script?.['x'],
  ]) {
    assert.ok(Object.isFrozen(part));
  }
});

test('a variable changes one section only, though the file shares it through an alias', () => {
  const file = fileOf('worker: { shutdown: &stop { timeout_ms: 6000 } }\ngateway: { shutdown: *stop }');
  const { config } = readConfig({ env: { BEAMLINE_WORKER_SHUTDOWN_TIMEOUT_MS: '7000' }, file });
  assert.equal(config.worker.shutdown.timeout_ms, 7000);
  assert.equal(config.gateway.shutdown.timeout_ms, 6000);
});

const KEY = `{ id: k, name: n, prefix: blk_live_00000000, hash: ${'ab'.repeat(32)}, tenants: [t], role: admin }`;
const PROVIDER = 'id: a, type: openai-compatible, base_url: "http://127.0.0.1:1/v1"';
const refused: readonly (readonly [what: string, yaml: string, faults: readonly string[]])[] = [
  ['an unknown section', 'gatewai: {}', ['1:1 gatewai is not known; did you mean gateway?']],
  ['an unknown key', 'gateway:\n  http: { prot: 1 }', ['2:11 gateway.http.prot is not known; did you mean port?']],
  ['an unknown key like no other', 'nats: { zzzzzz: 1 }', ['1:9 nats.zzzzzz is not known']],
  ['a prototype key', 'gateway: { __proto__: { x: 1 } }', ['1:12 gateway.__proto__ is not known']],
  [
    'a text for a number',
    'gateway: { http: { port: "80" } }',
    ['1:26 gateway.http.port must be an integer from 0 to 65535'],
  ],
  [
    'a number out of bounds',
    'worker: { slots: { io: 0 } }',
    ['1:24 worker.slots.io must be an integer from 1 to 4096'],
  ],
  ['a fraction', 'worker: { slots: { io: 1.5 } }', ['1:24 worker.slots.io must be an integer from 1 to 4096']],
  ['infinity', 'worker: { slots: { io: .inf } }', ['1:24 worker.slots.io must be an integer from 1 to 4096']],
  ['a value for a section', 'worker: 5', ['1:9 worker must be a map']],
  ['a list as the file', '- a', ['1:1 the file must be a map']],
  ['a map for a list', 'providers: { list: {} }', ['1:20 providers.list must be a list']],
  ['an unknown word', 'log_level: loud', ['1:12 log_level must be one of debug, info, warn, error, silent']],
  [
    'a word that YAML 1.1 would read as a boolean',
    'log_level: no',
    ['1:12 log_level must be one of debug, info, warn, error, silent'],
  ],
  [
    'a literal secret, without repeating it',
    `providers: { list: [{ ${PROVIDER}, keys: [{ id: k, secret: sk-1234567890 }] }] }`,
    ['1:114 providers.list[0].keys[0].secret must be env:NAME or file:/path; a literal secret is refused'],
  ],
  [
    'two keys of one provider',
    `providers: { list: [{ ${PROVIDER}, keys: [{ id: a, secret: "env:A" }, { id: b, secret: "env:B" }] }] }`,
    ['1:96 providers.list[0].keys must have exactly 1'],
  ],
  [
    'a credential among the headers',
    `providers: { list: [{ ${PROVIDER}, headers: { Authorization: x } }] }`,
    ['1:101 providers.list[0].headers.Authorization carries a credential: use keys'],
  ],
  [
    'an address with a password',
    'nats: { url: "nats://user:secret@127.0.0.1" }',
    [
      '1:14 nats.url must be a text of 1 to 2048 characters that matches ^((nats|tls)://)?[^@\\s/]+(,((nats|tls)://)?[^@\\s/]+)*$',
    ],
  ],
  [
    'a provider without an address',
    'providers: { list: [{ id: a, type: openai-compatible }] }',
    ['1:21 providers.list[0].base_url is required for type openai-compatible'],
  ],
  [
    'two providers of one id',
    'providers: { list: [{ id: a, type: sim }, { id: a, type: sim }] }',
    ['1:49 providers.list[1].id repeats an earlier entry'],
  ],
  [
    'a model name with control characters',
    'providers: { list: [{ id: a, type: sim, models: { "a\\nb": {} } }] }',
    ['1:51 providers.list[0].models.a\\nb is not a legal name'],
  ],
  [
    'a key for a network that is none',
    `gateway: { auth: { pepper: { current: env:P }, keys: [${KEY.replace(/ ?\}$/, ', ip_allow: [10.0.0.0/8, 10.0.0.0/33] }')}] } }`,
    ['1:222 gateway.auth.keys[0].ip_allow[1] is not an address or a network'],
  ],
  [
    'keys without a pepper',
    `gateway: { auth: { keys: [${KEY}] } }`,
    ['1:18 gateway.auth.pepper.current is required when there are keys'],
  ],
  [
    'an alias named like a policy',
    'gateway: { tenants: [{ id: t, aliases: { direct: m } }] }',
    ['1:42 gateway.tenants[0].aliases.direct is the id of a policy'],
  ],
  [
    'a silence shorter than a heartbeat',
    'frames: { silence_ms: 100, heartbeat_ms: 100 }',
    ['1:23 frames.silence_ms must be longer than frames.heartbeat_ms'],
  ],
  ['a key that stands twice', 'log_level: info\nlog_level: warn', ['2:1 the key log_level is there twice']],
  ['an alias of itself', 'a: &a [*a]', ['1:8 An alias inside its own anchor']],
  ['a foreign tag', 'log_level: !!js/function x', ['1:12 Unresolved tag: tag:yaml.org,2002:js/function']],
  [
    'text that is not YAML',
    'a: [',
    ['1:5 Flow sequence in block collection must be sufficiently indented and end with a ]'],
  ],
];

for (const [what, yaml, expected] of refused) {
  test(`a file with ${what} is refused at its line`, () => assert.deepEqual(faultsOf(yaml), expected));
}

test('every fault is told at once, whatever its source', () => {
  const faults = faultsOf('worker: { pol: a }\nlog_level: loud', {
    env: { BEAMLINE_WORKER_QUEUE_MAX: '12x', BEAMLINE_WORKER_POL: 'x', BEAMLINE_GATEWAY_PORT: 'tcp://10.0.0.1:80' },
    flags: { 'gateway.http.prt': '1', 'gateway.http.port': 'x' },
  });
  assert.deepEqual(
    new Set(faults),
    new Set([
      'BEAMLINE_WORKER_POL is not known; did you mean BEAMLINE_WORKER_POOL?',
      '1:1 gateway.http.prt is not known; did you mean gateway.http.port?',
      '2:12 log_level must be one of debug, info, warn, error, silent',
      'command line gateway.http.port must be an integer from 0 to 65535',
      '1:11 worker.pol is not known; did you mean pool?',
      'BEAMLINE_WORKER_QUEUE_MAX worker.queue.max must be an integer from 1 to 100000',
    ]),
  );
});

test('a file that grows by aliases is refused', () => {
  const levels = Array.from({ length: 12 }, (_, at) => `l${at + 1}: &l${at + 1} [${`*l${at},`.repeat(9)}]`);
  const [fault] = faultsOf(`l0: &l0 [x]\n${levels.join('\n')}`);
  assert.match(fault ?? '', /^1:1 cannot be read: Excessive alias count/);
});

test('a file that is missing is a fault, not a crash', () => {
  assert.throws(
    () => readConfig({ env: {}, file: join(folder, 'none.yaml') }),
    /none\.yaml:1:1 cannot be read: ENOENT/,
  );
});

test('whatever stands in a file, it is read or refused line by line', () => {
  const names = [
    'gateway',
    'http',
    'port',
    'providers',
    'list',
    'id',
    'type',
    'models',
    'worker',
    'slots',
    'io',
    '__proto__',
  ];
  const { tree } = fc.letrec((tie) => ({
    tree: fc.oneof(
      { maxDepth: 5 },
      fc.constantFrom('sim', 1, null, 'env:X', '', true, Number.POSITIVE_INFINITY),
      fc.array(tie('tree'), { maxLength: 3 }),
      fc.dictionary(fc.constantFrom(...names), tie('tree'), { maxKeys: 4 }),
    ),
  }));
  const document = fc.oneof(
    tree.map((value) => stringify(value)),
    fc.string({ unit: 'binary' }),
  );
  fc.assert(
    fc.property(document, (yaml) => {
      for (const line of faultsOf(yaml)) assert.match(line, /^\d+:\d+ ./);
    }),
    { numRuns: 300 },
  );
});
