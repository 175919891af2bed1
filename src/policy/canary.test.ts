import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decide } from './decide.ts';
import { unit } from '../core/hash.ts';
import type { Facts, Snapshot } from './facts.ts';
import { parsePolicy } from './parse.ts';
import type { Policy } from './policy.ts';

const FACTS: Facts = {
  tenantId: 'kestrel',
  requestId: 'rq-1',
  taskType: 'ai.chat',
  model: 'small',
  stream: false,
  context: { tier: 'gold' },
};
const FIRST: Snapshot = { attempt: 1, failed: new Set(), failureWords: [] };
const open = (...names: readonly string[]): Snapshot => ({ ...FIRST, isOpen: (name) => names.includes(name) });

function policyOf(canary: object, more: object = {}): Policy {
  const parsed = parsePolicy(
    { version: '2.0', weights: { alder: 70, birch: 30, cedar: 40 }, canary: { to: 'cedar', ...canary }, ...more },
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

function chosen(policy: Policy, facts: Facts = FACTS, snapshot: Snapshot = FIRST) {
  const verdict = decide(policy, facts, snapshot, true);
  assert.ok(verdict.kind === 'chosen', JSON.stringify(verdict));
  return verdict;
}

const canaryStep = (policy: Policy, facts?: Facts, snapshot?: Snapshot) => {
  const step = chosen(policy, facts, snapshot).explanation?.steps.find(({ stage }) => stage === 'canary');
  return `${step?.outcome}: ${step?.detail.replace(/0\.\d{6}/, 'x')}`;
};

test('a request goes to the canary if its draw is below the share, and nowhere near it otherwise', () => {
  const policy = policyOf({ share: 25 });
  for (let id = 0; id < 1_000; id++) {
    const requestId = `rq-${id}`;
    const isIn = unit(`kestrel:${requestId}:1|canary`) * 100 < 25;
    const x = unit(`kestrel:${requestId}:1|select`) * 100;
    const { target, reason, priority } = chosen(policy, { ...FACTS, requestId });
    const expected = isIn ? ['cedar', 'canary', 50] : [x < 70 ? 'alder' : 'birch', 'weighted', 50];
    assert.deepEqual([target.name, reason, priority], expected);
  }
});

test('with a unit, all requests of one unit are in the canary or none', () => {
  const policy = policyOf({ share: 40, unit: 'user' });
  for (let user = 0; user < 100; user++) {
    const isIn = unit(`canary|default|kestrel|${user}`) * 100 < 40;
    for (const requestId of ['a', 'b']) {
      const verdict = chosen(policy, { ...FACTS, requestId, context: { user } });
      assert.equal(verdict.reason, isIn ? 'canary' : 'weighted');
    }
  }
});

const CASES: readonly (readonly [situation: string, canary: object, snapshot: Snapshot, to: string, step: string])[] = [
  ['all requests', { share: 100 }, FIRST, 'canary', 'chosen: cedar: draw x is in 100 %'],
  ['a share of 0', { share: 0 }, FIRST, 'weighted', 'skipped: cedar: draw x is not in 0 %'],
  [
    'an aborted canary',
    { share: 100, abort_on: { error_rate: 0.1 } },
    { ...FIRST, canaryAborted: true },
    'weighted',
    'skipped: cedar: draw x is not in 0 %',
  ],
  [
    'a condition that holds',
    { share: 100, when: { tier: 'gold' } },
    FIRST,
    'canary',
    'chosen: cedar: draw x is in 100 %',
  ],
  [
    'a condition that does not hold',
    { share: 100, when: { tier: 'iron' } },
    FIRST,
    'weighted',
    'skipped: cedar: not for this request',
  ],
  ['a missing unit', { share: 100, unit: 'user' }, FIRST, 'weighted', 'skipped: cedar: not for this request'],
  [
    'an open breaker',
    { share: 100 },
    open('cedar'),
    'weighted',
    'skipped: cedar: draw x is in 100 %, but it is no candidate',
  ],
  ['a provider of the catalogue', { share: 100, to: 'rowan' }, FIRST, 'canary', 'chosen: rowan: draw x is in 100 %'],
  [
    'a later attempt',
    { share: 100 },
    { ...FIRST, attempt: 2, failed: new Set(['alder']) },
    'failover',
    'chosen: cedar: draw x is in 100 %',
  ],
];

for (const [situation, canary, snapshot, reason, step] of CASES) {
  test(`the canary with ${situation}: ${reason}`, () => {
    const policy = policyOf(canary);
    assert.equal(chosen(policy, FACTS, snapshot).reason, reason);
    assert.equal(canaryStep(policy, FACTS, snapshot), step);
  });
}

test('a rule keeps a request from the canary', () => {
  // eslint-disable-next-line unicorn/no-thenable -- the word of the language
  const policy = policyOf({ share: 100 }, { rules: [{ id: 'r', then: { exclude: ['cedar'] } }] });
  assert.equal(chosen(policy).reason, 'weighted');
});

test('the canary goes before a session, and a session bound to it comes back', () => {
  const sticky = { enabled: true, session_key: 'tier' };
  assert.equal(chosen(policyOf({ share: 100 }, { sticky }), FACTS, { ...FIRST, sticky: 'birch' }).reason, 'canary');
  const verdict = chosen(policyOf({ share: 0 }, { sticky }), FACTS, { ...FIRST, sticky: 'cedar' });
  assert.deepEqual([verdict.reason, verdict.isSticky, verdict.target.name === 'cedar'], ['weighted', false, false]);
});

test('others reach the canary as a fallback', () => {
  const policy = policyOf({ share: 0 }, { fallbacks: [{ when: { status: 'all_providers_failed' }, to: 'cedar' }] });
  const verdict = chosen(policy, FACTS, open('alder', 'birch'));
  assert.deepEqual([verdict.target.name, verdict.reason], ['cedar', 'circuit_breaker_fallback']);
});

test('the limits of a canary have their default', () => {
  assert.deepEqual(policyOf({ share: 5, abort_on: { p95_ms: 900 } }).canary?.abortOn, {
    errorRate: undefined,
    p95Ms: 900,
    minRequests: 50,
  });
  assert.equal(policyOf({ share: 5 }).canary?.abortOn, undefined);
});

test('with a canary and any strategy, equal inputs give equal bytes, and explaining changes no choice', () => {
  const strategy = fc.constantFrom('weighted', 'priority', 'latency', 'cost', 'least_busy');
  const down = fc.subarray(['alder', 'birch', 'cedar']);
  fc.assert(
    fc.property(strategy, fc.integer({ min: 0, max: 100 }), down, fc.string(), (kind, share, names, requestId) => {
      const inputs = [policyOf({ share }, { strategy: kind }), { ...FACTS, requestId }, open(...names)] as const;
      const told = decide(...inputs, true);
      assert.equal(JSON.stringify(decide(...inputs, true)), JSON.stringify(told));
      const lost = told.kind === 'chosen' ? { alternatives: told.alternatives } : {};
      assert.deepEqual({ ...decide(...inputs, false), explanation: told.explanation, ...lost }, told);
      if (told.kind === 'chosen') assert.equal(names.includes(told.target.name), false);
      if (told.kind === 'chosen' && told.reason !== 'canary') assert.notEqual(told.target.name, 'cedar');
    }),
  );
});
