// What changed between two JSON Schemas of a message, as its senders and readers meet it.
// D1. A direction without a breaking change is safe: what a sender of one schema writes, a reader of the other accepts.
// D2. Senders write declared fields only, readers accept unknown ones (contracts 1.2), so a new optional field breaks nobody;
//     where a schema declares no fields, or composes schemas, a sender may have written anything that was valid.
// D3. A keyword that is not understood is breaking when it changes. In doubt a change is told as breaking, never as safe.
import { alternativeChanges, unionChanges } from './schema-alternatives.ts';
import { type Change, type Direction, found, type Found, judge } from './schema-change.ts';
import { memberChanges } from './schema-members.ts';
import {
  ANY,
  asNode,
  asNodes,
  isComposed,
  isSettled,
  type Json,
  keywordsOf,
  type Node,
  resolve,
  sameNodes,
} from './schema-node.ts';
import {
  boundChanges,
  defaultChanges,
  literalChanges,
  textChanges,
  typeChanges,
  unknownChanges,
} from './schema-values.ts';

/** Compares two nodes; the same in all files of the diff. */
export type Walk = (old: Node, now: Node, path: string, scope: Scope) => readonly Found[];

export interface Scope {
  readonly roots: { readonly old: Node; readonly now: Node };
  /** Senders may have written any valid member, not only declared ones. */
  readonly isOpen: boolean;
  /** Pairs that are being compared: a recursive schema is assumed to hold where it meets itself. */
  readonly active: ReadonlyMap<Node, ReadonlySet<Node>>;
  readonly walk: Walk;
}

/**
 * Every change of `now` against `old`, with whom it breaks; `breaking` speaks of the direction. The table of kinds is at
 * `CHANGE_KINDS`. Local references are followed, others must stay the same. Throws nothing: what is no schema is `true`.
 */
export function diffSchemas(old: unknown, now: unknown, direction: Direction): readonly Change[] {
  const roots = { old: asNode(old), now: asNode(now) };
  if (sameNodes(roots.old, roots.now)) return [];
  const scope: Scope = { roots, isOpen: false, active: new Map(), walk };
  return walk(roots.old, roots.now, '', scope).map((change) => judge(change, direction));
}

function walk(old: Node, now: Node, path: string, scope: Scope): readonly Found[] {
  if (typeof old === 'boolean' || typeof now === 'boolean') return wholeChanges(old, now, path, scope);
  if (isSettled(old, now)) return [];
  if (isReference(old) || isReference(now)) return referenceChanges(old, now, path, scope);
  const isOpen = scope.isOpen || isComposed(old) || isComposed(now);
  const inner: Scope = isOpen === scope.isOpen ? scope : { ...scope, isOpen, active: new Map() };
  return nodeChanges(old, now, path, inner);
}

function nodeChanges(old: Json, now: Json, path: string, scope: Scope): readonly Found[] {
  const entangled = ENTANGLED.find((keyword) => old[keyword] !== undefined || now[keyword] !== undefined);
  if (entangled !== undefined) {
    return [found(path, 'keyword_changed', 'both', `a change beside ${entangled} is not judged here`)];
  }
  if (isUnion(old) !== isUnion(now)) return unionChanges(shapesOf(old), shapesOf(now), path, scope);
  return [
    ...typeChanges(old, now, path),
    ...literalChanges(old, now, path),
    ...boundChanges(old, now, path),
    ...textChanges(old, now, path),
    ...defaultChanges(old, now, path),
    ...memberChanges(old, now, path, scope),
    ...itemChanges(old, now, path, scope),
    ...alternativeChanges(old, now, path, scope),
    ...conjunctionChanges(old, now, path, scope),
    ...unknownChanges(old, now, path),
  ];
}

/** Words whose meaning depends on all that stands around them. */
const ENTANGLED = ['unevaluatedProperties', 'unevaluatedItems', '$dynamicRef', '$recursiveRef'];

/** Nothing but alternatives. */
const isUnion = (node: Json): boolean => {
  const keywords = keywordsOf(node);
  return keywords.length === 1 && keywords[0] === 'anyOf';
};
const shapesOf = (node: Json): readonly Node[] => (isUnion(node) ? asNodes(node['anyOf']) : [node]);

/** `true` and `false` as schemas. */
function wholeChanges(old: Node, now: Node, path: string, scope: Scope): readonly Found[] {
  if (old === now) return [];
  if (now === false) return [found(path, 'type_narrowed', 'consumer', 'nothing is accepted any more')];
  if (old === false) return [found(path, 'type_widened', 'producer', 'what was refused is accepted now')];
  return walk(old === true ? ANY : old, now === true ? ANY : now, path, scope);
}

function itemChanges(old: Json, now: Json, path: string, scope: Scope): readonly Found[] {
  const [before = true, after = true] = [old['items'], now['items']];
  if (Array.isArray(before) || Array.isArray(after)) {
    if (isSettled(before, after)) return [];
    return [found(path, 'keyword_changed', 'both', 'items as a list changed, and what that means is not judged here')];
  }
  return walk(asNode(before), asNode(after), `${path}/*`, scope);
}

/** Every part of `allOf` must hold: parts are compared in their order; other numbers of parts are not judged. */
function conjunctionChanges(old: Json, now: Json, path: string, scope: Scope): readonly Found[] {
  const [before, after] = [old['allOf'], now['allOf']];
  if (before === undefined && after === undefined) return [];
  if (!Array.isArray(before) || !Array.isArray(after) || before.length !== after.length) {
    return [found(path, 'keyword_changed', 'both', 'the parts of allOf changed')];
  }
  return before.flatMap((part, at) => walk(asNode(part), asNode(after[at]), path, scope));
}

const isReference = (node: Json): boolean => node['$ref'] !== undefined;

function referenceChanges(old: Json, now: Json, path: string, scope: Scope): readonly Found[] {
  const [before, after] = [followed(old, scope.roots.old), followed(now, scope.roots.now)];
  if (before === undefined || after === undefined) {
    if (sameNodes(old, now)) return [];
    return [found(path, 'keyword_changed', 'both', `${named(old)} became ${named(now)}, which is not judged here`)];
  }
  // A target is the same node wherever it is named; with siblings it is made anew, and the reference stands for it.
  const [one, other] = [isBare(old) ? before : old, isBare(now) ? after : now];
  const met = scope.active.get(one) ?? new Set<Node>();
  if (met.has(other)) return [];
  const active = new Map([...scope.active, [one, new Set([...met, other])]]);
  const isOpen = scope.isOpen || isComposed(old) || isComposed(now);
  return walk(before, after, path, { ...scope, isOpen, active: isOpen === scope.isOpen ? active : new Map() });
}

const isBare = (node: Json): boolean => keywordsOf(node).length === 1;

const named = (node: Json): string => (isReference(node) ? `$ref ${String(node['$ref'])}` : 'a schema');

/** What a node refers to, with what stands beside the reference as a further part; undefined for a foreign document. */
function followed(node: Json, root: Node): Node | undefined {
  if (!isReference(node)) return node;
  const target = resolve(root, node['$ref']);
  const rest = keywordsOf(node).filter((keyword) => keyword !== '$ref');
  if (target === undefined || rest.length === 0) return target;
  const { allOf } = node;
  const beside = Object.fromEntries(rest.filter((keyword) => keyword !== 'allOf').map((key) => [key, node[key]]));
  return { ...beside, allOf: [target, ...asNodes(allOf)] };
}
