/* eslint-disable unicorn/no-thenable -- the word of the language */
// What a person who does not know this code is told of common mistakes: enough to mend them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parsePolicy } from './parse.ts';

const OPTIONS = { knownProviders: new Set(['elder']), tenantId: 'kestrel', policyId: 'default', revision: 1 };
const GOOD = { version: '2.0', providers: [{ name: 'alder', weight: 1 }, { name: 'birch' }] };

/** Every finding as its line, errors first. */
function told(changes: object): readonly string[] {
  const parsed = parsePolicy({ ...GOOD, ...changes }, OPTIONS);
  const errors = parsed.kind === 'invalid' ? parsed.errors : [];
  return [
    ...errors.map(({ path, code, message }) => `${path} ${code} ${message}`),
    ...parsed.warnings.map(({ path, code, message }) => `${path} warning ${code} ${message}`),
  ];
}

const rule = (when: unknown): object => ({ rules: [{ id: 'r', when, then: { strategy: 'cost' } }] });
const fallback = (when: unknown): object => ({ fallbacks: [{ when, to: 'birch' }] });

const mistakes: readonly (readonly [what: string, changes: object, ...lines: string[]])[] = [
  [
    'a number where YAML needs quotes',
    { version: 2 },
    '/version type must be a text, and is an integer: write it in quotes',
  ],
  ['a version of another format', { version: '3.0' }, '/version pattern must be 1.N or 2.N, for example "2.0"'],
  [
    'a number in quotes',
    { timeout_ms: '500' },
    '/timeout_ms type must be an integer, and is a text: write it without quotes',
  ],
  ['a span with a unit', { timeout_ms: '5s' }, '/timeout_ms type must be an integer, and is a text'],
  ['half a millisecond', { timeout_ms: 1.5 }, '/timeout_ms type must be an integer, and is a number'],
  [
    'a claim in quotes',
    { sticky: { enabled: 'true' } },
    '/sticky/enabled type must be true or false, and is a text: write it without quotes',
  ],
  ['a key without a value', { sticky: null }, '/sticky type must be an object, and is empty'],
  ['a claim for an object', { sticky: true }, '/sticky type must be an object, and is true'],
  ['an object for a list', { rules: {} }, '/rules type must be a list, and is an object'],
  [
    'a name with a space',
    { providers: [{ name: 'Alder One', weight: 1 }] },
    '/providers/0/name pattern must have small letters, digits and _ . : / - only, and begin with a letter or a digit',
  ],
  [
    'a key that is far from all others',
    { canary: { to: 'birch', share: 5, stepping: 10 } },
    '/canary/stepping unknown_key unknown key; the keys here are to, share, when, unit, abort_on',
  ],
  [
    'a target that is nearly a provider',
    { canary: { to: 'brich', share: 5 } },
    `/canary/to unknown_provider provider 'brich' is not defined; did you mean 'birch'?`,
  ],
  [
    'a target that is nearly one of the catalogue',
    { canary: { to: 'eldr', share: 5 } },
    `/canary/to unknown_provider provider 'eldr' is not defined; did you mean 'elder'?`,
  ],
  [
    'a field that is nearly one',
    rule('request.input_token > 5'),
    `/rules/0/when unknown_variable No such key: input_token (at character 9); did you mean 'input_tokens'?`,
  ],
  [
    'a field that is none',
    rule('tenant.colour == "red"'),
    '/rules/0/when unknown_variable No such key: colour (at character 8); tenant has id, tier, labels',
  ],
  [
    'a variable that is nearly one',
    rule('tenants.tier == "gold"'),
    `/rules/0/when unknown_variable Unknown variable: tenants (at character 1); did you mean 'tenant'?`,
  ],
  [
    'a variable that is none',
    rule('x == 1'),
    '/rules/0/when unknown_variable Unknown variable: x (at character 1); ' +
      'the variables are context, request, tenant, task, time, budget, provider',
  ],
  [
    'the candidate where there is none',
    rule('provider.name == "alder"'),
    '/rules/0/when unknown_variable Unknown variable: provider (at character 1); ' +
      `it is known in 'providers[].when' and 'then.where' only`,
  ],
  [
    'a word of a failure as an expression',
    fallback('rate_limited'),
    '/fallbacks/0/when unknown_variable Unknown variable: rate_limited (at character 1); ' +
      'as a word of a failure write {status: rate_limited}',
  ],
  [
    'an expression that ends too early',
    rule('request.input_tokens >'),
    '/rules/0/when invalid_expression something is missing at the end (at character 23)',
  ],
  ['a bracket that is not closed', rule('(1 == 1'), `/rules/0/when invalid_expression ')' is missing (at character 8)`],
  [
    'a comparison with one sign',
    rule('request.model = "a"'),
    `/rules/0/when invalid_expression '=' is not expected here (at character 15); the language writes ==`,
  ],
  [
    'a word for a sign',
    rule('request.stream and request.durable'),
    `/rules/0/when invalid_expression 'and' is not expected here (at character 16); the language writes &&`,
  ],
  [
    'types that do not fit',
    rule('request.model == 5'),
    '/rules/0/when invalid_expression the types do not fit: string == int (at character 1)',
  ],
  [
    'a method in small letters',
    rule('request.model.startswith("a")'),
    `/rules/0/when unsupported_function 'startswith' is not a method of the language; did you mean 'startsWith'?`,
  ],
  [
    'a method as a function',
    rule('startsWith(request.model, "a")'),
    `/rules/0/when unsupported_function 'startsWith' is not a function of the language; ` +
      'as a method it follows its text and a dot',
  ],
  [
    'a pattern that is none',
    rule('request.model.matches("(a")'),
    '/rules/0/when invalid_expression matches: error parsing regexp: missing closing ): `(a`',
  ],
  ['a list for a condition', rule([]), '/rules/0/when type must be an object or an expression, and is a list'],
  [
    'a word that no failure has',
    fallback({ status: ['tiemout', '5XX', 503, '5xx', 'worker_lost', 'nothing like it'] }),
    `/fallbacks/0/when/status/0 warning no_effect no failure has the word 'tiemout'; did you mean 'timeout'?`,
    `/fallbacks/0/when/status/1 warning no_effect no failure has the word '5XX'; did you mean '5xx'?`,
    '/fallbacks/0/when/status/2 warning no_effect words of a failure are texts: write 503 in quotes',
    `/fallbacks/0/when/status/5 warning no_effect no failure has the word 'nothing like it'`,
  ],
  [
    'a word that no failure has, in the compact form',
    { fallback: { provider: 'birch', conditions: ['rate_limit'] } },
    `/fallback/conditions/0 warning no_effect no failure has the word 'rate_limit'; did you mean 'rate_limited'?`,
  ],
  [
    'an operator that is none',
    fallback({ '=>': [1, 2] }),
    `/fallbacks/0/when/=> warning no_effect is a name of the context, since there is no operator '=>': ` +
      'there are == != > < >= <= in',
  ],
  [
    'an alternative in an object',
    fallback({ or: ['a'] }),
    `/fallbacks/0/when/or warning no_effect is a name of the context, since there is no operator 'or': ` +
      'an expression has && || and !',
  ],
  [
    'a path in an object',
    fallback({ 'tenant.tier': 'gold' }),
    '/fallbacks/0/when/tenant.tier warning no_effect is one name of the context: for its parts write an expression',
  ],
];

for (const [what, changes, ...lines] of mistakes) {
  test(`told plainly: ${what}`, () => assert.deepEqual(told(changes), lines));
}

test('all mistakes of a document are told at once', () => {
  const all = { ...rule('request.model = 1'), ...fallback({ or: 1 }), stratgey: 'cost', timeout_ms: '1' };
  assert.equal(told(all).length, 4);
});
