import assert from 'node:assert/strict';
import { test } from 'node:test';
import { transform } from './cel-transform.ts';

const data = {
  name: 'acme',
  items: [
    { id: 1, price: 2.5 },
    { id: 2, price: 4 },
  ],
  deep: { a: { b: [true, null] } },
};

const VALUES: readonly (readonly [expression: string, value: unknown])[] = [
  ['data', data],
  ['data.name + "!"', 'acme!'],
  ['data.items.filter(i, i.id > 1).map(i, i.price)', [4]],
  [
    'data.items.map(i, {"id": i.id, "name": data.name, "same": data.items.exists(j, j.id == i.id)})',
    [
      { id: 1, name: 'acme', same: true },
      { id: 2, name: 'acme', same: true },
    ],
  ],
  ['{"a": 1, "b": [1, "x", null, 2.5]}', { a: 1, b: [1, 'x', null, 2.5] }],
  ['size(data.items)', 2],
  ['data.deep.a.b', [true, null]],
  ['has(data.nothing) ? 1 : 2', 2],
  ['data.name.matches("^a+c") && !data.name.matches("z")', true],
  ['9007199254740993', '9007199254740993'],
  ['1.0 / 0.0', 'Infinity'],
  ['7u', 7],
  ['b"ab"', 'YWI='],
  ['timestamp("2026-11-21T10:15:34Z")', '2026-11-21T10:15:34.000Z'],
  ['duration("90s")', '90s'],
  ['"constructor" in data', false],
];

for (const [expression, value] of VALUES) {
  test(`${expression.slice(0, 60)} makes its value`, () => {
    assert.deepEqual(transform(expression, data), { kind: 'value', value });
  });
}

const REFUSED: readonly string[] = [
  'data.',
  'unknown',
  'request.id',
  'data.name.matches(data.name)',
  'process.env',
  'data.constructor()',
  'data.items.map(a, data.items.map(b, data.items.map(c, c.id)))',
  `"${'x'.repeat(4_100)}"`,
  `"${'ä'.repeat(2_048)}"`,
  Array.from({ length: 1_100 }, () => '1').join('+'),
  'data.name.matches("(a{500}){500}")',
];

for (const expression of REFUSED) {
  test(`${expression.slice(0, 40)} is refused`, () => {
    assert.equal(transform(expression, data).kind, 'refused');
  });
}

test('data that is not as expected is a failure with a word of the language', () => {
  assert.deepEqual(transform('data.nothing', data), {
    kind: 'failed',
    code: 'no_such_key',
    message: 'No such key: nothing',
  });
  assert.equal(transform('data.name + 1', data).kind, 'failed');
  assert.equal(transform('type(data)', data).kind, 'failed');
});

test('names that mean something to the platform are names like any other', () => {
  const hostile: unknown = JSON.parse('{"__proto__": {"x": 1}, "constructor": 2, "toString": 3}');
  const seen = transform('[data["__proto__"].x, data.constructor, data.toString]', hostile);
  assert.deepEqual(seen, { kind: 'value', value: [1, 2, 3] });
  const copied = transform('data', hostile);
  assert.ok(copied.kind === 'value');
  assert.equal(JSON.stringify(copied.value), '{"__proto__":{"x":1},"constructor":2,"toString":3}');
});

test('more steps than a policy may take are no limit here', () => {
  const numbers = Array.from({ length: 20_000 }, (_, i) => i);
  assert.deepEqual(transform('size(data.filter(n, n % 2 == 0))', numbers), { kind: 'value', value: 10_000 });
});
