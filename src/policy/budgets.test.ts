import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decide } from './decide.ts';
import type { Facts, Live, Snapshot } from './facts.ts';
import { begun } from './history.ts';
import { nextStep } from './next-step.ts';
import { parsePolicy } from './parse.ts';

const facts: Facts = {
  tenantId: 'acme',
  requestId: 'r-1',
  taskType: 'ai.chat',
  model: 'small',
  stream: false,
  context: {},
};

function policyOf(more: object) {
  const parsed = parsePolicy(
    {
      version: '2.0',
      providers: [{ name: 'alder', weight: 1 }, { name: 'birch' }],
      budgets: [{ id: 'month', limit_micro_usd: 10 }],
      ...more,
    },
    { tenantId: 'acme', policyId: 'p', revision: 1, knownProviders: new Set(['cedar']) },
  );
  assert.ok(parsed.kind === 'valid', JSON.stringify(parsed));
  return parsed.policy;
}

const snapshotOf = (overBudget: readonly string[], more: Partial<Snapshot> = {}): Snapshot => ({
  attempt: 1,
  failed: new Set(),
  failureWords: [],
  overBudget: new Set(overBudget),
  ...more,
});

test('a budget has the defaults of the language', () => {
  const [budget] = policyOf({}).budgets;
  assert.deepEqual(budget, {
    id: 'month',
    limitMicroUsd: 10,
    scope: 'policy',
    window: 'month',
    warnAt: 0.8,
    onExceed: 'reject',
    restrictTo: new Set(),
  });
});

test('a fallback may wait for a spent budget, and for nothing else', () => {
  const policy = policyOf({ fallbacks: [{ when: { status: 'budget_exceeded' }, to: 'birch' }] });
  const reasonOf = (snapshot: Snapshot): string => {
    const verdict = decide(policy, facts, snapshot, true);
    return verdict.kind === 'chosen' ? `${verdict.reason} ${verdict.target.name}` : verdict.code;
  };
  assert.equal(reasonOf(snapshotOf(['alder'])), 'fallback birch');
  assert.equal(reasonOf(snapshotOf(['alder', 'birch'])), 'budget_exceeded');
  assert.equal(reasonOf(snapshotOf([], { isOpen: (name) => name === 'alder' })), 'circuit_breaker_open');
  const step = decide(policy, facts, snapshotOf(['alder']), true).explanation?.steps.at(-1);
  assert.deepEqual([step?.stage, step?.outcome], ['fallback', 'chosen']);
});

test('who is over budget is not chosen; a fallback that is not takes its place', () => {
  const plain = policyOf({ fallbacks: [{ when: { status: 'all_providers_failed' }, to: 'birch' }] });
  const verdict = decide(plain, facts, snapshotOf(['alder']), true);
  assert.deepEqual([verdict.kind, verdict.kind === 'chosen' && verdict.target.name], ['chosen', 'birch']);
  const step = verdict.explanation?.steps.find(({ stage }) => stage === 'budget');
  assert.deepEqual([step?.outcome, step?.detail], ['removed', 'alder: over budget']);
});

const ENDS: readonly (readonly [what: string, snapshot: Snapshot, code: string])[] = [
  ['all over budget', snapshotOf(['alder', 'birch']), 'budget_exceeded'],
  [
    'one over budget, and one with an open breaker',
    snapshotOf(['alder'], { isOpen: (name) => name === 'birch' }),
    'no_provider_available',
  ],
  [
    'one over budget, and one cooling',
    snapshotOf(['birch'], { isCooling: (name) => name === 'alder' }),
    'no_provider_available',
  ],
];

for (const [what, snapshot, code] of ENDS) {
  test(`${what} ends as ${code}`, () => {
    const verdict = decide(policyOf({}), facts, snapshot, false);
    assert.equal(verdict.kind === 'none' && verdict.code, code);
  });
}

test('a provider that may not serve the request says nothing of the budget', () => {
  const policy = policyOf({
    providers: [
      { name: 'alder', weight: 1 },
      { name: 'birch', weight: 1, enabled: false },
    ],
  });
  const verdict = decide(policy, facts, snapshotOf(['alder']), false);
  assert.equal(verdict.kind === 'none' && verdict.code, 'budget_exceeded');
});

test('what follows a failure goes past those who are over budget, a retry included', () => {
  const policy = policyOf({
    fallbacks: [
      { when: { status: '5xx' }, retry: 3, to: 'birch' },
      { when: { status: '5xx' }, to: 'cedar' },
    ],
    retry: { on: [] },
  });
  const [alder] = policy.targets;
  assert.ok(alder);
  const failure = {
    code: 'PROVIDER_UNAVAILABLE',
    class: 'unavailable',
    retryable: true,
    httpStatus: 503,
    detailCode: undefined,
    retryAfterMs: undefined,
    committed: false,
  } as const;
  const next = (live: Live) => nextStep(policy, facts, begun(alder), failure, 60_000, live);
  const named = (step: ReturnType<typeof next>) =>
    step.kind === 'to' || step.kind === 'again' ? step.target.name : '-';
  assert.equal(named(next({})), 'alder');
  assert.equal(named(next({ overBudget: new Set(['alder']) })), 'birch');
  assert.equal(named(next({ overBudget: new Set(['alder', 'birch']) })), 'cedar');
  assert.equal(next({ overBudget: new Set(['alder', 'birch', 'cedar']) }).kind, 'end');
});
