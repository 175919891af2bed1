// The table of a shape as a JSON Schema, so that editors complete and check policies while they are written.
// It says what the table says; what takes two places of a document to see, only `beamline policy check` finds.
import type { Shape } from './shape.ts';

export type JsonSchema = Readonly<Record<string, unknown>>;

/** What a document may hold whose keys of version 2 stand only beside a version of `2.x`. */
export const editorSchema = (shape: Shape, title: string): JsonSchema => ({
  $schema: 'http://json-schema.org/draft-07/schema#',
  title,
  ...schemaOf(shape),
  if: { properties: { version: { type: 'string', pattern: String.raw`^1\.` } }, required: ['version'] },
  // eslint-disable-next-line unicorn/no-thenable -- the word of JSON Schema
  then: withoutV2(shape) ?? {},
});

function schemaOf(shape: Shape): JsonSchema {
  switch (shape.kind) {
    case 'number':
      return { type: shape.isInteger ? 'integer' : 'number', minimum: shape.min, maximum: shape.max };
    case 'boolean':
      return { type: 'boolean' };
    case 'text':
      return {
        type: 'string',
        minLength: shape.charsMin,
        maxLength: shape.charsMax,
        ...(shape.pattern === undefined ? {} : { pattern: shape.pattern.source }),
      };
    case 'word':
      return { type: 'string', enum: shape.words };
    case 'scalar':
      return { type: ['string', 'number', 'boolean'] };
    case 'list':
      return { type: 'array', items: schemaOf(shape.of), minItems: shape.min, maxItems: shape.max };
    case 'map':
      return {
        type: 'object',
        propertyNames: { pattern: shape.key.source },
        additionalProperties: schemaOf(shape.of),
        minProperties: shape.min,
        maxProperties: shape.max,
      };
    case 'record':
      return recordOf(shape);
    case 'open':
      return { type: 'object' };
    case 'idle':
      return { type: 'object', description: 'accepted without effect' };
    case 'own':
      // Checked by a function, of which a table can tell nothing.
      return {};
  }
}

function recordOf({ fields }: Extract<Shape, { kind: 'record' }>): JsonSchema {
  const entries = Object.entries(fields);
  const required = entries.flatMap(([name, { isRequired }]) => (isRequired === true ? [name] : []));
  return {
    type: 'object',
    properties: Object.fromEntries(entries.map(([name, { shape }]) => [name, schemaOf(shape)])),
    ...(required.length === 0 ? {} : { required }),
    additionalProperties: false,
  };
}

/** What forbids the keys of version 2 within the shape; undefined if it has none. */
function withoutV2(shape: Shape): JsonSchema | undefined {
  if (shape.kind === 'list') return wrapped('items', withoutV2(shape.of));
  if (shape.kind === 'map') return wrapped('additionalProperties', withoutV2(shape.of));
  if (shape.kind !== 'record') return undefined;
  const properties = Object.entries(shape.fields).flatMap(([name, field]) => {
    const inner = field.isV2 === true ? false : withoutV2(field.shape);
    return inner === undefined ? [] : [[name, inner] as const];
  });
  return properties.length === 0 ? undefined : { properties: Object.fromEntries(properties) };
}

const wrapped = (key: string, inner: JsonSchema | undefined): JsonSchema | undefined =>
  inner === undefined ? undefined : { [key]: inner };
