// A JSON Schema as a TypeScript type, as far as types can say it: bounds and patterns stay with the schema.
import { fieldsOf, isJson, type Json, literalsOf, namesIn } from '../schema-node.ts';

/** What anything is read as. */
const UNKNOWN = 'unknown';

export function typeOf(schema: unknown, indent = ''): string {
  if (!isJson(schema)) return UNKNOWN;
  const literals = literalsOf(schema);
  if (literals !== undefined) return union(literals.map((value) => literal(value)));
  if (Array.isArray(schema['anyOf'])) return union(schema['anyOf'].map((shape) => typeOf(shape, indent)));
  const { type } = schema;
  return union((Array.isArray(type) ? type : [type]).map((name) => typeNamed(name, schema, indent)));
}

const union = (types: readonly string[]): string => [...new Set(types)].join(' | ') || 'never';

const literal = (value: unknown): string =>
  typeof value === 'string' ? quoted(value) : (JSON.stringify(value) ?? UNKNOWN);

const quoted = (text: string): string =>
  `'${JSON.stringify(text)
    .slice(1, -1)
    .replaceAll(String.raw`\"`, '"')
    .replaceAll("'", String.raw`\'`)}'`;

function typeNamed(name: unknown, schema: Json, indent: string): string {
  switch (name) {
    case 'string':
    case 'boolean':
    case 'null':
      return name;
    case 'integer':
    case 'number':
      return 'number';
    case 'array':
      return `readonly ${grouped(typeOf(schema['items'], indent))}[]`;
    case 'object':
      return objectOf(schema, indent);
    default:
      return UNKNOWN;
  }
}

const grouped = (type: string): string => (/[|\s]/.test(type) && !type.startsWith('{') ? `(${type})` : type);

function objectOf(schema: Json, indent: string): string {
  const properties = Object.entries(fieldsOf(schema, 'properties'));
  if (properties.length === 0) {
    const members = Object.values(fieldsOf(schema, 'patternProperties'))[0] ?? schema['additionalProperties'];
    return `Readonly<Record<string, ${typeOf(members, indent)}>>`;
  }
  const required = namesIn(schema['required']);
  const inner = `${indent}  `;
  const lines = properties.map(([name, field]) => {
    const key = /^[A-Za-z_$][\w$]*$/.test(name) ? name : quoted(name);
    return `${inner}readonly ${key}${required.includes(name) ? '' : '?'}: ${typeOf(field, inner)};`;
  });
  return `{\n${lines.join('\n')}\n${indent}}`;
}
