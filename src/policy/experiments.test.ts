/* eslint-disable unicorn/no-thenable -- the word of the language */
import assert from 'node:assert/strict';
import { test } from 'node:test';
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
  context: { session_id: 's-9', tier: 'gold' },
};
const FIRST: Snapshot = { attempt: 1, failed: new Set(), failureWords: [] };
const HALVES = [
  { name: 'control', share: 50 },
  { name: 'b', share: 50, then: { weights: { alder: 20, birch: 80 }, tag: 'prompt-b' } },
];

function policyOf(experiments: readonly object[], more: object = {}): Policy {
  const parsed = parsePolicy(
    { version: '2.0', weights: { alder: 70, birch: 30, cedar: 0 }, experiments, ...more },
    { knownProviders: new Set(['alder', 'birch', 'cedar']), tenantId: 'kestrel', policyId: 'default', revision: 1 },
  );
  assert.ok(parsed.kind === 'valid', JSON.stringify(parsed));
  return parsed.policy;
}

function chosen(policy: Policy, facts: Facts = FACTS, snapshot: Snapshot = FIRST) {
  const verdict = decide(policy, facts, snapshot, true);
  assert.ok(verdict.kind === 'chosen', JSON.stringify(verdict));
  return verdict;
}

const experimentSteps = (policy: Policy, facts: Facts = FACTS) =>
  (chosen(policy, facts).explanation?.steps ?? [])
    .filter(({ stage }) => stage === 'experiments')
    .map(({ outcome, detail }) => `${outcome}: ${detail}`);

const inSession = (session: string): Facts => ({ ...FACTS, context: { session_id: session } });

test('the draw of the specification puts the session into arm b, which weighs the providers anew', () => {
  const { arms, tags, explanation } = chosen(policyOf([{ id: 'prompt-7', arms: HALVES }]));
  assert.deepEqual([arms, tags], [[{ experiment: 'prompt-7', arm: 'b' }], ['prompt-b']]);
  assert.deepEqual(explanation?.steps[0], {
    n: 1,
    stage: 'experiments',
    outcome: 'matched',
    detail: 'prompt-7: arm b, draw 0.798295',
    data: {
      experiment_id: 'prompt-7',
      arm: 'b',
      draw: 0.798_295,
      weights: { alder: 20, birch: 80 },
      tag: 'prompt-b',
    },
  });
  assert.deepEqual(
    explanation.candidates.map((one) => (one.state === 'removed' ? 0 : one.weight)),
    [20, 80, 0],
  );
});

test('a session stays in its arm whatever it asks, and changed shares move only the difference', () => {
  const of = (share: number): Policy =>
    policyOf([
      {
        id: 'e',
        arms: [
          { name: 'a', share },
          { name: 'b', share: 100 - share },
        ],
      },
    ]);
  const [before, after] = [of(50), of(60)];
  for (let session = 0; session < 300; session++) {
    const facts = inSession(`s-${session}`);
    const x = unit(`exp|e|kestrel|s-${session}`) * 100;
    assert.equal(chosen(before, facts).arms[0]?.arm, x < 50 ? 'a' : 'b');
    assert.equal(chosen(after, { ...facts, requestId: 'other' }).arms[0]?.arm, x < 60 ? 'a' : 'b');
  }
});

test('shares that do not sum exactly still have an arm for every unit', () => {
  const arms = [33.3, 33.3, 33.4].map((share, index) => ({ name: `a${index}`, share }));
  const policy = policyOf([{ id: 'e', arms }]);
  const seen = new Set<string>();
  for (let session = 0; session < 100; session++)
    seen.add(chosen(policy, inSession(`s-${session}`)).arms[0]?.arm ?? 'none');
  assert.deepEqual([...seen].toSorted(), ['a0', 'a1', 'a2']);
});

const OUTSIDE: readonly (readonly [why: string, experiment: object, facts: Facts, steps: readonly string[]])[] = [
  ['it is not enabled', { enabled: false }, FACTS, []],
  ['its condition does not hold', { when: { tier: 'iron' } }, FACTS, ['skipped: e did not match']],
  ['its expression has no answer', { when: "context.x == 'y'" }, FACTS, ['error: e did not match: no_such_key']],
  ['the unit is missing', { unit: 'thread' }, FACTS, ['skipped: e: the request has no thread']],
  ['the unit is empty', {}, { ...FACTS, context: { session_id: '' } }, ['skipped: e: the request has no session_id']],
];

for (const [why, experiment, facts, steps] of OUTSIDE) {
  test(`a request is not enrolled if ${why}`, () => {
    const policy = policyOf([{ id: 'e', arms: HALVES, ...experiment }]);
    assert.deepEqual(chosen(policy, facts).arms, []);
    assert.deepEqual(experimentSteps(policy, facts), steps);
  });
}

test('the unit is the session key of the policy unless the experiment names one', () => {
  const facts: Facts = { ...FACTS, context: { thread: 't-1', user: 7 } };
  const arms = [
    { name: 'a', share: 50 },
    { name: 'b', share: 50 },
  ];
  const policy = policyOf(
    [
      { id: 'e', arms },
      { id: 'f', arms, unit: 'user' },
    ],
    { sticky: { enabled: true, session_key: 'thread' } },
  );
  const armOf = (text: string): string => (unit(text) < 0.5 ? 'a' : 'b');
  assert.deepEqual(chosen(policy, facts).arms, [
    { experiment: 'e', arm: armOf('exp|e|kestrel|t-1') },
    { experiment: 'f', arm: armOf('exp|f|kestrel|7') },
  ]);
});

const allOf = (then: object): readonly object[] => [
  { name: 'a', share: 100, then },
  { name: 'b', share: 0 },
];

test('experiments come after the rules, in their order; a later one wins', () => {
  const policy = policyOf(
    [
      { id: 'e', arms: allOf({ weights: { alder: 2, birch: 2 }, tag: 'e' }) },
      { id: 'f', arms: allOf({ weights: { alder: 3 }, tag: 'f', timeout_ms: 500 }) },
    ],
    { rules: [{ id: 'r', then: { weights: { alder: 1, birch: 1, cedar: 1 }, tag: 'r' } }] },
  );
  const { explanation, tags, timeoutMs } = chosen(policy);
  assert.deepEqual(
    explanation?.candidates.map((one) => (one.state === 'removed' ? 0 : one.weight)),
    [3, 2, 1],
  );
  assert.deepEqual([tags, timeoutMs], [['r', 'e', 'f'], 500]);
});

test('an arm that would leave no candidate is skipped, and the request does not count in it', () => {
  const policy = policyOf([{ id: 'e', arms: allOf({ only: ['birch'] }) }], {
    rules: [{ id: 'r', then: { exclude: ['birch'] } }],
  });
  const verdict = chosen(policy);
  assert.deepEqual([verdict.target.name, verdict.arms], ['alder', []]);
  assert.match(experimentSteps(policy)[0] ?? '', /^skipped: e: arm a would leave no candidate$/);
});

test('an arm binds the candidates as a rule does', () => {
  const verdict = chosen(policyOf([{ id: 'e', arms: allOf({ only: ['cedar', 'birch'] }) }]));
  assert.equal(verdict.target.name, 'birch');
  assert.deepEqual(verdict.explanation?.candidates[0], { provider_id: 'alder', state: 'removed', by: 'rule' });
});
