import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Findings } from './issue.ts';
import { readSettingsSchema } from './settings-schema.ts';

function schema(given: unknown) {
  const findings = new Findings();
  const read = readSettingsSchema(given, '', findings);
  return { read, faults: findings.errors.map(({ path, code }) => `${path} ${code}`) };
}

/** Where the value is not of the schema, with what is said there. */
function faults(given: object, value: unknown): readonly string[] {
  const { read, faults: own } = schema(given);
  assert.deepEqual(own, []);
  const told: string[] = [];
  read?.check(value, '', (path, message) => told.push(`${path} ${message}`));
  return told;
}

const KEYWORDS: readonly (readonly [schema: object, fits: unknown, fails: unknown, told: string])[] = [
  [{ type: 'integer' }, 2, 2.5, ' must be of the type integer'],
  [{ type: ['string', 'null'] }, null, 1, ' must be of the type string or null'],
  [{ type: 'object' }, {}, [], ' must be of the type object'],
  [{ enum: ['a', 1, null] }, 1, '1', ' must be "a" or 1 or null'],
  [{ const: true }, true, 'true', ' must be true'],
  [{ properties: { a: { type: 'string' } } }, { a: 'x', b: 1 }, { a: 1 }, '/a must be of the type string'],
  [{ properties: { a: {} }, additionalProperties: false }, { a: 1 }, { b: 1 }, '/b is not allowed'],
  [{ additionalProperties: { type: 'number' } }, { b: 1 }, { b: '1' }, '/b must be of the type number'],
  [{ required: ['a/b'] }, { 'a/b': 0 }, {}, '/a~1b is required'],
  [{ items: { minimum: 1 } }, [1, 'x'], [1, 0], '/1 must be at least 1'],
  [{ minItems: 1, maxItems: 2 }, [1], [], ' must have 1 items at least'],
  [{ minItems: 1, maxItems: 2 }, [1], [1, 2, 3], ' must have 2 items at most'],
  [{ minLength: 1, maxLength: 2 }, '🦊🦊', '🦊🦊🦊', ' must have 2 characters at most'],
  [{ maximum: 3 }, 3, 4, ' must be at most 3'],
  [{ exclusiveMinimum: 3 }, 4, 3, ' must be above 3'],
  [{ exclusiveMaximum: 3 }, 2, 3, ' must be below 3'],
  [{ pattern: '^a+$' }, 'aaa', 'ab', ' must match ^a+$'],
];

for (const [given, fits, fails, told] of KEYWORDS) {
  test(`${JSON.stringify(given)} is checked`, () => {
    assert.deepEqual([faults(given, fits), faults(given, fails)], [[], [told]]);
  });
}

test('keywords about another type say nothing, and annotations are passed over', () => {
  assert.deepEqual(faults({ minimum: 3, maxLength: 1, maxItems: 0, title: 'x', default: 7 }, { a: 1 }), []);
});

test('one of several schemas is enough', () => {
  const either = { anyOf: [{ type: 'string' }, { type: 'object', required: ['a'] }] };
  assert.deepEqual([faults(either, 'x'), faults(either, { a: 1 })], [[], []]);
  assert.deepEqual(faults(either, { b: 1 }), [' is none of what it may be']);
});

test('a member that every object inherits is not there', () => {
  assert.deepEqual(faults({ required: ['toString'], properties: { constructor: { type: 'string' } } }, {}), [
    '/toString is required',
  ]);
});

const nested = (depth: number): object => (depth === 0 ? {} : { items: nested(depth - 1) });
const many = (count: number): object => ({ anyOf: Array.from({ length: count }, () => ({})) });

const REFUSED: readonly (readonly [what: string, given: unknown, fault: string])[] = [
  ['no object', [], ' type'],
  ['a keyword that is not checked', { properties: { a: { format: 'email' } } }, '/properties/a/format unknown_key'],
  ['a reference', { $ref: '#' }, '/$ref unknown_key'],
  ['an unknown type', { type: 'text' }, '/type type'],
  ['no type', { type: [] }, '/type type'],
  ['an object among the values', { enum: [{}] }, '/enum type'],
  ['properties in a list', { properties: [] }, '/properties type'],
  ['a schema that is a text', { items: 'string' }, '/items type'],
  ['required as a flag', { required: true }, '/required type'],
  ['a length below 0', { minLength: -1 }, '/minLength type'],
  ['values that are no list', { enum: 'a' }, '/enum type'],
  ['a bound in words', { maximum: '3' }, '/maximum type'],
  ['a pattern that cannot be read', { pattern: '(' }, '/pattern pattern'],
  ['a pattern that looks back', { pattern: '(a)\\1' }, '/pattern pattern'],
  ['a pattern of a million instructions', { pattern: '(a{1000}){1000}' }, '/pattern pattern'],
  ['many bytes', { title: 'x'.repeat(20_000) }, ' too_large'],
  ['many levels', nested(17), `${'/items'.repeat(16)} too_large`],
  ['many schemas', many(256), '/anyOf/255 too_large'],
  ['no schema to choose', { anyOf: [] }, '/anyOf type'],
];

for (const [what, given, fault] of REFUSED) {
  test(`${what} is refused in a schema, with its place`, () => {
    const { read, faults: told } = schema(given);
    assert.deepEqual([read, told], [undefined, [fault]]);
  });
}

test('patterns are bounded together', () => {
  const properties = Object.fromEntries(Array.from({ length: 9 }, (_, n) => [`p${n}`, { pattern: '^a{300}$' }]));
  const { read, faults: told } = schema({ properties });
  assert.equal(read, undefined);
  assert.ok(told.every((one) => /^\/properties\/p\d\/pattern too_large$/.test(one)) && told.length > 0, told.join());
});

test('settings are bounded too', () => {
  assert.deepEqual(faults({}, { a: 'x'.repeat(20_000) }), [' must have at most 16384 bytes']);
});
