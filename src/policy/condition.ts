// What a condition may look at, and a compiled `when` object (policy 3.1). It always ends, has no side effect and cannot
// throw: what is missing or of another type is false. The words that the router itself writes are never read from the
// caller's context.
import type { Known, Variables } from './variables.ts';

/** What a condition may look at; one for each decision, so that its conditions share the variables of expressions. */
export interface Scope extends Known {
  /** Made by the first expression that is evaluated; a copy of a scope with other facts must not take it along. */
  variables?: Variables;
}

export type Condition = (scope: Scope) => boolean;

/** Reads one operand or context value; undefined if it is missing. */
export type Read = (scope: Scope) => unknown;

export type Operator = '==' | '!=' | '>' | '<' | '>=' | '<=' | 'in';

type Scalar = string | number | boolean | null;

const OWN_WORDS: ReadonlyMap<string, Read> = new Map<string, Read>([
  ['status', (scope) => scope.status],
  ['error_class', (scope) => scope.errorClass],
  ['current_provider', (scope) => scope.currentProvider],
  ['attempt', (scope) => scope.attempt],
  ['message_type', (scope) => scope.facts.taskType],
]);

const COMPARE: Readonly<Record<Operator, (left: unknown, right: unknown) => boolean>> = {
  '==': (left, right) => areAlike(left, right) && left === right,
  '!=': (left, right) => areAlike(left, right) && left !== right,
  '>': (left, right) => order(left, right) === 1,
  '<': (left, right) => order(left, right) === -1,
  '>=': (left, right) => (order(left, right) ?? -1) >= 0,
  '<=': (left, right) => (order(left, right) ?? 1) <= 0,
  in: (left, right) => isScalar(left) && Array.isArray(right) && right.includes(left),
};

export const isOperator = (word: string): word is Operator => Object.hasOwn(COMPARE, word);

export const isScalar = (value: unknown): value is Scalar =>
  value === null || typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean';

/** Reads `context.<names joined by dots>`; only own members of objects count. */
export function readContext(names: readonly string[]): Read {
  const [first = '', ...rest] = names;
  const own = OWN_WORDS.get(first) ?? ((scope: Scope) => member(scope.facts.context, first));
  return (scope) => rest.reduce(member, own(scope));
}

/** `key: value` and `key: [v1, v2]`: the value equals one of `wanted`, or a list has one of them. */
export function equalsAny(key: string, wanted: readonly Scalar[]): Condition {
  const read = readContext([key]);
  const set = new Set<unknown>(wanted);
  return (scope) => {
    const value = read(scope);
    return Array.isArray(value) ? value.some((item) => set.has(item)) : set.has(value);
  };
}

export function compare(operator: Operator, left: Read, right: Read): Condition {
  const holds = COMPARE[operator];
  return (scope) => holds(left(scope), right(scope));
}

export const all =
  (conditions: readonly Condition[]): Condition =>
  (scope) =>
    conditions.every((holds) => holds(scope));

function member(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || !Object.hasOwn(value, name))
    return undefined;
  return (value as Readonly<Record<string, unknown>>)[name];
}

const areAlike = (left: unknown, right: unknown): boolean =>
  isScalar(left) && isScalar(right) && typeof left === typeof right;

function order(left: unknown, right: unknown): -1 | 0 | 1 | undefined {
  if (typeof left === 'number' && typeof right === 'number') return left < right ? -1 : left > right ? 1 : 0;
  if (typeof left === 'string' && typeof right === 'string') return left < right ? -1 : left > right ? 1 : 0;
  return undefined;
}
