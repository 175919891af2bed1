// Checks a JSON value against a table that says what it may be. One walk finds everything that is wrong and goes on;
// it never throws, and it goes no deeper than the table. Knows nothing of policies but the two versions of their format.
import { type Findings, pathTo } from './issue.ts';
import { nearest } from '../core/nearest.ts';
import { mustBe } from './must-be.ts';

export type Shape =
  | { readonly kind: 'number'; readonly min: number; readonly max: number; readonly isInteger: boolean }
  | { readonly kind: 'boolean' }
  | {
      readonly kind: 'text';
      readonly charsMin: number;
      readonly charsMax: number;
      readonly pattern?: RegExp;
      /** The pattern in words. */
      readonly told?: string;
    }
  | { readonly kind: 'word'; readonly words: readonly string[] }
  | { readonly kind: 'scalar' }
  | { readonly kind: 'list'; readonly of: Shape; readonly min: number; readonly max: number }
  | { readonly kind: 'map'; readonly key: RegExp; readonly of: Shape; readonly min: number; readonly max: number }
  | { readonly kind: 'record'; readonly fields: Fields }
  /** An object whose members are the author's own. */
  | { readonly kind: 'open' }
  /** Accepted without effect. */
  | { readonly kind: 'idle' }
  /** Checked by a function of its own. */
  | { readonly kind: 'own'; readonly check: (value: unknown, path: string, context: Context) => void };

export interface Field {
  readonly shape: Shape;
  readonly isRequired?: true;
  /** Only in documents of version 2. */
  readonly isV2?: true;
}

export type Fields = Readonly<Record<string, Field>>;

/** What a check needs beside the value. */
export interface Context {
  readonly findings: Findings;
  readonly major: 1 | 2;
}

/** Of a longer list nobody reads the end. */
const TOLD_MAX = 16;

type Members = Readonly<Record<string, unknown>>;
type ShapeOf<Kind extends Shape['kind']> = Extract<Shape, { readonly kind: Kind }>;

export const isMembers = (value: unknown): value is Members =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Reports everything in `value` that is not of the shape. */
export function check(value: unknown, shape: Shape, path: string, context: Context): void {
  const { findings } = context;
  switch (shape.kind) {
    case 'number':
      return checkNumber(value, shape, path, findings);
    case 'boolean':
      if (typeof value !== 'boolean') findings.error(path, 'type', mustBe('true or false', value));
      return;
    case 'text':
      return checkText(value, shape, path, findings);
    case 'word':
      return checkWord(value, shape, path, findings);
    case 'scalar':
      if (typeof value === 'object') findings.error(path, 'type', mustBe('a text, a number, or true or false', value));
      return;
    case 'list':
      return checkList(value, shape, path, context);
    case 'map':
      return checkMap(value, shape, path, context);
    case 'record':
      return checkRecord(value, shape.fields, path, context);
    case 'open':
      if (!isMembers(value)) findings.error(path, 'type', mustBe('an object', value));
      return;
    case 'idle':
      if (!isMembers(value)) findings.error(path, 'type', mustBe('an object', value));
      else findings.warning(path, 'no_effect', 'is accepted and has no effect');
      return;
    case 'own':
      shape.check(value, path, context);
  }
}

function checkNumber(value: unknown, shape: ShapeOf<'number'>, path: string, findings: Findings): void {
  const { min, max, isInteger } = shape;
  const what = isInteger ? 'an integer' : 'a number';
  if (typeof value !== 'number' || (isInteger && !Number.isInteger(value))) {
    findings.error(path, 'type', mustBe(what, value));
  } else if (!(value >= min && value <= max)) {
    findings.error(path, 'range', `must be ${what} from ${min} to ${max}`);
  }
}

function checkText(value: unknown, shape: ShapeOf<'text'>, path: string, findings: Findings): void {
  const { charsMin, charsMax, pattern, told } = shape;
  if (typeof value !== 'string') findings.error(path, 'type', mustBe('a text', value));
  else if (value.length > charsMax) findings.error(path, 'too_large', `must have at most ${charsMax} characters`);
  else if (value.length < charsMin) findings.error(path, 'range', `must have at least ${charsMin} characters`);
  else if (pattern?.test(value) === false) findings.error(path, 'pattern', `must ${told ?? `match ${pattern.source}`}`);
}

function checkWord(value: unknown, shape: ShapeOf<'word'>, path: string, findings: Findings): void {
  if (typeof value !== 'string') return findings.error(path, 'type', mustBe('a text', value));
  if (!shape.words.includes(value)) findings.error(path, 'pattern', `must be one of ${shape.words.join(', ')}`);
}

function checkList(value: unknown, shape: ShapeOf<'list'>, path: string, context: Context): void {
  if (!Array.isArray(value)) return context.findings.error(path, 'type', mustBe('a list', value));
  checkCount(value.length, shape, path, context.findings);
  for (const [index, item] of value.slice(0, shape.max).entries()) check(item, shape.of, pathTo(path, index), context);
}

function checkMap(value: unknown, shape: ShapeOf<'map'>, path: string, context: Context): void {
  if (!isMembers(value)) return context.findings.error(path, 'type', mustBe('an object', value));
  const keys = Object.keys(value);
  checkCount(keys.length, shape, path, context.findings);
  for (const key of keys.slice(0, shape.max)) {
    const memberPath = pathTo(path, key);
    if (!shape.key.test(key)) context.findings.error(memberPath, 'pattern', `the name must match ${shape.key.source}`);
    check(value[key], shape.of, memberPath, context);
  }
}

function checkCount(count: number, limits: { min: number; max: number }, path: string, findings: Findings): void {
  if (count > limits.max) findings.error(path, 'too_many', `must have at most ${limits.max} items`);
  if (count < limits.min) findings.error(path, 'range', `must have at least ${limits.min} items`);
}

function checkRecord(value: unknown, fields: Fields, path: string, context: Context): void {
  const { findings, major } = context;
  if (!isMembers(value)) return findings.error(path, 'type', mustBe('an object', value));
  for (const [name, field] of Object.entries(fields)) {
    const isGiven = Object.hasOwn(value, name) && value[name] !== undefined;
    if (isGiven && field.isV2 === true && major === 1) {
      findings.error(pathTo(path, name), 'requires_version_2', `'${name}' needs version 2`);
    } else if (isGiven) check(value[name], field.shape, pathTo(path, name), context);
    else if (field.isRequired === true) findings.error(pathTo(path, name), 'required', `'${name}' is required`);
  }
  for (const key of Object.keys(value)) {
    if (!Object.hasOwn(fields, key))
      findings.error(pathTo(path, key), 'unknown_key', unknownKey(key, fields, findings));
  }
}

function unknownKey(key: string, fields: Fields, findings: Findings): string {
  if (findings.isFull) return 'unknown key';
  const names = Object.keys(fields);
  const guess = nearest(key, names);
  if (guess !== undefined) return `unknown key; did you mean '${guess}'?`;
  return names.length > TOLD_MAX ? 'unknown key' : `unknown key; the keys here are ${names.join(', ')}`;
}
