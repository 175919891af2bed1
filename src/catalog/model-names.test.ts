import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ModelTarget, openModelNames } from './model-names.ts';

const names = openModelNames({
  providers: [
    { id: 'a', models: { small: {}, 'vendor/large': {} } },
    { id: 'b', models: { small: {}, 'a/only-b': {}, default: {} } },
  ],
  tenants: [
    {
      id: 'acme',
      aliases: {
        fast: 'a/small',
        careful: 'policy:strict',
        any: 'small',
        own: 'strict',
        broken: 'nothing',
        loop: 'fast',
      },
    },
  ],
  policiesOf: (tenantId) => new Set(tenantId === 'acme' ? ['strict'] : []),
});

const target = (policyId: string, model?: string, ...providersAllow: string[]): ModelTarget => ({
  policyId,
  model,
  providersAllow: providersAllow.length > 0 ? providersAllow : undefined,
});

type Case = readonly [what: string, ask: [tenant: string, model: string, header?: string], ModelTarget | undefined];
const cases: readonly Case[] = [
  ['1: the header wins, and the model is a fact', ['acme', 'small', 'strict'], target('strict', 'small')],
  ['1: a header that is no id', ['acme', 'small', 'a b'], undefined],
  ['2: a policy by name', ['acme', 'policy:strict'], target('strict')],
  ['2: a policy that only the router can know', ['acme', 'policy:later'], target('later')],
  ['2: a policy name that is no id', ['acme', 'policy:'], undefined],
  ['3: an alias of a provider model', ['acme', 'fast'], target('direct', 'small', 'a')],
  ['3: an alias of a policy', ['acme', 'careful'], target('strict')],
  ['3: an alias of a policy id', ['acme', 'own'], target('strict')],
  ['3: an alias of a model name', ['acme', 'any'], target('default', 'small', 'a', 'b')],
  ['3: an alias of another alias', ['acme', 'loop'], undefined],
  ['3: an alias of nothing', ['acme', 'broken'], undefined],
  ['3: the alias of another tenant', ['other', 'fast'], undefined],
  ['4: a policy id', ['acme', 'strict'], target('strict')],
  ['4: the policy id of another tenant', ['other', 'strict'], undefined],
  ['4: a built-in policy before a model of its name', ['acme', 'default'], target('default')],
  ['5: a provider and its model', ['acme', 'b/small'], target('direct', 'small', 'b')],
  ['5: a model with a slash of its own', ['acme', 'a/vendor/large'], target('direct', 'vendor/large', 'a')],
  ['5: a provider without that model', ['acme', 'a/huge'], undefined],
  ['6: a model of two providers', ['acme', 'small'], target('default', 'small', 'a', 'b')],
  ['6: a model whose name has a slash', ['acme', 'vendor/large'], target('default', 'vendor/large', 'a')],
  ['6: a model that looks like another provider', ['acme', 'a/only-b'], target('default', 'a/only-b', 'b')],
  ['7: an unknown name', ['acme', 'huge'], undefined],
  ['7: an empty name', ['acme', ''], undefined],
  ['7: a name of every object', ['acme', 'constructor'], undefined],
];

for (const [what, [tenant, model, header], expected] of cases) {
  test(`row ${what}`, () => assert.deepEqual(names.resolve(tenant, model, header), expected));
}

test('a provider without models serves any name: its own prefix, and bare names that nobody lists', () => {
  const { resolve, list } = openModelNames({
    providers: [
      { id: 'listed', models: { small: {} } },
      { id: 'first', models: {} },
      { id: 'second', models: {} },
    ],
    tenants: [],
  });
  assert.deepEqual(resolve('t', 'second/x/y'), target('direct', 'x/y', 'second'));
  assert.deepEqual(resolve('t', 'small'), target('default', 'small', 'listed'));
  assert.deepEqual(resolve('t', 'unheard'), target('default', 'unheard', 'first'));
  assert.deepEqual([resolve('t', ''), resolve('t', 'first/')?.policyId], [undefined, 'default']);
  assert.deepEqual(
    list('t').map(({ name }) => name),
    ['default', 'direct', 'small'],
  );
});

test('every listed name resolves, once each, with its owner', () => {
  const listed = names.list('acme');
  assert.equal(new Set(listed.map(({ name }) => name)).size, listed.length);
  for (const { name } of listed) assert.notEqual(names.resolve('acme', name), undefined, name);
  const owners = new Map(listed.map(({ name, ownedBy }) => [name, ownedBy]));
  assert.deepEqual(
    ['fast', 'strict', 'default', 'small', 'vendor/large', 'a/only-b', 'broken'].map((name) => owners.get(name)),
    ['beamline', 'beamline', 'beamline', 'a', 'a', 'b', undefined],
  );
});
