import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Scope } from './condition.ts';
import type { Facts } from './facts.ts';
import { Findings } from './issue.ts';
import { compileWhen } from './when.ts';

const factsWith = (context: Facts['context']): Facts => ({
  tenantId: 'kestrel',
  requestId: 'rq-1',
  taskType: 'ai.chat',
  stream: false,
  context,
});

const SCOPE: Scope = {
  live: {},
  status: ['unavailable', 'provider_unavailable', '503', '5xx'],
  attempt: 2,
  errorClass: 'unavailable',
  currentProvider: 'alder',
  facts: factsWith({
    tier: 'gold',
    score: 7,
    flag: true,
    tags: ['a', 'b'],
    user: { plan: 'pro' },
    nothing: null,
    // The caller says what only the router may say.
    attempt: 99,
    error_class: 'timeout',
    message_type: 'other',
  }),
};

const VAR = (name: string): unknown => ({ var: `context.${name}` });

const CASES: readonly (readonly [when: unknown, holds: boolean])[] = [
  [{}, true],
  [{ tier: 'gold' }, true],
  [{ tier: 'silver' }, false],
  [{ tier: ['silver', 'gold'] }, true],
  [{ tier: [] }, false],
  [{ tags: 'b' }, true],
  [{ tags: ['x', 'a'] }, true],
  [{ tags: ['x'] }, false],
  [{ tier: 'gold', score: 7 }, true],
  [{ tier: 'gold', score: 8 }, false],
  [{ score: '7' }, false],
  [{ nothing: null }, true],
  [{ missing: null }, false],
  [{ toString: 'x' }, false],
  [{ status: '5xx' }, true],
  [{ status: ['timeout', '503'] }, true],
  [{ status: 503 }, false],
  [{ error_class: 'unavailable' }, true],
  [{ error_class: 'timeout' }, false],
  [{ current_provider: 'alder' }, true],
  [{ message_type: 'ai.chat' }, true],
  [{ message_type: 'other' }, false],
  [{ attempt: 99 }, false],
  [{ '==': [VAR('score'), 7] }, true],
  [{ '==': [VAR('score'), '7'] }, false],
  [{ '!=': [VAR('score'), 8] }, true],
  [{ '!=': [VAR('score'), '7'] }, false],
  [{ '!=': [VAR('missing'), 1] }, false],
  [{ '==': [VAR('missing'), VAR('missing')] }, false],
  [{ '>': [VAR('score'), 6] }, true],
  [{ '>': [VAR('score'), 7] }, false],
  [{ '>=': [VAR('score'), 7] }, true],
  [{ '>=': [VAR('missing'), 7] }, false],
  [{ '<': [VAR('attempt'), 3] }, true],
  [{ '<=': [VAR('attempt'), 1] }, false],
  [{ '<=': [VAR('missing'), 1] }, false],
  [{ '<': ['a', 'b'] }, true],
  [{ '>': [VAR('score'), 'a'] }, false],
  [{ in: [VAR('tier'), ['gold', 'silver']] }, true],
  [{ in: ['b', VAR('tags')] }, true],
  [{ in: [VAR('tier'), 'gold'] }, false],
  [{ in: [VAR('missing'), ['x']] }, false],
  [{ '==': [VAR('user.plan'), 'pro'] }, true],
  [{ '==': [VAR('user.plan.length'), 3] }, false],
  [{ '==': [VAR('tags.length'), 2] }, false],
  [{ '==': [VAR('constructor.name'), 'Object'] }, false],
  [{ '==': [VAR('user'), VAR('user')] }, false],
  [{ '==': [VAR('score'), 7], tier: 'silver' }, false],
];

for (const [when, holds] of CASES) {
  test(`${JSON.stringify(when)} is ${holds}`, () => {
    const findings = new Findings();
    assert.equal(compileWhen(when, '', { findings, major: 2 })(SCOPE), holds);
    assert.deepEqual(findings.errors, []);
  });
}

const BAD: readonly (readonly [when: unknown, path: string, code: string])[] = [
  [7, '/when', 'type'],
  [{ tier: { a: 1 } }, '/when/tier', 'type'],
  [{ tier: [['a']] }, '/when/tier', 'type'],
  [{ '==': 1 }, '/when/==', 'type'],
  [{ '==': [1] }, '/when/==', 'range'],
  [{ '==': [1, { a: 1 }] }, '/when/==/1', 'type'],
  [{ '==': [{ var: 'tier' }, 1] }, '/when/==/0/var', 'pattern'],
  [{ 'a/b~c': {} }, '/when/a~1b~0c', 'type'],
  ['request.nothing', '/when', 'unknown_variable'],
];

for (const [when, path, code] of BAD) {
  test(`${JSON.stringify(when)} is refused as ${code} and never holds`, () => {
    const findings = new Findings();
    assert.equal(compileWhen(when, '/when', { findings, major: 2 })(SCOPE), false);
    assert.deepEqual(
      findings.errors.map((issue) => [issue.path, issue.code]),
      [[path, code]],
    );
  });
}

test('no condition throws, whatever the request brings', () => {
  const when = fc.oneof(fc.dictionary(fc.string(), fc.jsonValue()), fc.constantFrom(...CASES.map(([one]) => one)));
  fc.assert(
    fc.property(when, fc.dictionary(fc.string(), fc.jsonValue()), (one, context) => {
      const holds = compileWhen(one, '', { findings: new Findings(), major: 2 });
      assert.equal(typeof holds({ ...SCOPE, facts: factsWith(context) }), 'boolean');
    }),
  );
});
