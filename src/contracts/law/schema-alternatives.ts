// Alternatives: `anyOf`, and `oneOf` where its alternatives exclude each other by a field with a constant.
import { found, type Found } from './schema-change.ts';
import type { Scope } from './schema-diff.ts';
import {
  asNodes,
  fieldsOf,
  isJson,
  isSettled,
  type Json,
  literalsOf,
  namesIn,
  type Node,
  sameNodes,
} from './schema-node.ts';

export const alternativeChanges = (old: Json, now: Json, path: string, scope: Scope): readonly Found[] => [
  ...anyOfChanges(old, now, path, scope),
  ...oneOfChanges(old, now, path, scope),
];

function anyOfChanges(old: Json, now: Json, path: string, scope: Scope): readonly Found[] {
  const [before, after] = [old['anyOf'], now['anyOf']];
  if (before === undefined && after === undefined) return [];
  if (before !== undefined && after !== undefined) return unionChanges(asNodes(before), asNodes(after), path, scope);
  // One side only: its alternatives stand against the whole of the other.
  if (after !== undefined) {
    const isServed = asNodes(after).some((node) => reads('consumer', old, node, scope));
    return isServed ? [] : [found(path, 'alternative_removed', 'consumer', 'one of several shapes is demanded now')];
  }
  const isServed = asNodes(before).some((node) => reads('producer', node, now, scope));
  return isServed
    ? []
    : [found(path, 'alternative_added', 'producer', 'it need not be one of several shapes any more')];
}

function oneOfChanges(old: Json, now: Json, path: string, scope: Scope): readonly Found[] {
  const [before, after] = [old['oneOf'], now['oneOf']];
  if (isSettled(before, after)) return [];
  if (before !== undefined && after !== undefined && areApart(asNodes(before)) && areApart(asNodes(after))) {
    return unionChanges(asNodes(before), asNodes(after), path, scope);
  }
  return [found(path, 'keyword_changed', 'both', 'oneOf changed, and its shapes may overlap')];
}

const reads = (by: 'consumer' | 'producer', old: Node, now: Node, scope: Scope): boolean =>
  !scope.walk(old, now, '', scope).some(({ breaks }) => breaks[by]);

export function unionChanges(
  before: readonly Node[],
  after: readonly Node[],
  path: string,
  scope: Scope,
): readonly Found[] {
  const free = new Set(after);
  const changes: Found[] = [];
  for (const [at, was] of before.entries()) {
    const is = partnerOf(was, at, before, after, free, scope);
    const name = nameOf(was, at);
    if (is !== undefined) {
      free.delete(is);
      changes.push(...scope.walk(was, is, `${path}/anyOf:${name}`, scope));
    } else if (after.some((node) => reads('consumer', was, node, scope))) {
      changes.push(found(`${path}/anyOf:${name}`, 'alternative_removed', 'none', 'another shape takes its place'));
    } else {
      changes.push(
        found(
          `${path}/anyOf:${name}`,
          'alternative_removed',
          'consumer',
          'a shape that old senders write is refused now',
        ),
      );
    }
  }
  for (const is of free) {
    const isKnown = before.some((node) => reads('producer', node, is, scope));
    changes.push(
      found(
        `${path}/anyOf:${nameOf(is, after.indexOf(is))}`,
        'alternative_added',
        isKnown ? 'none' : 'producer',
        isKnown ? 'a shape that an old one includes' : 'a new shape that old readers refuse',
      ),
    );
  }
  return changes;
}

/** The alternative that is this one of the other side: equal, of the same mark, or at the same place without marks. */
function partnerOf(
  was: Node,
  at: number,
  before: readonly Node[],
  after: readonly Node[],
  free: ReadonlySet<Node>,
  scope: Scope,
): Node | undefined {
  const same = after.find((node) => free.has(node) && sameNodes(node, was));
  if (same !== undefined) return same;
  const mark = markOf(was);
  if (mark !== undefined) return after.find((node) => free.has(node) && sameNodes(markOf(node), mark));
  const here = after[at];
  if (before.length === after.length && here !== undefined && free.has(here) && markOf(here) === undefined) return here;
  return after.find((node) => free.has(node) && reads('consumer', was, node, scope));
}

interface Mark {
  readonly field: string;
  readonly value: string;
}

/** The constant of a required field that tells an alternative from others, for example `type=chunk`. */
function markOf(node: Node): Mark | undefined {
  if (!isJson(node)) return undefined;
  const required = namesIn(node['required']);
  for (const [field, schema] of Object.entries(fieldsOf(node, 'properties'))) {
    const [value, ...more] = (isJson(schema) ? literalsOf(schema) : undefined) ?? [];
    if (typeof value === 'string' && more.length === 0 && required.includes(field)) return { field, value };
  }
  return undefined;
}

const nameOf = (node: Node, at: number): string => {
  const mark = markOf(node);
  return mark === undefined ? String(at) : `${mark.field}=${mark.value}`;
};

/** Whether no value fits two of them: all are objects with another constant in the same field. */
function areApart(nodes: readonly Node[]): boolean {
  const marks = nodes.map((node) => (isJson(node) && node['type'] === 'object' ? markOf(node) : undefined));
  const values = new Set(marks.map((mark) => mark?.value));
  return (
    !marks.includes(undefined) && new Set(marks.map((mark) => mark?.field)).size === 1 && values.size === marks.length
  );
}
