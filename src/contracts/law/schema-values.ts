// What a schema says of a value by itself: types, literal values, bounds, patterns, formats, defaults.
import { type ChangeKind, found, type Found } from './schema-change.ts';
import { isSettled, type Json, keywordsOf, literalsOf, sameNodes } from './schema-node.ts';

const KINDS = ['null', 'boolean', 'object', 'array', 'string', 'integer', 'fraction'] as const;
type Kind = (typeof KINDS)[number];

function kindsNamed(name: unknown): readonly Kind[] {
  if (name === 'number') return ['integer', 'fraction'];
  return KINDS.filter((kind) => kind === name);
}

const kindOf = (value: unknown): Kind => {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'fraction';
  return typeof value === 'boolean' ? 'boolean' : typeof value === 'string' ? 'string' : 'object';
};

/** Which kinds of values can be valid, by `type` and by the literals. */
function kindsOf(node: Json): ReadonlySet<Kind> {
  const { type } = node;
  const named = type === undefined ? KINDS : (Array.isArray(type) ? type : [type]).flatMap(kindsNamed);
  const literal = literalsOf(node)?.map(kindOf);
  return new Set(literal === undefined ? named : named.filter((kind) => literal.includes(kind)));
}

const told = (kinds: ReadonlySet<Kind>): string =>
  kinds.size === KINDS.length
    ? 'anything'
    : [...kinds]
        .flatMap((kind) =>
          kind === 'fraction' ? ['number'] : kind === 'integer' && kinds.has('fraction') ? [] : [kind],
        )
        .join(' or ') || 'nothing';

export function typeChanges(old: Json, now: Json, path: string): readonly Found[] {
  const [before, after] = [kindsOf(old), kindsOf(now)];
  const isNarrower = [...before].some((kind) => !after.has(kind));
  const isWider = [...after].some((kind) => !before.has(kind));
  const what = `${told(before)} became ${told(after)}`;
  if (isNarrower && isWider) return [found(path, 'type_changed', 'both', `${what}: neither reads the other's values`)];
  if (isNarrower) return [found(path, 'type_narrowed', 'consumer', `${what}: values of old senders are refused`)];
  return isWider ? [found(path, 'type_widened', 'producer', `${what}: old readers refuse the new values`)] : [];
}

export function literalChanges(old: Json, now: Json, path: string): readonly Found[] {
  const [before, after] = [literalsOf(old), literalsOf(now)];
  if (before === undefined && after === undefined) return [];
  const list = (values: readonly unknown[]): string => values.map((value) => JSON.stringify(value)).join(', ');
  if (before === undefined) {
    return [found(path, 'enum_shrunk', 'consumer', `only ${list(after ?? [])} remain of all values`)];
  }
  if (after === undefined) return [found(path, 'enum_grown', 'producer', `any value beside ${list(before)}`)];
  const gone = before.filter((value) => !after.some((other) => sameNodes(value, other)));
  const come = after.filter((value) => !before.some((other) => sameNodes(value, other)));
  if (before.length === 1 && after.length === 1 && gone.length === 1) {
    return [found(path, 'const_changed', 'both', `${list(before)} became ${list(after)}`)];
  }
  return [
    ...(gone.length === 0 ? [] : [found(path, 'enum_shrunk', 'consumer', `${list(gone)} is refused now`)]),
    ...(come.length === 0 ? [] : [found(path, 'enum_grown', 'producer', `old readers do not know ${list(come)}`)]),
  ];
}

/** Lower bounds: higher is tighter. Upper bounds are read with the sign turned. */
const LENGTHS: Readonly<Record<string, 1 | -1>> = {
  minLength: 1,
  maxLength: -1,
  minItems: 1,
  maxItems: -1,
  minProperties: 1,
  maxProperties: -1,
};

interface Bound {
  readonly at: number;
  readonly isOpen: boolean;
}
const UNBOUND: Bound = { at: -Infinity, isOpen: false };

const numberOf = (value: unknown): number | undefined => (typeof value === 'number' ? value : undefined);

function edge(node: Json, closed: string, open: string, sign: 1 | -1): Bound {
  const [shut, ajar] = [numberOf(node[closed]), numberOf(node[open])];
  const bounds: Bound[] = [];
  if (shut !== undefined) bounds.push({ at: sign * shut, isOpen: false });
  if (ajar !== undefined) bounds.push({ at: sign * ajar, isOpen: true });
  return bounds.reduce((tightest, bound) => (isTighter(bound, tightest) ? bound : tightest), UNBOUND);
}

const isTighter = (one: Bound, other: Bound): boolean =>
  one.at > other.at || (one.at === other.at && one.isOpen && !other.isOpen);

export function boundChanges(old: Json, now: Json, path: string): readonly Found[] {
  const changes: Found[] = [];
  const compare = (name: string, before: Bound, after: Bound, sign: 1 | -1): void => {
    const tell = ({ at, isOpen }: Bound): string =>
      at === -Infinity ? 'none' : `${sign * at}${isOpen ? ', not included' : ''}`;
    const what = `${name} ${tell(before)} became ${tell(after)}`;
    if (isTighter(after, before)) changes.push(tightened(path, what));
    if (isTighter(before, after)) changes.push(loosened(path, what));
  };
  for (const [name, sign] of Object.entries(LENGTHS)) {
    // No bound at the lower end is a bound of nothing: a length is never negative.
    const read = (node: Json): Bound => {
      const at = numberOf(node[name]);
      if (at === undefined) return sign === 1 ? { at: 0, isOpen: false } : UNBOUND;
      return { at: sign * at, isOpen: false };
    };
    compare(name, read(old), read(now), sign);
  }
  for (const [closed, open, sign] of [
    ['minimum', 'exclusiveMinimum', 1],
    ['maximum', 'exclusiveMaximum', -1],
  ] as const) {
    compare(closed, edge(old, closed, open, sign), edge(now, closed, open, sign), sign);
  }
  const isUnique = (node: Json): boolean => node['uniqueItems'] === true;
  if (isUnique(now) && !isUnique(old)) changes.push(tightened(path, 'items must be unique now'));
  if (isUnique(old) && !isUnique(now)) changes.push(loosened(path, 'items may repeat now'));
  return [...changes, ...multipleChanges(old, now, path)];
}

const tightened = (path: string, what: string): Found =>
  found(path, 'bound_tightened', 'consumer', `${what}: values of old senders may be refused`);
const loosened = (path: string, what: string): Found =>
  found(path, 'bound_loosened', 'producer', `${what}: old readers may refuse the new values`);

function multipleChanges(old: Json, now: Json, path: string): readonly Found[] {
  const [before, after] = [numberOf(old['multipleOf']), numberOf(now['multipleOf'])];
  if (before === after) return [];
  const what = `multipleOf ${before ?? 'none'} became ${after ?? 'none'}`;
  // Of fractions nobody can say, as validators round.
  const divides = (part: number | undefined, whole: number | undefined): boolean =>
    part === undefined ||
    (whole !== undefined && Number.isInteger(part) && Number.isInteger(whole) && whole % part === 0);
  if (divides(after, before)) return [loosened(path, what)];
  if (divides(before, after)) return [tightened(path, what)];
  return [found(path, 'bound_changed', 'both', what)];
}

const TEXTS = {
  pattern: ['pattern_added', 'pattern_removed', 'pattern_changed'],
  format: ['format_added', 'format_removed', 'format_changed'],
} as const satisfies Record<string, readonly [ChangeKind, ChangeKind, ChangeKind]>;

export const textChanges = (old: Json, now: Json, path: string): readonly Found[] =>
  Object.entries(TEXTS).flatMap(([name, [added, removed, changed]]): readonly Found[] => {
    if (sameNodes(old[name], now[name])) return [];
    const [before, after] = [JSON.stringify(old[name]), JSON.stringify(now[name])];
    if (old[name] === undefined) return [found(path, added, 'consumer', `${name} ${after} is demanded now`)];
    if (now[name] === undefined) return [found(path, removed, 'producer', `${name} ${before} is no longer kept to`)];
    return [found(path, changed, 'both', `${name} ${before} became ${after}`)];
  });

export function defaultChanges(old: Json, now: Json, path: string): readonly Found[] {
  if (sameNodes(old['default'], now['default'])) return [];
  const after = JSON.stringify(now['default']) ?? 'nothing';
  if (!Object.hasOwn(old, 'default')) return [found(path, 'default_added', 'none', `absent now means ${after}`)];
  const before = JSON.stringify(old['default']);
  return [found(path, 'default_changed', 'both', `absent meant ${before} and means ${after} now`)];
}

const UNDERSTOOD: ReadonlySet<string> = new Set([
  ...Object.keys(LENGTHS),
  'type',
  'enum',
  'const',
  'pattern',
  'format',
  'default',
  'multipleOf',
  'uniqueItems',
  'minimum',
  'maximum',
  'exclusiveMinimum',
  'exclusiveMaximum',
  'required',
  'properties',
  'patternProperties',
  'additionalProperties',
  'items',
  'anyOf',
  'oneOf',
  'allOf',
  '$ref',
]);

/** What nobody here understands must stay as it was. */
export const unknownChanges = (old: Json, now: Json, path: string): readonly Found[] =>
  [...new Set([...keywordsOf(old), ...keywordsOf(now)])]
    .filter((keyword) => !UNDERSTOOD.has(keyword) && !isSettled(old[keyword], now[keyword]))
    .map((keyword) =>
      found(path, 'keyword_changed', 'both', `${keyword} changed, and what that means is not judged here`),
    );
