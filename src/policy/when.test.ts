import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Scope } from './condition.ts';
import type { Facts } from './facts.ts';
import { Findings } from './issue.ts';
import type { Target } from './policy.ts';
import { compileWhen, compileWhere, faultOf } from './when.ts';

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
    assert.equal(compileWhen(when, '', { findings, major: 2 })({ ...SCOPE }), holds);
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
    assert.equal(compileWhen(when, '/when', { findings, major: 2 })({ ...SCOPE }), false);
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

const WITHOUT_WORDS = { ...SCOPE, status: [], attempt: 1, errorClass: undefined, currentProvider: undefined };

const TEXTS: readonly (readonly [text: string, scope: Scope, holds: boolean, fault?: string])[] = [
  ["context.tier == 'gold' && context.score == 7", SCOPE, true],
  ["'5xx' in context.status && context.attempt == 2", SCOPE, true],
  ["context.error_class == 'unavailable' && context.current_provider == 'alder'", SCOPE, true],
  ['context.attempt == 99', SCOPE, false],
  ['has(context.status) || has(context.error_class)', WITHOUT_WORDS, false],
  ['context.attempt == 99', WITHOUT_WORDS, false, 'no_such_key'],
  ["context.missing == 'x'", SCOPE, false, 'no_such_key'],
];

for (const [text, scope, holds, fault] of TEXTS) {
  test(`the text ${text} is ${fault ?? holds} on attempt ${scope.attempt}`, () => {
    const findings = new Findings();
    const own = { ...scope };
    assert.equal(compileWhen(text, '', { findings, major: 2 })(own), holds);
    assert.equal(faultOf(own), fault);
    assert.deepEqual(findings.errors, []);
  });
}

test('the conditions of one decision share their variables, and without expressions there are none', () => {
  const scope: Scope = { ...SCOPE };
  const context = { findings: new Findings(), major: 2 } as const;
  compileWhen({ tier: 'gold' }, '', context)(scope);
  assert.equal(scope.variables, undefined);
  compileWhen('context.score == 7', '', context)(scope);
  const { variables } = scope;
  assert.notEqual(variables, undefined);
  assert.equal(compileWhere("provider.name == 'alder'", '', context)(scope, ALDER), true);
  assert.equal(scope.variables, variables);
});

const ALDER: Target = {
  name: 'alder',
  weight: 70,
  priority: 0,
  model: undefined,
  serves: undefined,
  pool: 'default',
  when: undefined,
  maxInFlight: undefined,
  labels: { region: 'eu' },
  enabled: true,
};

test('an expression about a candidate is asked of each in turn', () => {
  const findings = new Findings();
  const where = compileWhere("provider.labels.region == 'eu' && provider.weight >= 50", '', { findings, major: 2 });
  const scope: Scope = { ...SCOPE };
  const targets = [ALDER, { ...ALDER, weight: 30 }, { ...ALDER, labels: {} }, ALDER];
  assert.deepEqual(
    targets.map((target) => where(scope, target)),
    [true, false, false, true],
  );
  assert.deepEqual(findings.errors, []);
});

const BAD_WHERE: readonly (readonly [where: unknown, major: 1 | 2, code: string])[] = [
  [{ tier: 'gold' }, 2, 'type'],
  [true, 2, 'type'],
  ['true', 1, 'requires_version_2'],
  ['provider.nothing == 1', 2, 'unknown_variable'],
];

for (const [where, major, code] of BAD_WHERE) {
  test(`${JSON.stringify(where)} about a candidate is refused as ${code} in version ${major}`, () => {
    const findings = new Findings();
    assert.equal(compileWhere(where, '/then/where', { findings, major })({ ...SCOPE }, ALDER), false);
    assert.deepEqual(
      findings.errors.map((issue) => [issue.path, issue.code]),
      [['/then/where', code]],
    );
  });
}

test('a text in a document of version 1 needs version 2, whatever it says', () => {
  const findings = new Findings();
  assert.equal(compileWhen('not even an expression', '/when', { findings, major: 1 })({ ...SCOPE }), false);
  assert.deepEqual(
    findings.errors.map((issue) => [issue.path, issue.code]),
    [['/when', 'requires_version_2']],
  );
});
