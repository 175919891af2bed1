import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fieldsOf, schemaFault, unknownFields, valueChecker } from './schema-fields.ts';

const TEXT = { type: 'string' };
const CLOSED = { type: 'object', properties: { a: TEXT } };

const FAULTS: readonly (readonly [what: string, schema: unknown, fault: string | undefined])[] = [
  ['an empty schema', {}, undefined],
  ['several types', { type: ['string', 'null'] }, undefined],
  ['a schema that is false, inside', { properties: { a: false } }, undefined],
  ['a list', [], '/ is no schema'],
  ['a bare word', 'string', '/ is no schema'],
  ['a type that there is not', { type: 'record' }, '/type is no type'],
  ['a bound that is a text', { maxLength: '5' }, '/maxLength is no number'],
  ['required that is no list', { required: 'a' }, '/required is no list of names'],
  ['an enum that is no list', { enum: 'a' }, '/enum is no list'],
  ['a pattern that does not end', { pattern: '(' }, '/pattern is no regular expression'],
  ['properties that are a list', { properties: [] }, '/properties is malformed'],
  ['alternatives that are no list', { anyOf: {} }, '/anyOf is malformed'],
  [
    'a fault far inside',
    { anyOf: [{ properties: { a: { items: { type: 5 } } } }] },
    '/anyOf/0/properties/a/items/type is no type',
  ],
];

for (const [what, schema, fault] of FAULTS) {
  test(`${what} ${fault === undefined ? 'compiles' : 'does not compile'}`, () =>
    assert.equal(schemaFault(schema), fault));
}

test('the fields of a message are those of all its forms', () => {
  const either = { properties: { z: TEXT }, anyOf: [CLOSED, { properties: { b: TEXT } }] };
  assert.deepEqual([...fieldsOf(either)].toSorted(), ['a', 'b', 'z']);
});

const UNKNOWN: readonly (readonly [what: string, schema: unknown, value: unknown, paths: readonly string[]])[] = [
  ['a declared field', CLOSED, { a: 'x' }, []],
  ['a field of tomorrow', CLOSED, { a: 'x', b: 1 }, ['/b']],
  ['anything in an open object', { properties: { o: { type: 'object', properties: {} } } }, { o: { x: { y: 1 } } }, []],
  [
    'a record',
    { properties: { o: { patternProperties: { '.*': TEXT }, properties: { a: TEXT } } } },
    { o: { x: 'y' } },
    [],
  ],
  ['an item of a list', { properties: { l: { items: CLOSED } } }, { l: [{ a: 'x' }, { c: 1 }] }, ['/l/1/c']],
  ['a field of another form', { anyOf: [CLOSED, { properties: { b: CLOSED } }] }, { b: { a: 'x' } }, []],
  [
    'what neither form knows',
    { anyOf: [{ properties: { o: CLOSED } }, { properties: { o: { properties: { b: TEXT } } } }] },
    { o: { a: 'x', b: 'y', c: 1 } },
    ['/o/c'],
  ],
];

for (const [what, schema, value, paths] of UNKNOWN) {
  test(`${what} is ${paths.length === 0 ? 'known' : 'told by its path'}`, () =>
    assert.deepEqual(unknownFields(schema, value), paths));
}

test('a value that is refused is told with its place', () => {
  const check = valueChecker(CLOSED);
  assert.equal(check({ a: 'x' }), undefined);
  assert.match(check({ a: 5 }) ?? '', /^\/a: /);
});
