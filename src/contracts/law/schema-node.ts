// One node of a JSON Schema (2020-12) as the diff reads it.
import { isDeepStrictEqual } from 'node:util';

export type Json = Readonly<Record<string, unknown>>;
export type Node = boolean | Json;

export const isJson = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The schema of every value; one object, as a node is known by its identity where schemas are recursive. */
export const ANY: Json = {};

export const asNode = (value: unknown): Node => (typeof value === 'boolean' || isJson(value) ? value : ANY);

export const asNodes = (value: unknown): readonly Node[] => (Array.isArray(value) ? value.map(asNode) : []);

export const fieldsOf = (node: Json, keyword: string): Readonly<Record<string, unknown>> =>
  isJson(node[keyword]) ? node[keyword] : {};

/** Words that say nothing about which messages are valid. `$defs` counts where it is referred to. */
const ANNOTATIONS: ReadonlySet<string> = new Set([
  '$schema',
  '$id',
  '$comment',
  '$defs',
  'definitions',
  'title',
  'description',
  'examples',
  'deprecated',
]);

export const keywordsOf = (node: Json): readonly string[] => Object.keys(node).filter((key) => !ANNOTATIONS.has(key));

/** Equal in all that matters, member by member. */
export const sameNodes = (one: unknown, other: unknown): boolean => isDeepStrictEqual(one, other);

/** Equal, and without references whose targets may have changed. */
export const isSettled = (one: unknown, other: unknown): boolean =>
  sameNodes(one, other) && !(JSON.stringify(one) ?? '').includes('"$ref"');

/** The schema that a local reference names; undefined for one outside of the document. */
export function resolve(root: Node, reference: unknown): Node | undefined {
  if (reference === '#') return root;
  if (typeof reference !== 'string' || !reference.startsWith('#/')) return undefined;
  let at: unknown = root;
  for (const part of reference.slice(2).split('/')) {
    const name = decodeURIComponent(part).replaceAll('~1', '/').replaceAll('~0', '~');
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, name)) return undefined;
    at = (at as Json)[name];
  }
  return typeof at === 'boolean' || isJson(at) ? at : undefined;
}

/** With one of these beside `properties`, a sender may have reason to write members that `properties` does not name. */
const COMPOSERS = ['allOf', 'anyOf', 'oneOf', 'not', 'if', 'then', 'else', 'dependentSchemas', 'dependentRequired'];
const INERT: ReadonlySet<string> = new Set(['required', 'type', 'maxProperties', '$comment', 'title']);

/** Whether senders may write more than the members that this node itself declares. */
export function isComposed(node: Json): boolean {
  if (node['$ref'] !== undefined && keywordsOf(node).length > 1) return true;
  const count = Object.keys(fieldsOf(node, 'properties')).length;
  if (count > 0 && typeof node['minProperties'] === 'number' && node['minProperties'] > count) return true;
  if (literalsOf(node)?.some((value) => typeof value === 'object' && value !== null) === true) return true;
  const declaring = COMPOSERS.filter((keyword) => node[keyword] !== undefined && !isInert(node, node[keyword]));
  if (declaring.length === 0) return false;
  const isUnion = declaring.length === 1 && (declaring[0] === 'anyOf' || declaring[0] === 'oneOf');
  return !(isUnion && !hasMembers(node));
}

const hasMembers = (node: Json): boolean =>
  ['properties', 'patternProperties', 'additionalProperties', 'items', 'prefixItems', 'contains'].some(
    (keyword) => node[keyword] !== undefined,
  );

/** Alternatives that only choose among the declared members, for example one of two required ones. */
const isInert = (node: Json, value: unknown): boolean =>
  (Array.isArray(value) ? value : [value]).every(
    (branch) =>
      isJson(branch) &&
      Object.keys(branch).every((key) => INERT.has(key)) &&
      namesIn(branch['required']).every((name) => Object.hasOwn(fieldsOf(node, 'properties'), name)),
  );

export const namesIn = (value: unknown): readonly string[] =>
  Array.isArray(value) ? value.filter((name) => typeof name === 'string') : [];

/** The only values that are valid, of `enum` and `const`. */
export function literalsOf(node: Json): readonly unknown[] | undefined {
  const listed: readonly unknown[] | undefined = Array.isArray(node['enum']) ? node['enum'] : undefined;
  if (!Object.hasOwn(node, 'const')) return listed;
  const only = node['const'];
  return listed === undefined || listed.some((value) => sameNodes(value, only)) ? [only] : [];
}
