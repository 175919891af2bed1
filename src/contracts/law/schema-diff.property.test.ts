// D1 with ajv as the oracle: where the diff finds no breaking change, no message of a sender is refused by the reader.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import Ajv2020 from 'ajv/dist/2020.js';
import fc from 'fast-check';
import { diffSchemas } from './schema-diff.ts';
import { asNodes, fieldsOf, isComposed, isJson, type Json, namesIn, type Node } from './schema-node.ts';

const NAMES = ['a', 'b', 'c'];
const VALUES = [null, true, 0, 1, 2, 3, 4, 6, 1.5, '', 'x', 'yy', 'xyz', [], [1], ['x', 'x']] as const;

const leaf: fc.Arbitrary<Json> = fc.oneof(
  fc.record(
    {
      type: fc.constantFrom('string', ['string', 'null']),
      minLength: fc.nat(2),
      maxLength: fc.nat(3),
      pattern: fc.constantFrom('^x', 'y'),
    },
    { requiredKeys: ['type'] },
  ),
  fc.record(
    {
      type: fc.constantFrom('integer', 'number'),
      minimum: fc.nat(3),
      maximum: fc.nat(4),
      exclusiveMinimum: fc.nat(2),
      exclusiveMaximum: fc.integer({ min: 2, max: 5 }),
      multipleOf: fc.constantFrom(1, 2, 3, 4),
    },
    { requiredKeys: ['type'] },
  ),
  fc.record({ enum: fc.subarray(['x', 'yy', 0, 1, null], { minLength: 1 }) }),
  fc.record({ const: fc.constantFrom('x', 1) }),
  fc.constantFrom<Json>({}, { type: 'boolean' }, { not: { type: 'string' } }),
);

const { node } = fc.letrec<{ node: Json; flat: Node }>((tie) => ({
  flat: fc.oneof({ weight: 8, arbitrary: tie('node') }, { weight: 1, arbitrary: fc.boolean() }),
  node: fc.oneof(
    { maxDepth: 2, depthSize: 'small' },
    leaf,
    fc.record(
      {
        type: fc.constant('object'),
        properties: fc.dictionary(fc.constantFrom(...NAMES), tie('flat'), { maxKeys: 3 }),
        required: fc.uniqueArray(fc.constantFrom(...NAMES), { maxLength: 2 }),
        additionalProperties: fc.oneof(fc.boolean(), tie('node')),
        patternProperties: fc.record({ '^[cd]': tie('node') }),
        minProperties: fc.nat(2),
        maxProperties: fc.nat(3),
      },
      { requiredKeys: ['type'] },
    ),
    fc.record(
      {
        type: fc.constant('array'),
        items: tie('flat'),
        minItems: fc.nat(2),
        maxItems: fc.nat(3),
        uniqueItems: fc.boolean(),
      },
      { requiredKeys: ['type'] },
    ),
    fc.record({ anyOf: fc.array(tie('node'), { minLength: 1, maxLength: 3 }) }),
    fc.record({ oneOf: fc.array(tie('node'), { minLength: 1, maxLength: 2 }) }),
    fc.record({
      allOf: fc.array(tie('node'), { minLength: 1, maxLength: 2 }),
      properties: fc.record({ a: tie('node') }),
    }),
    fc.record({
      properties: fc.record({ a: tie('node') }),
      anyOf: fc.array(tie('node'), { minLength: 1, maxLength: 2 }),
    }),
    fc.record({ $ref: fc.constantFrom('#/$defs/one', '#/$defs/two') }),
  ),
}));

const document = fc
  .record({ root: node, one: leaf, two: node })
  .map(({ root, one, two }): Json => Object.assign({}, root, { $defs: { one, two } }));

/** A definition that refers to itself for the same value says nothing, and no validator ends on it: none refers at once. */
function isGrounded(root: Json): boolean {
  const refersTo = (schema: Node): boolean =>
    isJson(schema) &&
    (schema['$ref'] !== undefined ||
      ['anyOf', 'oneOf', 'allOf'].some((keyword) => asNodes(schema[keyword]).some(refersTo)));
  return Object.values(fieldsOf(root, '$defs')).every((schema) => !refersTo(schema as Node));
}

const MAPS: ReadonlySet<string> = new Set(['properties', 'patternProperties', '$defs']);

/** A schema with one thing changed somewhere, so that most pairs are near each other. */
function changed(value: Json, draw: fc.GeneratorValue): Json {
  const keys = Object.keys(value);
  const key = keys[draw(fc.nat, { max: keys.length })];
  if (key === undefined) return { ...value, ...draw(() => leaf) };
  const at = value[key];
  if (isJson(at) && MAPS.has(key)) return { ...value, [key]: changedMap(at, draw, key === 'properties') };
  if (isJson(at) && draw(fc.boolean)) return { ...value, [key]: changed(at, draw) };
  if (Array.isArray(at) && at.some(isJson)) {
    const place = draw(fc.nat, { max: at.length - 1 });
    return {
      ...value,
      [key]: at.map((part: unknown, n) => (n === place && isJson(part) ? changed(part, draw) : part)),
    };
  }
  if (typeof at === 'number') return { ...value, [key]: Math.max(1, at + draw(fc.constantFrom, -1, 1)) };
  const { [key]: _, ...rest } = value;
  return draw(fc.boolean) ? rest : { ...value, ...draw(() => node) };
}

/** Another member, one less, or a member changed. */
function changedMap(map: Json, draw: fc.GeneratorValue, isFree: boolean): Json {
  const name = draw(fc.constantFrom, ...(isFree ? NAMES : Object.keys(map)));
  const at = map[name];
  if (isJson(at) && (!isFree || draw(fc.boolean))) return { ...map, [name]: changed(at, draw) };
  const { [name]: gone, ...rest } = map;
  return gone === undefined ? { ...map, [name]: draw(() => leaf) } : rest;
}

const anything = (draw: fc.GeneratorValue, depth: number): unknown => {
  if (depth > 0 && draw(fc.nat, { max: 2 }) === 0) {
    const names = draw(fc.subarray<string>, [...NAMES, 'd']);
    return Object.fromEntries(names.map((name) => [name, anything(draw, depth - 1)]));
  }
  return draw(fc.constantFrom<unknown[]>, ...VALUES);
};

class Unsent extends Error {}

const compiled = (schema: Node) =>
  new Ajv2020.Ajv2020({ strict: false, validateFormats: false, logger: false }).compile(schema);

const validators = new WeakMap<object, Map<object, (value: unknown) => unknown>>();

/** Of a part of a document, with the definitions of the whole; made once. */
function validatorOf(part: Node, defs: object): (value: unknown) => unknown {
  if (!isJson(part)) return () => part;
  const known = validators.get(part) ?? new Map<object, (value: unknown) => unknown>();
  validators.set(part, known);
  const validate = known.get(defs) ?? compiled({ ...part, $defs: defs });
  known.set(defs, validate);
  return validate;
}

/** Something that a sender who keeps to the schema may write; it can still be invalid, and is then not sent. */
function sent(schema: Node, root: Json, draw: fc.GeneratorValue, depth: number, isOpen: boolean): unknown {
  if (!isJson(schema) || depth === 0) return anything(draw, 1);
  const defs = fieldsOf(root, '$defs');
  const { $ref } = schema;
  if (typeof $ref === 'string' && Object.keys(schema).every((key) => key === '$ref' || key === '$defs')) {
    const target = defs[$ref.slice('#/$defs/'.length)];
    return sent(isJson(target) ? target : {}, root, draw, depth - 1, isOpen);
  }
  const free = isOpen || isComposed(schema);
  const branches = [...asNodes(schema['anyOf']), ...asNodes(schema['oneOf'])];
  const branch = branches[draw(fc.nat, { max: Math.max(0, branches.length - 1) })];
  if (branch !== undefined && !free && schema['properties'] === undefined) {
    const value = sent(branch, root, draw, depth, free);
    // What is written by one shape must be valid by it, not by another that happens to accept it.
    if (!validatorOf(branch, defs)(value)) throw new Unsent();
    return value;
  }
  if (Array.isArray(schema['enum'])) return draw(fc.constantFrom<unknown[]>, ...(schema['enum'] as unknown[]));
  if (Object.hasOwn(schema, 'const')) return schema['const'];
  if (schema['type'] === 'array') {
    const items = schema['items'];
    const count = draw(fc.nat, { max: 3 });
    return Array.from({ length: count }, () => sent(isJson(items) ? items : {}, root, draw, depth - 1, free));
  }
  const properties = fieldsOf(schema, 'properties');
  const isObject = schema['type'] === 'object' || Object.keys(properties).length > 0;
  if (!isObject) return anything(draw, 1);
  return Object.fromEntries(
    membersSent(schema, free, draw).map((name) => {
      const member =
        properties[name] ?? fieldsOf(schema, 'patternProperties')['^[cd]'] ?? schema['additionalProperties'];
      return [name, sent(isJson(member) && !free ? member : {}, root, draw, depth - 1, free)];
    }),
  );
}

function trySending(schema: Json, draw: fc.GeneratorValue): unknown {
  try {
    return sent(schema, schema, draw, 4, false);
  } catch (fault) {
    if (fault instanceof Unsent) return undefined;
    throw fault;
  }
}

function membersSent(schema: Json, isOpen: boolean, draw: fc.GeneratorValue): readonly string[] {
  const properties = fieldsOf(schema, 'properties');
  const patterned = Object.keys(fieldsOf(schema, 'patternProperties')).length > 0;
  const isFree = Object.keys(properties).length === 0 && !patterned;
  const others = schema['additionalProperties'];
  return draw(fc.subarray<string>, [...NAMES, 'd']).filter(
    (name) =>
      isOpen ||
      Object.hasOwn(properties, name) ||
      (patterned && /^[cd]/.test(name)) ||
      namesIn(schema['required']).includes(name) ||
      (others === undefined ? isFree : others !== false),
  );
}

test('what the diff calls safe for consumers refuses no message of an old sender, and the mirror for producers', () => {
  const seen = { safe: 0, messages: 0 };
  fc.assert(
    fc.property(document, fc.gen(), (old, draw) => {
      const now = draw(fc.nat, { max: 9 }) === 0 ? draw(() => document) : changed(old, draw);
      fc.pre(isGrounded(old) && isGrounded(now));
      for (const [direction, from, to] of [
        ['consumer', old, now],
        ['producer', now, old],
      ] as const) {
        if (diffSchemas(old, now, direction).some(({ breaking }) => breaking)) continue;
        const [writes, reads] = [compiled(from), compiled(to)];
        seen.safe++;
        for (let n = 0; n < 10; n++) {
          const message = trySending(from, draw);
          if (message === undefined || !writes(message)) continue;
          seen.messages++;
          assert.ok(reads(message), `${direction}: ${JSON.stringify({ old, now, message })}`);
        }
      }
    }),
    { numRuns: 400 },
  );
  // A diff that called everything breaking would prove nothing.
  assert.ok(seen.safe > 100 && seen.messages > 500, JSON.stringify(seen));
});
