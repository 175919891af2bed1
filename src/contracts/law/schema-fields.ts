// What the rules ask of a JSON Schema: whether it is one, which fields it declares, and which of a value it does not.
import { Compile } from 'typebox/schema';
import { listOf, membersOf } from './registry-shape.ts';

const TYPES: ReadonlySet<unknown> = new Set(['string', 'number', 'integer', 'boolean', 'object', 'array', 'null']);
const COUNTS = ['minLength', 'maxLength', 'minItems', 'maxItems', 'minProperties', 'maxProperties'];
const LISTS = ['anyOf', 'oneOf', 'allOf'];
const MAPS = ['properties', 'patternProperties', '$defs'];
const ONES = ['items', 'additionalProperties', 'not'];

/** Why it is no schema that can be compiled; undefined if it is one. */
export function schemaFault(tree: unknown, at = ''): string | undefined {
  if (typeof tree === 'boolean' && at !== '') return undefined;
  if (typeof tree !== 'object' || tree === null || Array.isArray(tree)) return `${at || '/'} is no schema`;
  const node = membersOf(tree);
  return ownFault(node, at) ?? childFault(node, at);
}

function ownFault(node: Readonly<Record<string, unknown>>, at: string): string | undefined {
  const { type, pattern, required } = node;
  if (type !== undefined && !(Array.isArray(type) ? type : [type]).every((name) => TYPES.has(name))) {
    return `${at}/type is no type`;
  }
  const count = COUNTS.find((name) => node[name] !== undefined && !Number.isInteger(node[name]));
  if (count !== undefined) return `${at}/${count} is no number`;
  if (required !== undefined && !(Array.isArray(required) && required.every((name) => typeof name === 'string'))) {
    return `${at}/required is no list of names`;
  }
  if (node['enum'] !== undefined && !Array.isArray(node['enum'])) return `${at}/enum is no list`;
  return pattern === undefined || isPattern(pattern) ? undefined : `${at}/pattern is no regular expression`;
}

function isPattern(pattern: unknown): boolean {
  try {
    return typeof pattern === 'string' && new RegExp(pattern, 'u') instanceof RegExp;
  } catch {
    return false;
  }
}

function childFault(node: Readonly<Record<string, unknown>>, at: string): string | undefined {
  for (const name of [...LISTS, ...MAPS, ...ONES]) {
    const child = node[name];
    if (child === undefined) continue;
    const children = ONES.includes(name) ? { '': child } : child;
    if (typeof children !== 'object' || children === null || Array.isArray(children) !== LISTS.includes(name)) {
      return `${at}/${name} is malformed`;
    }
    for (const [key, schema] of Object.entries(children)) {
      const fault = schemaFault(schema, `${at}/${name}${key === '' ? '' : `/${key}`}`);
      if (fault !== undefined) return fault;
    }
  }
  return undefined;
}

/** What is wrong with a value by its schema, as `path: message`; undefined if it is valid. */
export function valueChecker(schema: object): (value: unknown) => string | undefined {
  const compiled = Compile(schema);
  return (value) => {
    if (compiled.Check(value)) return undefined;
    const [, [first]] = compiled.Errors(value);
    return first === undefined ? 'invalid' : `${first.instancePath || '/'}: ${first.message}`;
  };
}

/** The fields of a message by its schema, in any of its forms. */
export function fieldsOf(schema: unknown): ReadonlySet<string> {
  const fields = new Set(Object.keys(membersOf(membersOf(schema)['properties'])));
  for (const form of formsOf(schema)) for (const name of fieldsOf(form)) fields.add(name);
  return fields;
}

const formsOf = (schema: unknown): readonly unknown[] => LISTS.flatMap((name) => listOf(membersOf(schema)[name]));

/** Members of a value that its schema does not declare, as paths; an object without declared members is open. */
export function unknownFields(schema: unknown, value: unknown, at = ''): readonly string[] {
  if (Array.isArray(value)) {
    const { items } = membersOf(schema);
    return items === undefined ? [] : value.flatMap((item, index) => unknownFields(items, item, `${at}/${index}`));
  }
  if (typeof value !== 'object' || value === null) return [];
  const known = fieldsOf(schema);
  const { patternProperties, additionalProperties } = membersOf(schema);
  if (known.size === 0 || patternProperties !== undefined || additionalProperties !== undefined) return [];
  return Object.entries(value).flatMap(([name, member]) => {
    if (!known.has(name)) return [`${at}/${name}`];
    const declared = [schema, ...formsOf(schema)].flatMap((form) => {
      const own = membersOf(membersOf(form)['properties'])[name];
      return own === undefined ? [] : [own];
    });
    // Declared in several forms: unknown is what none of them knows.
    const [first = [], ...others] = declared.map((own) => unknownFields(own, member, `${at}/${name}`));
    return first.filter((path) => others.every((paths) => paths.includes(path)));
  });
}
