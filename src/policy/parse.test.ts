/* eslint-disable unicorn/no-thenable -- the word of the language */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { builtInPolicy, parsePolicy } from './parse.ts';

const OPTIONS = {
  knownProviders: new Set(['elder', 'rowan']),
  tenantId: 'kestrel',
  policyId: 'default',
  revision: 14,
};

/** A document with every key that is built. */
const FULL = {
  version: '2.0',
  policy_id: 'default',
  tenant_id: 'kestrel',
  description: 'for the tests',
  metadata: { owner: 'ops' },
  strategy: 'weighted',
  providers: [
    {
      name: 'alder',
      weight: 70,
      labels: { region: 'eu' },
      when: 'request.stream',
      max_in_flight: 9,
      models: ['small', 'medium-*'],
    },
    { name: 'birch', weight: 30, model: 'medium-2b', priority: 0, enabled: false },
    { name: 'cedar', pool: 'lab' },
  ],
  sticky: { enabled: true, session_key: 'thread', ttl: '15m' },
  timeout_ms: 20_000,
  timeouts: { first_chunk_ms: 8_000, idle_ms: 9_000, attempt_ms: 10_000 },
  retry: { max_attempts: 3, on: ['timeout'], backoff: { strategy: 'fixed', base_ms: 5 }, budget: { ratio: 0.5 } },
  fallbacks: [{ when: { status: '5xx' }, retry: 2, backoff: { strategy: 'linear', jitter: false }, to: 'cedar' }],
  fallback: { provider: 'rowan', conditions: ['timeout'] },
  timezone: 'Europe/Berlin',
  strategy_options: { tolerance: 0.2, min_samples: 3 },
  rules: [
    { id: 'r', when: "tenant.tier == 'gold'", then: { where: 'provider.weight > 1.0', tag: 't' }, continue: true },
  ],
  experiments: [
    {
      id: 'e',
      unit: 'thread',
      arms: [
        { name: 'a', share: 50 },
        { name: 'b', share: 50, then: { weights: { alder: 1 } } },
      ],
    },
  ],
  canary: { to: 'cedar', share: 5, when: { tier: 'gold' }, unit: 'thread', abort_on: { error_rate: 0.1 } },
  escalate_on: [{ when: { status: 'content_blocked' }, to: 'rowan', reason: 'other filter' }],
  circuit_breaker: { enabled: true, failure_threshold: 3 },
};

const parse = (document: unknown) => parsePolicy(document, OPTIONS);
const codesOf = (document: unknown): readonly (readonly [path: string, code: string])[] => {
  const parsed = parse(document);
  return [...(parsed.kind === 'valid' ? [] : parsed.errors), ...parsed.warnings].map(({ path, code }) => [path, code]);
};
const valid = (document: unknown) => {
  const parsed = parse(document);
  assert.ok(parsed.kind === 'valid', JSON.stringify(parsed));
  return parsed.policy;
};

test('a full document becomes a policy with every value in its place', () => {
  const policy = valid(FULL);
  assert.deepEqual(codesOf(FULL), []);
  assert.deepEqual(
    policy.targets.map(({ name, weight, model, pool, enabled }) => [name, weight, model, pool, enabled]),
    [
      ['alder', 70, undefined, 'default', true],
      ['birch', 30, 'medium-2b', 'default', false],
      ['cedar', 0, undefined, 'lab', true],
    ],
  );
  assert.deepEqual(policy.targets[0]?.labels, { region: 'eu' });
  assert.deepEqual(
    ['small', 'smaller', 'medium-2', 'large'].map((model) => policy.targets[0]?.serves?.(model)),
    [true, false, true, false],
  );
  assert.deepEqual(policy.sticky, { sessionKey: 'thread', ttlMs: 900_000 });
  assert.deepEqual(policy.timeouts, { firstChunkMs: 8_000, idleMs: 9_000, attemptMs: 10_000 });
  assert.deepEqual(policy.retry, {
    maxAttempts: 3,
    on: new Set(['timeout']),
    backoff: { strategy: 'fixed', baseMs: 5, maxMs: 5_000, jitter: true },
    budget: { ratio: 0.5, minRetries: 3, windowSeconds: 10 },
  });
  assert.deepEqual(
    policy.fallbacks.map(({ retry, to, backoff }) => [retry, to.name, backoff.strategy]),
    [
      [2, 'cedar', 'linear'],
      [1, 'rowan', 'exponential'],
    ],
  );
  assert.deepEqual(
    [policy.tenantId, policy.policyId, policy.revision, policy.version],
    ['kestrel', 'default', 14, '2.0'],
  );
});

test('the least document has the defaults of the language', () => {
  const policy = valid({ version: '1.0', weights: { elder: 1 } });
  assert.deepEqual(
    policy.targets.map(({ name, weight }) => [name, weight]),
    [['elder', 1]],
  );
  assert.equal(policy.sticky, undefined);
  assert.equal(policy.timeoutMs, 300_000);
  assert.deepEqual(policy.timeouts, { firstChunkMs: undefined, idleMs: undefined, attemptMs: undefined });
  assert.deepEqual(policy.retry, {
    maxAttempts: 4,
    on: new Set(['unavailable', 'timeout', 'limit']),
    backoff: { strategy: 'exponential', baseMs: 100, maxMs: 5_000, jitter: true },
    budget: { ratio: 0.2, minRetries: 3, windowSeconds: 10 },
  });
  assert.deepEqual(policy.fallbacks, []);
});

test('a compact fallback without conditions waits for an empty choice', () => {
  const [item] = valid({ version: '1.0', weights: { elder: 1 }, fallback: { provider: 'rowan' } }).fallbacks;
  const facts = { tenantId: 'kestrel', requestId: 'rq-1', taskType: 'ai.chat', stream: false, context: {} };
  const scope = { facts, live: {}, attempt: 1 };
  assert.equal(item?.holds({ ...scope, status: ['all_providers_failed'] }), true);
  assert.equal(item?.holds({ ...scope, status: ['timeout'] }), false);
});

test('a breaker has its defaults, and is none if it is not enabled', () => {
  const breakerOf = (circuit_breaker: object) => valid({ ...V2, circuit_breaker }).breaker;
  const defaults = {
    failureThreshold: 5,
    successThreshold: 2,
    openMs: 60_000,
    halfOpenMax: 3,
    errorRate: 0.5,
    windowSeconds: 60,
    samplesMin: 10,
    latencyMs: 0,
  };
  assert.deepEqual(breakerOf({ enabled: true }), defaults);
  assert.deepEqual(builtInPolicy('default', [{ name: 'elder' }]).breaker, defaults);
  assert.deepEqual(
    [breakerOf({}), breakerOf({ enabled: false }), valid(V2).breaker],
    [undefined, undefined, undefined],
  );
  const settings = {
    failure_threshold: 1,
    success_threshold: 4,
    timeout_ms: 2_000,
    half_open_max_calls: 7,
    error_rate_threshold: 0.1,
    error_rate_window_seconds: 9,
    min_samples: 3,
    latency_threshold_ms: 800,
  };
  assert.deepEqual(Object.values(breakerOf({ enabled: true, ...settings }) ?? {}), Object.values(settings));
});

test('equal candidates of different tenants are one object, and different ones never', () => {
  const parsed = ['kestrel', 'merlin'].map((tenantId) => {
    const label = tenantId === 'merlin' ? 'other' : 'eu';
    const rowan = { name: 'rowan', weight: 30, labels: { region: label } };
    return parsePolicy({ version: '2.0', providers: [{ name: 'elder', weight: 70 }, rowan] }, { ...OPTIONS, tenantId });
  });
  const [one, two] = parsed.map((each) => (each.kind === 'valid' ? each.policy.targets : []));
  assert.ok(one?.[0] !== undefined && one[0] === two?.[0]);
  assert.deepEqual([one[1]?.labels, two[1]?.labels], [{ region: 'eu' }, { region: 'other' }]);
});

test('a compiled policy cannot be changed', () => {
  const policy = valid(FULL);
  for (const part of [
    policy,
    policy.targets,
    policy.targets[0],
    policy.targets[0]?.labels,
    policy.fallbacks,
    policy.rules,
    policy.rules[0]?.effect,
    policy.experiments[0]?.arms,
    policy.canary,
    policy.escalations,
    policy.breaker,
    policy.retry,
  ]) {
    assert.ok(Object.isFrozen(part));
  }
});

test('a built-in policy draws all providers alike at revision 0', () => {
  const policy = builtInPolicy('direct', [
    { name: 'elder', models: ['a'] },
    { name: 'rowan', pool: 'lab' },
  ]);
  assert.deepEqual([policy.policyId, policy.revision], ['direct', 0]);
  assert.deepEqual(
    policy.targets.map(({ name, weight, pool, serves }) => [name, weight, pool, serves?.('b')]),
    [
      ['elder', 1, 'default', false],
      ['rowan', 1, 'lab', undefined],
    ],
  );
});

const WEIGHTS = { elder: 1 };
const V1 = { version: '1.0', weights: WEIGHTS };
const V2 = { version: '2.0', weights: WEIGHTS };
const listed = (...providers: unknown[]) => ({ version: '2.0', providers });

const FINDINGS: readonly (readonly [
  finding: string,
  document: unknown,
  expected: readonly (readonly [string, string])[],
])[] = [
  ['no object', 'text', [['', 'type']]],
  ['nothing', undefined, [['', 'type']]],
  [
    'an empty object',
    {},
    [
      ['/version', 'required'],
      ['/providers', 'required'],
    ],
  ],
  ['a version that is a number', { version: 2, weights: WEIGHTS }, [['/version', 'type']]],
  ['an unknown version', { version: '3.0', weights: WEIGHTS }, [['/version', 'pattern']]],
  ['a weight above the range', { version: '1.0', weights: { elder: 101 } }, [['/weights/elder', 'range']]],
  ['a weight that is a text', listed({ name: 'a', weight: '1' }), [['/providers/0/weight', 'type']]],
  ['a provider without a name', listed({ weight: 1 }), [['/providers/0/name', 'required']]],
  ['a bad provider name', listed({ name: 'Alder', weight: 1 }), [['/providers/0/name', 'pattern']]],
  [
    'a provider name that is too long',
    listed({ name: 'a'.repeat(129), weight: 1 }),
    [['/providers/0/name', 'too_large']],
  ],
  ['no providers', listed(), [['/providers', 'range']]],
  ['a broken time', { ...V1, timeout_ms: 1.5 }, [['/timeout_ms', 'type']]],
  ['an unknown key', { ...V1, wieght: 1 }, [['/wieght', 'unknown_key']]],
  ['an unknown key with a slash', { ...V1, 'a/b~': 1 }, [['/a~1b~0', 'unknown_key']]],
  [
    'too many items',
    listed(...Array.from({ length: 101 }, (_, i) => ({ name: `p${i}`, weight: 1 }))),
    [['/providers', 'too_many']],
  ],
  ['a document that is too large', { ...V1, metadata: { text: 'ä'.repeat(140_000) } }, [['', 'too_large']]],
  ['a description that is too long', { ...V1, description: 'x'.repeat(1_025) }, [['/description', 'too_large']]],
  ['a version 2 key in version 1', { ...V1, timeouts: { idle_ms: 'no' } }, [['/timeouts', 'requires_version_2']]],
  [
    'a version 2 key of a provider',
    { version: '1.0', providers: [{ name: 'a', weight: 1, pool: 'lab' }] },
    [['/providers/0/pool', 'requires_version_2']],
  ],
  [
    'an expression in version 1',
    { ...V1, fallbacks: [{ when: 'true', to: 'rowan' }] },
    [['/fallbacks/0/when', 'requires_version_2']],
  ],
  ['providers beside weights', { ...V2, providers: [{ name: 'elder', weight: 1 }] }, [['/weights', 'conflict']]],
  ['two times to live', { ...V1, sticky: { ttl: '1h', ttl_seconds: 5 } }, [['/sticky/ttl_seconds', 'conflict']]],
  [
    'the key of another policy',
    { ...V1, policy_id: 'other', tenant_id: 'merlin' },
    [
      ['/policy_id', 'conflict'],
      ['/tenant_id', 'conflict'],
    ],
  ],
  ['a time to live of no unit', { ...V1, sticky: { ttl: '15' } }, [['/sticky/ttl', 'pattern']]],
  ['a time to live above a day', { ...V1, sticky: { ttl: '25h' } }, [['/sticky/ttl', 'range']]],
  [
    'a provider twice',
    listed({ name: 'a', weight: 1 }, { name: 'a', weight: 1 }),
    [['/providers/1/name', 'duplicate']],
  ],
  ['no weight above 0', listed({ name: 'a' }, { name: 'b', weight: 0 }), [['/providers', 'weights_sum_zero']]],
  ['no compact weight above 0', { version: '1.0', weights: { elder: 0 } }, [['/weights', 'weights_sum_zero']]],
  ['a weight for no provider', { version: '1.0', weights: { oak: 1 } }, [['/weights/oak', 'unknown_provider']]],
  [
    'a fallback to no provider',
    { ...V1, fallbacks: [{ when: {}, to: 'brich' }] },
    [['/fallbacks/0/to', 'unknown_provider']],
  ],
  [
    'a compact fallback to no provider',
    { ...V1, fallback: { provider: 'oak' } },
    [['/fallback/provider', 'unknown_provider']],
  ],
  [
    'a fallback without parts',
    { ...V1, fallbacks: [{}] },
    [
      ['/fallbacks/0/when', 'required'],
      ['/fallbacks/0/to', 'required'],
    ],
  ],
  ['post', { ...V1, post: [{ id: 'tidy', mode: 'always' }] }, [['/post/0/mode', 'pattern']]],
  [
    'keys without effect',
    { ...V1, health_check: {}, defaults: {} },
    [
      ['/health_check', 'no_effect'],
      ['/defaults', 'no_effect'],
    ],
  ],
  [
    'a fallback to the only provider',
    { ...V1, fallbacks: [{ when: {}, to: 'elder' }] },
    [['/fallbacks/0/to', 'fallback_to_self']],
  ],
  [
    'a fallback to the provider of its condition',
    {
      version: '1.0',
      weights: { elder: 1, rowan: 1 },
      fallbacks: [{ when: { current_provider: 'rowan' }, to: 'rowan' }],
    },
    [['/fallbacks/0/to', 'fallback_to_self']],
  ],
  [
    'several faults at once',
    { version: '1.0', weights: { elder: -1 }, sticky: 5, fallbak: {} },
    [
      ['/weights/elder', 'range'],
      ['/sticky', 'type'],
      ['/fallbak', 'unknown_key'],
    ],
  ],
];

for (const [finding, document, expected] of FINDINGS) {
  test(`${finding} is found as ${expected.map(([, code]) => code).join(', ')}`, () => {
    assert.deepEqual(codesOf(document), expected);
  });
}

test('an unknown key comes with the nearest known one, and with none if none is near', () => {
  const parsed = parse({ ...V1, fallbak: {}, zzzzzz: 1 });
  assert.deepEqual(parsed.kind === 'invalid' ? parsed.errors.map(({ message }) => message) : [], [
    "unknown key; did you mean 'fallback'?",
    'unknown key',
  ]);
});

test('at most a hundred findings are told', () => {
  const faults = Object.fromEntries(Array.from({ length: 150 }, (_, i) => [`key${i}`, i]));
  assert.equal(codesOf({ ...V1, ...faults, health_check: {} }).length, 100);
});

test('a document that is no JSON is refused', () => {
  const circle: Record<string, unknown> = { ...V1 };
  circle['metadata'] = circle;
  assert.deepEqual(codesOf(circle), [['', 'too_large']]);
});

test('no document makes the parser throw, and one that is refused says why', () => {
  const key = fc.constantFrom(...Object.keys(FULL), 'rules', 'budgets', '__proto__', 'weights');
  const mutated = fc.dictionary(key, fc.jsonValue()).map((parts) => Object.assign({}, FULL, parts));
  fc.assert(
    fc.property(fc.oneof(fc.jsonValue(), mutated), (document) => {
      const parsed = parse(document);
      if (parsed.kind === 'invalid') assert.ok(parsed.errors.length > 0);
    }),
    { numRuns: 500 },
  );
});
