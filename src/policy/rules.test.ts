/* eslint-disable unicorn/no-thenable -- the word of the language */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { executionRow } from '../core/execution-errors.ts';
import { decide } from './decide.ts';
import { unit } from '../core/hash.ts';
import type { Facts, Snapshot } from './facts.ts';
import { begun } from './history.ts';
import { nextStep } from './next-step.ts';
import { parsePolicy } from './parse.ts';
import type { Policy } from './policy.ts';

const FACTS: Facts = {
  tenantId: 'kestrel',
  requestId: 'rq-1',
  taskType: 'ai.chat',
  model: 'small',
  stream: false,
  context: { tier: 'gold', lang: 'de' },
};
const FIRST: Snapshot = { attempt: 1, failed: new Set(), failureWords: [] };
const GOLD = { tier: 'gold' };
const IRON = { tier: 'iron' };

function policyOf(rules: readonly object[], more: object = {}): Policy {
  const parsed = parsePolicy(
    { version: '2.0', weights: { alder: 70, birch: 30, cedar: 0 }, rules, ...more },
    {
      knownProviders: new Set(['alder', 'birch', 'cedar', 'rowan']),
      tenantId: 'kestrel',
      policyId: 'default',
      revision: 1,
    },
  );
  assert.ok(parsed.kind === 'valid', JSON.stringify(parsed));
  return parsed.policy;
}

const rule = (id: string, when: object, then: object, goesOn = false): object => ({ id, when, then, continue: goesOn });

function chosen(policy: Policy, facts: Facts = FACTS, snapshot: Snapshot = FIRST) {
  const verdict = decide(policy, facts, snapshot, true);
  assert.ok(verdict.kind === 'chosen', JSON.stringify(verdict));
  return verdict;
}

/** The weights of the candidates by name; removed ones are absent. */
const weightsIn = (policy: Policy, facts: Facts = FACTS): object =>
  Object.fromEntries(
    (chosen(policy, facts).explanation?.candidates ?? []).flatMap((one) =>
      one.state === 'removed' ? [] : [[one.provider_id, one.weight]],
    ),
  );

const EFFECTS: readonly (readonly [does: string, rules: readonly object[], weights: object])[] = [
  ['only keeps', [rule('r', GOLD, { only: ['birch', 'rowan'] })], { birch: 30 }],
  ['exclude removes', [rule('r', GOLD, { exclude: ['alder'] })], { birch: 30, cedar: 0 }],
  [
    'weights replace those of the listed',
    [rule('r', GOLD, { weights: { cedar: 5 } })],
    { alder: 70, birch: 30, cedar: 5 },
  ],
  ['a rule without a condition holds', [{ id: 'r', then: { only: ['birch'] } }], { birch: 30 }],
  [
    'a rule that does not hold does nothing',
    [rule('r', IRON, { only: ['birch'] })],
    { alder: 70, birch: 30, cedar: 0 },
  ],
  [
    'where keeps those for which it is true',
    [rule('r', GOLD, { where: "provider.name != 'alder' && provider.weight < 30.5" })],
    { birch: 30, cedar: 0 },
  ],
  [
    'an expression is a condition',
    [{ id: 'r', when: "context.tier == 'gold' && task.type == 'ai.chat'", then: { only: ['birch'] } }],
    { birch: 30 },
  ],
  [
    'the first that holds ends the list',
    [rule('a', GOLD, { exclude: ['cedar'] }), rule('b', GOLD, { exclude: ['alder'] })],
    { alder: 70, birch: 30 },
  ],
  [
    'one that does not hold ends nothing',
    [rule('a', IRON, { exclude: ['cedar'] }), rule('b', GOLD, { exclude: ['alder'] })],
    { birch: 30, cedar: 0 },
  ],
  [
    'one that goes on lets the next be tested',
    [rule('a', GOLD, { exclude: ['cedar'] }, true), rule('b', GOLD, { exclude: ['alder'] })],
    { birch: 30 },
  ],
  [
    'the later of two weights wins',
    [rule('a', GOLD, { weights: { alder: 1, birch: 1 } }, true), rule('b', GOLD, { weights: { alder: 2 } })],
    { alder: 2, birch: 1, cedar: 0 },
  ],
];

for (const [does, rules, weights] of EFFECTS) {
  test(`of the effects, ${does}`, () => {
    assert.deepEqual(weightsIn(policyOf(rules)), weights);
  });
}

test('replaced weights are drawn', () => {
  const policy = policyOf([rule('r', GOLD, { weights: { alder: 0, birch: 1, cedar: 3 } })]);
  for (let id = 0; id < 200; id++) {
    const expected = unit(`kestrel:rq-${id}:1|select`) * 4 < 1 ? 'birch' : 'cedar';
    assert.equal(chosen(policy, { ...FACTS, requestId: `rq-${id}` }).target.name, expected);
  }
});

test('a rule sets the strategy, lowers the time and leaves a tag; the last strategy wins', () => {
  const policy = policyOf(
    [
      rule('a', GOLD, { strategy: 'latency', timeout_ms: 9_000, tag: 'gold' }, true),
      rule('b', { lang: 'de' }, { strategy: 'cost', timeout_ms: 99_000, tag: 'german' }),
    ],
    { timeout_ms: 20_000 },
  );
  const live = { costMicroUsd: ({ name }: { name: string }) => (name === 'cedar' ? 1 : 9) };
  const verdict = chosen(policy, FACTS, { ...FIRST, ...live });
  assert.deepEqual([verdict.target.name, verdict.reason], ['cedar', 'cost']);
  assert.deepEqual([verdict.timeoutMs, verdict.tags, verdict.expectedCostMicroUsd], [9_000, ['gold', 'german'], 1]);
  const other = chosen(policy, { ...FACTS, context: {} }, { ...FIRST, ...live });
  assert.deepEqual([other.reason, other.timeoutMs, other.tags], ['weighted', 20_000, []]);
});

for (const code of ['forbidden', 'content_blocked', 'rate_limit_exceeded'] as const) {
  test(`a rule refuses a request with ${code}`, () => {
    const policy = policyOf([
      rule('a', GOLD, { tag: 'gold' }, true),
      rule('b', GOLD, { reject: { code, message: 'not today' } }, true),
      rule('c', GOLD, { tag: 'late' }),
    ]);
    const verdict = decide(policy, FACTS, { ...FIRST, sticky: 'alder' }, true);
    assert.ok(verdict.kind === 'none');
    assert.deepEqual([verdict.code, verdict.message], [code, 'not today']);
    assert.deepEqual(
      verdict.explanation?.steps.map(({ stage, outcome, detail }) => [stage, outcome, detail]),
      [
        ['rules', 'matched', 'a matched'],
        ['rules', 'blocked', `b matched: ${code}`],
      ],
    );
  });
}

test('rules are explained in their order, before the filters that follow them', () => {
  const policy = policyOf([
    rule('iron', IRON, { tag: 'iron' }),
    rule('gold', GOLD, { exclude: ['alder'], strategy: 'priority' }, true),
    rule('all', {}, { tag: 'all' }),
    rule('never', {}, { tag: 'never' }),
  ]);
  const facts = { ...FACTS, providersDeny: ['cedar'] };
  const { explanation } = chosen(policy, facts);
  assert.deepEqual(
    explanation?.steps.slice(0, 5).map(({ n, stage, outcome, detail, data }) => [n, stage, outcome, detail, data]),
    [
      [1, 'constraint', 'removed', 'cedar: not allowed by the request', { providers: ['cedar'] }],
      [2, 'rules', 'skipped', 'iron did not match', { rule_id: 'iron' }],
      [3, 'rules', 'matched', 'gold matched', { rule_id: 'gold', exclude: ['alder'], strategy: 'priority' }],
      [4, 'rules', 'matched', 'all matched', { rule_id: 'all', tag: 'all' }],
      [5, 'rule', 'removed', 'alder: removed by a rule', { providers: ['alder'] }],
    ],
  );
});

test('an expression without an answer is false, and says so', () => {
  const policy = policyOf(
    [
      { id: 'a', when: "context.nobody == 'x'", then: { tag: 'a' } },
      rule('b', IRON, { tag: 'b' }),
      rule('c', {}, { where: "provider.labels.region == 'eu'" }),
    ],
    {
      weights: undefined,
      providers: [
        { name: 'alder', weight: 1, labels: { region: 'eu' } },
        { name: 'birch', weight: 1 },
        { name: 'cedar', weight: 1, when: "context.nobody == 'x'" },
      ],
    },
  );
  const { target, explanation } = chosen(policy);
  assert.equal(target.name, 'alder');
  assert.deepEqual(
    explanation?.steps.slice(0, -1).map(({ stage, outcome, detail }) => `${stage} ${outcome}: ${detail}`),
    [
      'when removed: cedar: its condition does not hold',
      'rules error: a did not match: no_such_key',
      'rules skipped: b did not match',
      'rules matched: c matched',
      'rule removed: birch: removed by a rule',
    ],
  );
  assert.deepEqual(explanation?.steps[4]?.data, { providers: ['birch'], faults: { birch: 'no_such_key' } });
});

test('an hour is that of the place of the policy', () => {
  const rules = [{ id: 'r', when: 'time.hour == 9', then: { only: ['birch'] } }];
  const facts: Facts = { ...FACTS, timeMs: Date.UTC(2026, 6, 1, 7, 30) };
  assert.deepEqual(weightsIn(policyOf(rules, { timezone: 'Europe/Berlin' }), facts), { birch: 30 });
  assert.deepEqual(weightsIn(policyOf(rules), facts), { alder: 70, birch: 30, cedar: 0 });
});

test('a provider may say itself whom it serves', () => {
  const providers = [
    { name: 'alder', weight: 1, when: 'request.stream || provider.weight > 1.5' },
    { name: 'birch', weight: 1 },
  ];
  const policy = policyOf([], { weights: undefined, providers });
  const whole = chosen(policy);
  assert.deepEqual(whole.explanation?.candidates[0], { provider_id: 'alder', state: 'removed', by: 'when' });
  const stream = chosen(policy, { ...FACTS, stream: true });
  assert.equal(stream.explanation?.candidates[0]?.state === 'removed', false);
});

test('rules bind the fallback of an empty choice', () => {
  const fallbacks = [
    { when: {}, to: 'rowan' },
    { when: {}, to: 'birch' },
  ];
  const isOpen = (name: string): boolean => name === 'alder';
  const policy = policyOf([rule('r', GOLD, { only: ['alder', 'birch'] })], { fallbacks });
  const empty = policyOf([rule('r', GOLD, { only: ['alder'] })], { fallbacks });
  assert.equal(chosen(policy, FACTS, { ...FIRST, isOpen, failed: new Set() }).target.name, 'birch');
  const verdict = decide(empty, FACTS, { ...FIRST, isOpen }, true);
  assert.equal(verdict.kind, 'none');
  assert.deepEqual(
    verdict.explanation?.steps.slice(-2).map(({ detail }) => detail),
    ['item 0: rowan: removed by a rule', 'item 1: birch: removed by a rule'],
  );
});

const DOWN = {
  code: 'PROVIDER_UNAVAILABLE',
  ...executionRow('PROVIDER_UNAVAILABLE'),
  httpStatus: 503,
  committed: false,
};

test('rules bind what follows a failure', () => {
  const fallbacks = [
    { when: { status: '5xx' }, retry: 0, to: 'cedar' },
    { when: { status: '5xx' }, retry: 0, to: 'birch' },
  ];
  const policy = policyOf([rule('r', GOLD, { exclude: ['cedar'] })], { fallbacks });
  const [first] = policy.targets;
  assert.ok(first);
  const step = nextStep(policy, FACTS, begun(first), DOWN, 100_000);
  assert.ok(step.kind === 'to');
  assert.deepEqual([step.target.name, step.item], ['birch', 1]);
});

test('a rule may refuse the attempt after a failure', () => {
  const policy = policyOf([rule('r', { status: '5xx' }, { reject: { code: 'content_blocked' } })]);
  const [first] = policy.targets;
  assert.ok(first);
  assert.equal(chosen(policy).target.name, first.name);
  assert.deepEqual(nextStep(policy, FACTS, begun(first), DOWN, 100_000), { kind: 'end', code: 'content_blocked' });
});

test('whatever the rules say, equal inputs give equal bytes, and explaining changes no choice', () => {
  const names = ['alder', 'birch', 'cedar'];
  const some = fc.subarray(names);
  const then = fc.record(
    {
      only: fc.subarray(names, { minLength: 1 }),
      exclude: some,
      weights: fc.dictionary(fc.constantFrom(...names), fc.integer({ min: 0, max: 9 }), { minKeys: 1 }),
      strategy: fc.constantFrom('weighted', 'priority', 'latency', 'cost', 'least_busy'),
      timeout_ms: fc.integer({ min: 1, max: 400_000 }),
      tag: fc.constantFrom('a', 'b'),
    },
    { requiredKeys: [] },
  );
  const item = fc.record({ when: fc.constantFrom(GOLD, IRON, {}), then, continue: fc.boolean() });
  fc.assert(
    fc.property(fc.array(item, { maxLength: 4 }), some, fc.string(), (items, down, requestId) => {
      const policy = policyOf(items.map((one, index) => ({ id: `r${index}`, ...one })));
      const inputs = [
        policy,
        { ...FACTS, requestId },
        { ...FIRST, isOpen: (name: string) => down.includes(name) },
      ] as const;
      const told = decide(...inputs, true);
      assert.equal(JSON.stringify(decide(...inputs, true)), JSON.stringify(told));
      const lost = told.kind === 'chosen' ? { alternatives: told.alternatives } : {};
      assert.deepEqual({ ...decide(...inputs, false), explanation: told.explanation, ...lost }, told);
      if (told.kind === 'chosen') assert.equal(down.includes(told.target.name), false);
    }),
  );
});
