// Makes the values of expressions from JSON: integers become int (a bigint), other numbers double, objects maps.
// Maps and not objects, so that no name of a caller, `constructor` or `__proto__`, means anything to the evaluator.

export type CelValue = string | number | bigint | boolean | null | readonly CelValue[] | CelMap;
export type CelMap = ReadonlyMap<string, CelValue>;

/** Levels of lists and objects that are read; what lies deeper is missing. JSON that arrives has at most 64. */
const DEPTH_MAX = 64;
/** What one value weighs beside its text, in characters: comparing it costs about as much as comparing these. */
const VALUE_CHARS = 16;

export const NO_MAP: CelMap = new Map<string, CelValue>();

/** An integer that every number can hold exactly is an int, as in the text of the JSON. */
export const numberOf = (value: number): bigint | number => (Number.isSafeInteger(value) ? BigInt(value) : value);

/** A count; unknown or unreadable ones are 0. */
export const intOf = (value: number | undefined): bigint =>
  value === undefined || !Number.isFinite(value) ? 0n : BigInt(Math.round(value));

export function mapOf(members: Readonly<Record<string, unknown>>): Map<string, CelValue> {
  return membersOf(members, 1);
}

const labelMaps = new WeakMap<object, CelMap>();

/** The same as `mapOf`, made once for each frozen object. */
export function frozenMapOf(members: Readonly<Record<string, unknown>> | undefined): CelMap {
  if (members === undefined) return NO_MAP;
  let map = labelMaps.get(members);
  if (map === undefined) labelMaps.set(members, (map = mapOf(members)));
  return map;
}

/** How much text and how many values there are, in characters; counts no further than `max`. */
export function charsOf(value: unknown, max: number): number {
  if (typeof value === 'string') return VALUE_CHARS + value.length;
  let chars = VALUE_CHARS;
  if (typeof value !== 'object' || value === null) return chars;
  const entries: Iterable<readonly [unknown, unknown]> =
    value instanceof Map || Array.isArray(value) ? value.entries() : Object.entries(value);
  for (const [key, member] of entries) {
    chars += (typeof key === 'string' ? key.length : 0) + charsOf(member, max - chars);
    if (chars > max) break;
  }
  return chars;
}

function valueOf(value: unknown, depth: number): CelValue | undefined {
  if (typeof value === 'string' || typeof value === 'boolean' || value === null) return value;
  if (typeof value === 'number') return numberOf(value);
  if (typeof value !== 'object') return undefined;
  if (depth > DEPTH_MAX) return undefined;
  if (!Array.isArray(value)) return membersOf(value as Readonly<Record<string, unknown>>, depth + 1);
  const list: CelValue[] = [];
  for (const item of value) list.push(valueOf(item, depth + 1) ?? null);
  return list;
}

function membersOf(members: Readonly<Record<string, unknown>>, depth: number): Map<string, CelValue> {
  const map = new Map<string, CelValue>();
  for (const key of Object.keys(members)) {
    const value = valueOf(members[key], depth);
    if (value !== undefined) map.set(key, value);
  }
  return map;
}
