/* eslint-disable unicorn/no-thenable -- the word of the language */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decide } from './decide.ts';
import type { Facts, Snapshot } from './facts.ts';
import { parsePolicy } from './parse.ts';

const FACTS: Facts = {
  tenantId: 'acme',
  requestId: 'rq-1',
  taskType: 'ai.chat',
  model: 'small',
  stream: false,
  context: { tier: 'gold', secret: 'nobody tells this' },
  inputTokens: 10,
};
const FIRST: Snapshot = {
  attempt: 1,
  failed: new Set(),
  failureWords: [],
  isOpen: (name) => name === 'birch',
  inFlight: () => 2,
};

function policyOf(document: object) {
  const known = { knownProviders: new Set<string>(), tenantId: 'acme', policyId: 'test', revision: 3 };
  const parsed = parsePolicy({ version: '2.0', ...document }, known);
  assert.ok(parsed.kind === 'valid', JSON.stringify(parsed));
  return parsed.policy;
}

test('a verbose explanation has the value of every condition and the snapshot, and nothing of the request', () => {
  const policy = policyOf({
    providers: [{ name: 'alder', weight: 1, when: 'provider.weight > 0' }, { name: 'birch' }],
    rules: [
      { id: 'gold', when: "context.tier == 'gold'", then: { where: "provider.name != 'birch'", tag: 'gold' } },
      { id: 'never', when: 'request.input_tokens > 100', then: { tag: 'long' } },
      { id: 'broken', when: 'context.absent == 1', then: { tag: 'x' } },
      { id: 'plain', then: { tag: 'y' } },
    ],
    fallbacks: [{ when: { status: '5xx' }, to: 'birch' }],
  });
  const verdict = decide(policy, FACTS, FIRST, 'verbose');
  assert.ok(verdict.kind === 'chosen');
  assert.equal(verdict.ruleId, 'gold');
  const { conditions = [], snapshot } = verdict.explanation ?? {};
  assert.deepEqual(
    conditions.map(({ path, value, fault }) => [path, value, fault !== undefined]),
    [
      ['/providers/0/when', true, false],
      ['/rules/0/when', true, false],
      ['/rules/0/then/where', { alder: true, birch: false }, false],
      ['/rules/1/when', false, false],
      ['/rules/2/when', false, true],
      ['/fallbacks/0/when', false, false],
    ],
  );
  assert.equal(conditions[3]?.when, 'request.input_tokens > 100');
  assert.deepEqual(
    snapshot?.providers.map(({ name, open, in_flight }) => [name, open, in_flight]),
    [
      ['alder', undefined, 2],
      ['birch', true, 2],
    ],
  );
  assert.ok(!JSON.stringify(verdict.explanation).includes('nobody tells this'));
  const { conditions: none, snapshot: neither } = decide(policy, FACTS, FIRST, true).explanation ?? {};
  assert.deepEqual([none, neither], [undefined, undefined]);
});
