import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decide } from './decide.ts';
import { unit } from '../core/hash.ts';
import type { Facts, Snapshot } from './facts.ts';
import { parsePolicy } from './parse.ts';
import type { Policy } from './policy.ts';
import { stickyKey } from './sticky.ts';

const FACTS: Facts = {
  tenantId: 'kestrel',
  requestId: 'rq-50b7',
  taskType: 'ai.chat',
  model: 'small',
  stream: false,
  context: {},
};
const FIRST: Snapshot = { attempt: 1, failed: new Set(), failureWords: [] };

const PROVIDERS = [
  { name: 'alder', weight: 70 },
  { name: 'birch', weight: 30, model: 'medium-2b' },
  { name: 'cedar', weight: 0 },
];

function policyOf(more: object = {}): Policy {
  const parsed = parsePolicy(
    { version: '2.0', providers: PROVIDERS, ...more },
    { knownProviders: new Set(['rowan']), tenantId: 'kestrel', policyId: 'default', revision: 14 },
  );
  assert.ok(parsed.kind === 'valid', JSON.stringify(parsed));
  return parsed.policy;
}

function chosen(policy: Policy, facts: Facts, snapshot: Snapshot = FIRST) {
  const verdict = decide(policy, facts, snapshot, true);
  assert.ok(verdict.kind === 'chosen', JSON.stringify(verdict));
  return verdict;
}

const request = (id: number): Facts => ({ ...FACTS, requestId: `rq-${id}` });
const open = (...names: string[]): Snapshot => ({ ...FIRST, isOpen: (name) => names.includes(name) });

test('the draw of the specification chooses its provider and explains itself', () => {
  const verdict = chosen(policyOf(), FACTS, open('cedar'));
  assert.deepEqual(verdict.explanation, {
    policy_id: 'default',
    policy_revision: 14,
    policy_version: '2.0',
    seed: 'kestrel:rq-50b7',
    attempt: 1,
    reason: 'weighted',
    priority: 50,
    provider_id: 'alder',
    fallback_used: false,
    steps: [
      { n: 1, stage: 'breaker', outcome: 'removed', detail: 'cedar: breaker open', data: { providers: ['cedar'] } },
      {
        n: 2,
        stage: 'select',
        outcome: 'chosen',
        detail: 'weighted draw 0.012476',
        data: { strategy: 'weighted', draw: 0.012_476 },
      },
    ],
    candidates: [
      { provider_id: 'alder', state: 'chosen', weight: 70 },
      { provider_id: 'birch', state: 'eligible', weight: 30 },
      { provider_id: 'cedar', state: 'removed', by: 'breaker' },
    ],
  });
  assert.deepEqual(verdict.alternatives, ['birch']);
  assert.equal(verdict.model, 'small');
});

test('a provider with its own model is sent that model', () => {
  assert.equal(chosen(policyOf(), { ...FACTS, providersAllow: ['birch'] }).model, 'medium-2b');
});

test('each request goes where its draw falls, in document order', () => {
  const policy = policyOf();
  for (let id = 0; id < 2_000; id++) {
    const expected = unit(`kestrel:rq-${id}:1|select`) * 100 < 70 ? 'alder' : 'birch';
    assert.equal(chosen(policy, request(id)).target.name, expected);
  }
});

test('many requests are shared out by weight', () => {
  const policy = policyOf({ providers: [1, 2, 7].map((weight, i) => ({ name: `p${i}`, weight })) });
  const counts = new Map<string, number>();
  for (let id = 0; id < 10_000; id++) {
    const { name } = chosen(policy, request(id)).target;
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  for (const [name, expected] of [
    ['p0', 1_000],
    ['p1', 2_000],
    ['p2', 7_000],
  ] as const) {
    assert.ok(Math.abs((counts.get(name) ?? 0) - expected) < 200, `${name}: ${counts.get(name)}`);
  }
});

test('an unhealthy pool gets a smaller share', () => {
  const { explanation } = chosen(policyOf(), FACTS, { ...FIRST, poolFactor: () => 0.5 });
  assert.deepEqual(
    explanation?.candidates.map((one) => (one.state === 'removed' ? 0 : one.weight)),
    [35, 15, 0],
  );
});

test('equal inputs give equal bytes, and explaining changes no choice', () => {
  const policy = policyOf({ sticky: { enabled: true }, fallbacks: [{ when: {}, to: 'cedar' }] });
  const names = ['alder', 'birch', 'cedar'];
  const snapshot = fc.record({
    attempt: fc.integer({ min: 1, max: 4 }),
    failed: fc.subarray(names).map((failed) => new Set(failed)),
    failureWords: fc.constant<readonly string[]>([]),
    sticky: fc.constantFrom(undefined, ...names),
    open: fc.subarray(names),
  });
  fc.assert(
    fc.property(snapshot, fc.string(), fc.option(fc.string()), ({ open: down, ...rest }, requestId, session) => {
      const facts: Facts = { ...FACTS, requestId, context: session === null ? {} : { session_id: session } };
      const inputs = [policy, facts, { ...rest, isOpen: (name: string) => down.includes(name) }] as const;
      const told = decide(...inputs, true);
      assert.equal(JSON.stringify(decide(...inputs, true)), JSON.stringify(told));
      const lost = told.kind === 'chosen' ? { alternatives: told.alternatives } : {};
      assert.deepEqual({ ...decide(...inputs, false), explanation: told.explanation, ...lost }, told);
    }),
  );
});

const FILTERED: readonly (readonly [by: string, provider: object, facts: object, snapshot: object])[] = [
  ['disabled', { enabled: false }, {}, {}],
  ['model', { models: ['large-*'] }, {}, {}],
  ['constraint', {}, { providersDeny: ['birch'] }, {}],
  ['constraint', {}, { providersAllow: ['alder'] }, {}],
  ['failed', {}, {}, { failed: new Set(['birch']) }],
  ['breaker', {}, {}, { isOpen: (name: string) => name === 'birch' }],
  ['cooldown', {}, {}, { isCooling: (name: string) => name === 'birch' }],
  ['capacity', {}, {}, { hasCapacity: ({ name }: { name: string }) => name !== 'birch' }],
  ['capacity', { max_in_flight: 3 }, {}, { inFlight: () => 3 }],
  [
    'constraint',
    {},
    { maxCostMicroUsd: 5 },
    { costMicroUsd: ({ name }: { name: string }) => (name === 'birch' ? 6 : 5) },
  ],
  // Under a maximum what has no price is too dear.
  [
    'constraint',
    {},
    { maxCostMicroUsd: 5 },
    { costMicroUsd: ({ name }: { name: string }) => (name === 'birch' ? undefined : 0) },
  ],
  [
    'constraint',
    {},
    { maxLatencyMs: 50 },
    { latency: (name: string) => (name === 'birch' ? { ms: 51, samples: 1 } : undefined) },
  ],
  // The first filter in order gives its name.
  ['disabled', { enabled: false, models: ['x'] }, { providersDeny: ['birch'] }, { failed: new Set(['birch']) }],
  ['failed', {}, {}, { failed: new Set(['birch']), isOpen: (name: string) => name === 'birch' }],
];

for (const [by, provider, facts, snapshot] of FILTERED) {
  test(`a candidate is removed by ${by}`, () => {
    const policy = policyOf({
      providers: [
        { name: 'alder', weight: 1 },
        { name: 'birch', weight: 100, ...provider },
      ],
    });
    const { target, explanation } = chosen(policy, { ...FACTS, ...facts }, { ...FIRST, ...snapshot });
    assert.equal(target.name, 'alder');
    assert.deepEqual(explanation?.candidates[1], { provider_id: 'birch', state: 'removed', by });
    assert.deepEqual([explanation?.steps[0]?.stage, explanation?.steps[0]?.outcome], [by, 'removed']);
  });
}

test('a job may wait for the workers of a pool, a bound of the policy holds for it too', () => {
  const policy = policyOf({ providers: [{ name: 'alder', weight: 1, max_in_flight: 3 }] });
  const durable = { ...FACTS, durable: true };
  assert.equal(chosen(policy, durable, { ...FIRST, hasCapacity: () => false }).target.name, 'alder');
  const full = decide(policy, durable, { ...FIRST, inFlight: () => 3 }, false);
  assert.deepEqual([full.kind, full.kind === 'none' && full.code], ['none', 'no_provider_available']);
});

test('what nobody knows removes nothing', () => {
  const policy = policyOf({ providers: [{ name: 'alder', weight: 1, max_in_flight: 1 }] });
  const verdict = chosen(policy, { ...FACTS, maxCostMicroUsd: 0, maxLatencyMs: 0 });
  assert.deepEqual(
    [verdict.target.name, verdict.expectedCostMicroUsd, verdict.expectedLatencyMs],
    ['alder', undefined, undefined],
  );
});

test('a request without a model passes the model filter', () => {
  const policy = policyOf({ providers: [{ name: 'alder', weight: 1, models: ['large'] }] });
  assert.equal(chosen(policy, { ...FACTS, model: undefined }).target.name, 'alder');
});

test('another draw after a failure is a failover', () => {
  const verdict = chosen(policyOf(), FACTS, { ...FIRST, attempt: 2, failed: new Set(['alder']) });
  assert.deepEqual(
    [verdict.target.name, verdict.reason, verdict.priority, verdict.fallbackUsed],
    ['birch', 'failover', 40, true],
  );
});

const ALL_FAILED = { status: 'all_providers_failed' };
const ITEM = (when: object, to: string): object => ({ when, to });

const EMPTY: readonly (readonly [
  situation: string,
  fallbacks: readonly object[],
  snapshot: Snapshot,
  expected: readonly [string, string],
])[] = [
  ['all open, no fallback', [], open('alder', 'birch'), ['none', 'circuit_breaker_open']],
  ['all failed, no fallback', [], { ...FIRST, failed: new Set(['alder', 'birch']) }, ['none', 'no_provider_available']],
  [
    'one failed and one open, no fallback',
    [],
    { ...open('birch'), failed: new Set(['alder']) },
    ['none', 'no_provider_available'],
  ],
  ['all open', [ITEM(ALL_FAILED, 'cedar')], open('alder', 'birch'), ['cedar', 'circuit_breaker_fallback']],
  ['all failed', [ITEM(ALL_FAILED, 'cedar')], { ...FIRST, failed: new Set(['alder', 'birch']) }, ['cedar', 'fallback']],
  [
    'a fallback of the catalogue',
    [ITEM(ALL_FAILED, 'rowan')],
    open('alder', 'birch'),
    ['rowan', 'circuit_breaker_fallback'],
  ],
  [
    'the first fallback cannot be used',
    [ITEM({}, 'birch'), ITEM(ALL_FAILED, 'cedar')],
    open('alder', 'birch'),
    ['cedar', 'circuit_breaker_fallback'],
  ],
  [
    'no condition holds',
    [ITEM({ status: 'timeout' }, 'cedar')],
    open('alder', 'birch'),
    ['none', 'circuit_breaker_open'],
  ],
  [
    'the words of the last failure hold',
    [ITEM({ status: 'timeout' }, 'cedar')],
    { ...FIRST, attempt: 3, failed: new Set(['alder', 'birch']), failureWords: ['timeout'] },
    ['cedar', 'fallback'],
  ],
  [
    'breakers are known by their word',
    [ITEM({ status: 'circuit_breaker_open' }, 'cedar')],
    open('alder', 'birch'),
    ['cedar', 'circuit_breaker_fallback'],
  ],
  [
    'no breaker, no word',
    [ITEM({ status: 'circuit_breaker_open' }, 'cedar')],
    { ...FIRST, failed: new Set(['alder', 'birch']) },
    ['none', 'no_provider_available'],
  ],
];

for (const [situation, fallbacks, snapshot, [first, second]] of EMPTY) {
  test(`with no choice left: ${situation}`, () => {
    const verdict = decide(policyOf({ fallbacks }), FACTS, snapshot, true);
    assert.deepEqual(verdict.kind === 'chosen' ? [verdict.target.name, verdict.reason] : ['none', verdict.code], [
      first,
      second,
    ]);
    assert.equal(verdict.explanation?.provider_id, verdict.kind === 'chosen' ? first : undefined);
  });
}

test('of the fallbacks of an empty choice, the first that holds and is free is taken', () => {
  const names = ['alder', 'birch', 'cedar', 'rowan'];
  const item = fc.record({ to: fc.constantFrom(...names), holds: fc.boolean() });
  fc.assert(
    fc.property(fc.array(item, { maxLength: 6 }), fc.subarray(['cedar', 'rowan']), (items, alsoOpen) => {
      const fallbacks = items.map(({ to, holds }) => ITEM(holds ? ALL_FAILED : { status: 'timeout' }, to));
      const down = new Set(['alder', 'birch', ...alsoOpen]);
      const expected = items.find(({ to, holds }) => holds && !down.has(to));
      const verdict = decide(policyOf({ fallbacks }), FACTS, open('alder', 'birch', ...alsoOpen), false);
      assert.equal(verdict.kind === 'chosen' ? verdict.target.name : undefined, expected?.to);
    }),
  );
});

test('an explanation tells which fallbacks were passed over and why', () => {
  const fallbacks = [ITEM({ status: 'timeout' }, 'cedar'), ITEM({}, 'birch'), ITEM({}, 'rowan')];
  const { explanation } = chosen(policyOf({ fallbacks }), FACTS, open('alder', 'birch'));
  assert.deepEqual(
    explanation?.steps.map(({ n, stage, outcome, detail }) => `${n} ${stage} ${outcome}: ${detail}`),
    [
      '1 breaker removed: alder, birch: breaker open',
      '2 select skipped: no candidate with weight is left',
      '3 fallback skipped: item 0: condition does not hold',
      '4 fallback skipped: item 1: birch: breaker open',
      '5 fallback chosen: item 2: to rowan',
    ],
  );
  assert.deepEqual(explanation?.candidates.at(-1), { provider_id: 'rowan', state: 'chosen', weight: 0 });
});

const STICKY = policyOf({ sticky: { enabled: true, session_key: 'thread' } });
const inThread = (thread: unknown, id = 1): Facts => ({ ...request(id), context: { thread } });

test('a session draws from itself, so that all its requests start at one provider', () => {
  for (let thread = 0; thread < 100; thread++) {
    const expected = unit(`sticky|kestrel|default|thread|t-${thread}`) * 100 < 70 ? 'alder' : 'birch';
    const names = [1, 2, 3].map((id) => chosen(STICKY, inThread(`t-${thread}`, id)).target.name);
    assert.deepEqual(names, [expected, expected, expected]);
  }
});

const BINDINGS: readonly (readonly [
  situation: string,
  bound: string,
  snapshot: object,
  reason: string,
  isSticky: boolean,
])[] = [
  ['a live binding wins', 'birch', {}, 'sticky', true],
  ['a binding to a provider of weight 0 wins', 'cedar', {}, 'sticky', true],
  ['a binding never overrides a breaker', 'birch', { isOpen: (name: string) => name === 'birch' }, 'weighted', false],
  ['a binding to a provider that is gone is forgotten', 'oak', {}, 'weighted', false],
  [
    'a binding after a failure is still a failover',
    'birch',
    { attempt: 2, failed: new Set(['alder']) },
    'failover',
    true,
  ],
];

for (const [situation, sticky, snapshot, reason, isSticky] of BINDINGS) {
  test(situation, () => {
    const verdict = chosen(STICKY, inThread('t-1'), { ...FIRST, sticky, ...snapshot });
    assert.deepEqual([verdict.reason, verdict.isSticky], [reason, isSticky]);
    if (isSticky) assert.equal(verdict.target.name, sticky);
    assert.equal(verdict.stickyKey, stickyKey(STICKY, inThread('t-1')));
  });
}

for (const [name, context] of [
  ['none', {}],
  ['an empty text', { thread: '' }],
  ['an object', { thread: {} }],
  ['null', { thread: null }],
] as const) {
  test(`a request whose session is ${name} is not sticky`, () => {
    const verdict = chosen(STICKY, { ...FACTS, context }, { ...FIRST, sticky: 'birch' });
    assert.deepEqual([verdict.stickyKey, verdict.target.name, verdict.isSticky], [undefined, 'alder', false]);
  });
}

test('no two sessions share a key, and a long value does not make a long one', () => {
  const other = policyOf({ sticky: { enabled: true, session_key: 'th' } });
  const keys = [
    stickyKey(STICKY, inThread('t-1')),
    stickyKey(STICKY, inThread('t-2')),
    stickyKey(STICKY, { ...inThread('t-1'), tenantId: 'merlin' }),
    stickyKey(other, { ...FACTS, context: { th: 'read =t-1' } }),
    stickyKey(STICKY, inThread('x'.repeat(60_000))),
    stickyKey(STICKY, inThread('x'.repeat(60_001))),
  ];
  assert.equal(new Set(keys).size, keys.length);
  assert.ok(keys.every((key) => (key?.length ?? 0) < 256));
});
