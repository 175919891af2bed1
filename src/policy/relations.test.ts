/* eslint-disable unicorn/no-thenable -- the word of the language */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parsePolicy } from './parse.ts';

const V1 = { version: '1.0', weights: { elder: 1 } };
const V2 = { version: '2.0', weights: { elder: 1 } };
const listed = (...providers: unknown[]) => ({ version: '2.0', providers });

const FINDINGS: readonly (readonly [
  finding: string,
  document: unknown,
  expected: readonly (readonly [string, string])[],
])[] = [
  ['a strategy that does not exist', { ...V2, strategy: 'luck' }, [['/strategy', 'pattern']]],
  ['a priority above the range', listed({ name: 'a', weight: 1, priority: 101 }), [['/providers/0/priority', 'range']]],
  [
    'strategy options out of range',
    { ...V2, strategy_options: { tolerance: 2, min_samples: 0.5, tolerence: 1 } },
    [
      ['/strategy_options/tolerance', 'range'],
      ['/strategy_options/min_samples', 'type'],
      ['/strategy_options/tolerence', 'unknown_key'],
    ],
  ],
  ['rules in version 1', { ...V1, rules: [] }, [['/rules', 'requires_version_2']]],
  ['a rule without an effect', { ...V2, rules: [{ id: 'r' }] }, [['/rules/0/then', 'required']]],
  [
    'an effect that does not exist',
    { ...V2, rules: [{ id: 'r', then: { exlude: ['elder'], reject: { code: 'no' } } }] },
    [
      ['/rules/0/then/reject/code', 'pattern'],
      ['/rules/0/then/exlude', 'unknown_key'],
    ],
  ],
  [
    'rules of one name',
    {
      ...V2,
      rules: [
        { id: 'r', when: { a: 1 }, then: {} },
        { id: 'r', then: {} },
      ],
    },
    [['/rules/1/id', 'duplicate']],
  ],
  [
    'rules after one that always holds',
    {
      ...V2,
      rules: [
        { id: 'a', when: {}, then: {}, continue: true },
        { id: 'b', when: {}, then: {} },
        { id: 'c', then: {} },
      ],
    },
    [['/rules/2', 'unreachable_rule']],
  ],
  [
    'rules that name no provider',
    {
      ...V2,
      rules: [{ id: 'r', then: { only: ['oak', 'rowan'], exclude: ['ash'], weights: { 'a/b': 1, elder: 2 } } }],
    },
    [
      ['/rules/0/then/only/0', 'unknown_provider'],
      ['/rules/0/then/exclude/0', 'unknown_provider'],
      ['/rules/0/then/weights/a~1b', 'unknown_provider'],
    ],
  ],
  [
    'an experiment of one arm',
    { ...V2, experiments: [{ id: 'e', arms: [{ name: 'a', share: 100 }] }] },
    [['/experiments/0/arms', 'range']],
  ],
  [
    'arms that refuse, and names twice',
    {
      ...V2,
      experiments: [
        {
          id: 'e',
          arms: [
            { name: 'a', share: 50, then: { reject: {} } },
            { name: 'a', share: 50 },
          ],
        },
        {
          id: 'e',
          arms: [
            { name: 'a', share: 50, then: { only: ['oak'] } },
            { name: 'b', share: 50 },
          ],
        },
      ],
    },
    [
      ['/experiments/0/arms/0/then/reject', 'unknown_key'],
      ['/experiments/1/arms/0/then/only/0', 'unknown_provider'],
      ['/experiments/1/id', 'duplicate'],
      ['/experiments/0/arms/1/name', 'duplicate'],
    ],
  ],
  [
    'shares that are not the whole',
    {
      ...V2,
      experiments: [
        {
          id: 'e',
          arms: [
            { name: 'a', share: 50 },
            { name: 'b', share: 49.9 },
          ],
        },
      ],
    },
    [['/experiments/0/arms', 'shares_sum']],
  ],
  [
    'a canary to no provider',
    { ...V2, canary: { to: 'oak', share: 101, abort_on: { p99_ms: 1 } } },
    [
      ['/canary/share', 'range'],
      ['/canary/abort_on/p99_ms', 'unknown_key'],
      ['/canary/to', 'unknown_provider'],
    ],
  ],
  [
    'a shadow of no provider',
    { ...V2, shadow: { to: 'oak', share: 101, max_in_flight: 0 } },
    [
      ['/shadow/share', 'range'],
      ['/shadow/max_in_flight', 'range'],
      ['/shadow/to', 'unknown_provider'],
    ],
  ],
  ['a shadow without a share', { ...V2, shadow: { to: 'elder' } }, [['/shadow/share', 'required']]],
  ['budgets in version 1', { ...V1, budgets: [] }, [['/budgets', 'requires_version_2']]],
  [
    'budgets without what they need, beyond their ranges, and twice',
    {
      ...V2,
      budgets: [
        { id: 'b', limit_micro_usd: 1.5, window: 'week', scope: 'tenant', warn_at: 2 },
        { id: 'b', limit_micro_usd: 1, on_exceed: 'restrict' },
        { id: 'c', limit_micro_usd: 1, restrict_to: ['oak'], limit: 1 },
        { id: 'd', limit_micro_usd: 1, on_exceed: 'restrict', restrict_to: ['elder'] },
      ],
    },
    [
      ['/budgets/0/limit_micro_usd', 'type'],
      ['/budgets/0/scope', 'pattern'],
      ['/budgets/0/window', 'pattern'],
      ['/budgets/0/warn_at', 'range'],
      ['/budgets/2/limit', 'unknown_key'],
      ['/budgets/2/restrict_to/0', 'unknown_provider'],
      ['/budgets/1/id', 'duplicate'],
      ['/budgets/1/restrict_to', 'required'],
      ['/budgets/2/restrict_to', 'no_effect'],
    ],
  ],
  [
    'a bound of no request',
    listed({ name: 'a', weight: 1, max_in_flight: 0 }),
    [['/providers/0/max_in_flight', 'range']],
  ],
  ['a place that is no time zone', { ...V2, timezone: 'Europe/Atlantis' }, [['/timezone', 'pattern']]],
  [
    'a retry budget out of range',
    { ...V2, retry: { budget: { ratio: 1.1, min_retries: -1, window_seconds: 61, windows: 1 } } },
    [
      ['/retry/budget/ratio', 'range'],
      ['/retry/budget/min_retries', 'range'],
      ['/retry/budget/window_seconds', 'range'],
      ['/retry/budget/windows', 'unknown_key'],
    ],
  ],
  [
    'a breaker with keys of version 2 in version 1',
    { ...V1, circuit_breaker: { enabled: true, timeout_ms: 999, min_samples: 1, latency_threshold_ms: 1 } },
    [
      ['/circuit_breaker/timeout_ms', 'range'],
      ['/circuit_breaker/min_samples', 'requires_version_2'],
      ['/circuit_breaker/latency_threshold_ms', 'requires_version_2'],
    ],
  ],
  [
    'an escalation to no provider',
    { ...V2, escalate_on: [{ to: 'oak', when: {} }, { when: "status == 'x'", to: 'elder' }, {}] },
    [
      ['/escalate_on/1/when', 'unknown_variable'],
      ['/escalate_on/2/when', 'required'],
      ['/escalate_on/2/to', 'required'],
      ['/escalate_on/0/to', 'unknown_provider'],
    ],
  ],
];

for (const [finding, document, expected] of FINDINGS) {
  test(`${finding} is found as ${expected.map(([, code]) => code).join(', ')}`, () => {
    const parsed = parsePolicy(document, {
      knownProviders: new Set(['elder', 'rowan']),
      tenantId: 'kestrel',
      policyId: 'default',
      revision: 14,
    });
    const found = [...(parsed.kind === 'valid' ? [] : parsed.errors), ...parsed.warnings];
    assert.deepEqual(
      found.map(({ path, code }) => [path, code]),
      expected,
    );
  });
}

const PRICED = {
  version: '2.0',
  providers: [
    { name: 'elder', weight: 1, model: 'small' },
    { name: 'rowan', model: 'unknown', models: ['large'] },
    { name: 'alder', models: ['small', 'odd', 'any-*'] },
    { name: 'birch' },
  ],
};
const around = { knownProviders: new Set<string>(), tenantId: 'kestrel', policyId: 'default', revision: 14 };

test('models that the document names are warned of when the price book lacks them', () => {
  const isPriced = (_provider: string, model: string): boolean => model === 'small';
  const { kind, warnings } = parsePolicy(PRICED, { ...around, isPriced });
  assert.deepEqual(
    [kind, warnings.map(({ path, code }) => [path, code])],
    [
      'valid',
      [
        ['/providers/1/model', 'unpriced_model'],
        ['/providers/2/models/1', 'unpriced_model'],
      ],
    ],
  );
  assert.deepEqual(parsePolicy(PRICED, around).warnings, [], 'without a price book nobody can say');
});

test('many extensions are warned of wherever a document is read', () => {
  const pre = ['a', 'b', 'c', 'd'].map((id) => ({ id }));
  const { kind, warnings } = parsePolicy({ ...PRICED, pre }, around);
  assert.deepEqual([kind, warnings.map(({ path, code }) => [path, code])], ['valid', [['', 'complexity']]]);
});
