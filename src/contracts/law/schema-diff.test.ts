import assert from 'node:assert/strict';
import { test } from 'node:test';
import { emitSchema, PAYLOADS } from '../registry.ts';
import { CHANGE_KINDS } from './schema-change.ts';
import { diffSchemas } from './schema-diff.ts';

type Breaks = 'none' | 'consumer' | 'producer' | 'both';
type Row = readonly [what: string, old: unknown, now: unknown, kind: string, path: string, Breaks, law: 'ok' | 'no'];

const text = { type: 'string' };
const whole = { type: 'integer' };
const object = (properties: object, rest: object = {}) => ({ type: 'object', properties, ...rest });
const chunk = object({ type: { type: 'string', const: 'chunk' }, seq: whole }, { required: ['type'] });
const end = object({ type: { type: 'string', const: 'end' } }, { required: ['type'] });

// One change each: what it is called, where it is, whom it breaks, and whether the law allows it.
const ROWS: readonly Row[] = [
  ['a new optional field', object({ a: text }), object({ a: text, b: text }), 'property_added', '/b', 'none', 'ok'],
  [
    'a new field that old readers refuse',
    object({ a: text }, { additionalProperties: false }),
    object({ a: text, b: text }, { additionalProperties: false }),
    ...(['property_added', '/b', 'producer', 'ok'] as const),
  ],
  ['a field in what was free', object({}), object({ a: text }), 'property_added', '/a', 'consumer', 'no'],
  [
    'a field that was required without a schema',
    object({ b: text }, { required: ['a'] }),
    object({ a: text, b: text }, { required: ['a'] }),
    ...(['property_added', '/a', 'consumer', 'no'] as const),
  ],
  ['a field removed', object({ a: text, b: text }), object({ a: text }), 'property_removed', '/b', 'none', 'no'],
  [
    'a field removed from a closed object',
    object({ a: text, b: text }, { additionalProperties: false }),
    object({ a: text }, { additionalProperties: false }),
    ...(['property_removed', '/b', 'consumer', 'no'] as const),
  ],
  [
    'a field required',
    object({ a: text }),
    object({ a: text }, { required: ['a'] }),
    'required_added',
    '/a',
    'consumer',
    'no',
  ],
  [
    'a field optional',
    object({ a: text }, { required: ['a'] }),
    object({ a: text }),
    'required_removed',
    '/a',
    'producer',
    'no',
  ],
  ['a narrower type', { type: 'number' }, whole, 'type_narrowed', '/', 'consumer', 'no'],
  ['a wider type', text, { type: ['string', 'null'] }, 'type_widened', '/', 'producer', 'no'],
  ['another type', text, whole, 'type_changed', '/', 'both', 'no'],
  ['nothing is valid', object({ a: {} }), object({ a: false }), 'type_narrowed', '/a', 'consumer', 'no'],
  ['fewer values', { enum: ['a', 'b'] }, { enum: ['a'] }, 'enum_shrunk', '/', 'consumer', 'no'],
  ['more values', { enum: ['a'] }, { enum: ['a', 'b'] }, 'enum_grown', '/', 'producer', 'ok'],
  ['a constant becomes a list', { ...text, const: 'a' }, { enum: ['a', 'b'] }, 'enum_grown', '/', 'producer', 'ok'],
  ['only some values', text, { enum: ['a'] }, 'enum_shrunk', '/', 'consumer', 'no'],
  ['another constant', { const: '1' }, { const: '2' }, 'const_changed', '/', 'both', 'no'],
  ['a shorter text', { ...text, maxLength: 9 }, { ...text, maxLength: 8 }, 'bound_tightened', '/', 'consumer', 'no'],
  ['a longer text', { ...text, maxLength: 8 }, { ...text, maxLength: 9 }, 'bound_loosened', '/', 'producer', 'ok'],
  ['an empty text', { ...text, minLength: 1 }, text, 'bound_loosened', '/', 'producer', 'ok'],
  ['a minimum', whole, { ...whole, minimum: 0 }, 'bound_tightened', '/', 'consumer', 'no'],
  ['an open bound', { maximum: 5 }, { exclusiveMaximum: 5 }, 'bound_tightened', '/', 'consumer', 'no'],
  ['a shut bound', { exclusiveMinimum: 5 }, { minimum: 5 }, 'bound_loosened', '/', 'producer', 'ok'],
  [
    'fewer items',
    { type: 'array', maxItems: 3 },
    { type: 'array', maxItems: 2 },
    'bound_tightened',
    '/',
    'consumer',
    'no',
  ],
  ['more members', { minProperties: 2 }, { minProperties: 1 }, 'bound_loosened', '/', 'producer', 'ok'],
  ['unique items', { type: 'array' }, { type: 'array', uniqueItems: true }, 'bound_tightened', '/', 'consumer', 'no'],
  ['a multiple', { multipleOf: 2 }, { multipleOf: 4 }, 'bound_tightened', '/', 'consumer', 'no'],
  ['a divisor', { multipleOf: 4 }, { multipleOf: 2 }, 'bound_loosened', '/', 'producer', 'ok'],
  ['another multiple', { multipleOf: 2 }, { multipleOf: 3 }, 'bound_changed', '/', 'both', 'no'],
  ['a pattern', text, { ...text, pattern: '^a' }, 'pattern_added', '/', 'consumer', 'no'],
  ['no pattern', { ...text, pattern: '^a' }, text, 'pattern_removed', '/', 'producer', 'ok'],
  ['another pattern', { ...text, pattern: '^a' }, { ...text, pattern: '^b' }, 'pattern_changed', '/', 'both', 'no'],
  ['a format', text, { ...text, format: 'uri' }, 'format_added', '/', 'consumer', 'no'],
  ['no format', { ...text, format: 'uri' }, text, 'format_removed', '/', 'producer', 'ok'],
  ['another format', { ...text, format: 'uri' }, { ...text, format: 'date' }, 'format_changed', '/', 'both', 'no'],
  [
    'a closed object',
    object({ a: text }),
    object({ a: text }, { additionalProperties: false }),
    'object_closed',
    '/',
    'consumer',
    'no',
  ],
  [
    'an open object',
    object({ a: text }, { additionalProperties: false }),
    object({ a: text }),
    'object_opened',
    '/',
    'none',
    'ok',
  ],
  ['a free object', object({}, { additionalProperties: false }), object({}), 'object_opened', '/', 'producer', 'ok'],
  [
    'other members',
    { additionalProperties: text },
    { additionalProperties: whole },
    'type_changed',
    '/*',
    'both',
    'no',
  ],
  [
    'a record',
    { patternProperties: { '^.*$': text } },
    { patternProperties: { '^.*$': {} } },
    'type_widened',
    '/*',
    'producer',
    'no',
  ],
  [
    'items',
    { type: 'array', items: whole },
    { type: 'array', items: { type: 'number' } },
    'type_widened',
    '/*',
    'producer',
    'no',
  ],
  [
    'a deep field',
    object({ a: object({ b: text }) }),
    object({ a: object({ b: whole }) }),
    'type_changed',
    '/a/b',
    'both',
    'no',
  ],
  [
    'a new shape',
    { anyOf: [chunk] },
    { anyOf: [chunk, end] },
    'alternative_added',
    '/anyOf:type=end',
    'producer',
    'ok',
  ],
  [
    'a shape less',
    { anyOf: [chunk, end] },
    { anyOf: [end] },
    'alternative_removed',
    '/anyOf:type=chunk',
    'consumer',
    'no',
  ],
  [
    'one shape becomes several',
    chunk,
    { anyOf: [end, chunk] },
    'alternative_added',
    '/anyOf:type=end',
    'producer',
    'ok',
  ],
  [
    'a field of one shape',
    { anyOf: [chunk, end] },
    { anyOf: [end, object({ ...chunk.properties, seq: text }, { required: ['type'] })] },
    ...(['type_changed', '/anyOf:type=chunk/seq', 'both', 'no'] as const),
  ],
  [
    'shapes apart',
    { oneOf: [chunk] },
    { oneOf: [chunk, end] },
    'alternative_added',
    '/anyOf:type=end',
    'producer',
    'ok',
  ],
  ['shapes that may overlap', { oneOf: [text] }, { oneOf: [text, {}] }, 'keyword_changed', '/', 'both', 'no'],
  ['a default', { ...whole, default: 1 }, { ...whole, default: 2 }, 'default_changed', '/', 'both', 'no'],
  ['no default', { ...whole, default: 1 }, whole, 'default_changed', '/', 'both', 'no'],
  ['a first default', whole, { ...whole, default: 1 }, 'default_added', '/', 'none', 'ok'],
  [
    'a part of allOf',
    { allOf: [text] },
    { allOf: [{ ...text, maxLength: 3 }] },
    'bound_tightened',
    '/',
    'consumer',
    'no',
  ],
  ['parts of allOf', { allOf: [text] }, { allOf: [] }, 'keyword_changed', '/', 'both', 'no'],
  ['an unknown word', { 'x-sorted': true }, { 'x-sorted': false }, 'keyword_changed', '/', 'both', 'no'],
  ['a word that is not judged', { not: text }, { not: whole }, 'keyword_changed', '/', 'both', 'no'],
  [
    'what a reference names',
    { $ref: '#/$defs/a', $defs: { a: text } },
    { $ref: '#/$defs/a', $defs: { a: { ...text, maxLength: 1 } } },
    ...(['bound_tightened', '/', 'consumer', 'no'] as const),
  ],
  [
    'a foreign reference',
    { $ref: 'https://a.example/x' },
    { $ref: 'https://a.example/y' },
    'keyword_changed',
    '/',
    'both',
    'no',
  ],
];

for (const [what, old, now, kind, path, breaks, law] of ROWS) {
  test(`the diff tells ${what}`, () => {
    const expected = {
      kind,
      path,
      breaks: {
        consumer: breaks === 'consumer' || breaks === 'both',
        producer: breaks === 'producer' || breaks === 'both',
      },
      lawful: law === 'ok',
    };
    assert.deepEqual(
      diffSchemas(old, now, 'both').map(({ message: _text, breaking: _is, ...change }) => change),
      [expected],
    );
    for (const direction of ['consumer', 'producer'] as const) {
      const [change] = diffSchemas(old, now, direction);
      assert.equal(change?.breaking, expected.breaks[direction]);
    }
    assert.equal(diffSchemas(old, now, 'both')[0]?.breaking, breaks !== 'none');
  });
}

test('every kind of change is told by a case', () => {
  const told = new Set(ROWS.map(([, , , kind]) => kind));
  assert.deepEqual(
    CHANGE_KINDS.filter((kind) => !told.has(kind)),
    [],
  );
});

// Each is the same for every message, however it is written.
const SAME: readonly (readonly [what: string, old: unknown, now: unknown])[] = [
  ['annotations', text, { ...text, description: 'a text', $comment: 'x', examples: ['a'] }],
  ['order', { type: ['string', 'null'], required: ['a', 'b'] }, { required: ['b', 'a'], type: ['null', 'string'] }],
  ['a bound that bounds nothing', text, { ...text, minLength: 0 }],
  ['a constant as a list', { const: 'a' }, { enum: ['a'] }],
  ['what a reference names, written out', { $ref: '#/$defs/a', $defs: { a: text } }, text],
  ['the order of shapes', { anyOf: [text, whole] }, { anyOf: [whole, text] }],
  ['true and a schema without words', { items: true }, { items: {} }],
];

for (const [what, old, now] of SAME) {
  test(`the diff is empty for ${what}`, () => {
    assert.deepEqual(diffSchemas(old, now, 'both'), []);
    assert.deepEqual(diffSchemas(now, old, 'both'), []);
  });
}

test('a recursive schema is compared to its end', () => {
  const tree = (leaf: object) => ({
    $ref: '#/$defs/node',
    $defs: { node: object({ leaf, next: { $ref: '#/$defs/node' } }) },
  });
  assert.deepEqual(
    diffSchemas(tree(text), tree({ ...text, maxLength: 4 }), 'consumer').map(({ path, kind }) => [path, kind]),
    [['/leaf', 'bound_tightened']],
  );
  assert.deepEqual(diffSchemas(tree(text), tree(text), 'both'), []);
});

test('an allOf with siblings knows that a sender may write what another part declares', () => {
  const old = { allOf: [object({ a: text }), object({ b: text })] };
  const now = { allOf: [object({ a: text, b: whole }), object({ b: text })] };
  assert.equal(diffSchemas(old, now, 'consumer')[0]?.breaking, true);
});

for (const payload of PAYLOADS) {
  test(`${payload.id}@${payload.version} is compatible with itself, and any field less is told`, () => {
    const schema = JSON.parse(emitSchema(payload)) as Record<string, unknown>;
    assert.deepEqual(diffSchemas(schema, schema, 'both'), []);
    const { properties } = schema as { properties?: Record<string, unknown> };
    for (const name of Object.keys(properties ?? {})) {
      const { [name]: _, ...rest } = properties ?? {};
      const changes = diffSchemas(schema, { ...schema, properties: rest }, 'both');
      assert.deepEqual(
        changes.map(({ kind, path, lawful }) => [kind, path, lawful]),
        [['property_removed', `/${name}`, false]],
      );
    }
  });
}
