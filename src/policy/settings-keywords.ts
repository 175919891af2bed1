// The keywords of a settings' schema that look at one value alone; a keyword about another type says nothing.
import { readPattern } from './cel-pattern.ts';
import { type Findings, pathTo } from './issue.ts';
import { isMembers } from './shape.ts';

/** Of all patterns of a schema together: what one character of the settings costs at most. */
const INSTRUCTIONS_MAX = 2_000;

export type Tell = (path: string, message: string) => void;
export type Test = (value: unknown, path: string, tell: Tell) => void;

/** What is counted while a schema is read. */
export interface Reading {
  readonly findings: Findings;
  schemas: number;
  depth: number;
  instructions: number;
}

type Read = (given: unknown, path: string, reading: Reading) => Test;

export const passes: Test = () => undefined;

export const PLAIN_KEYWORDS: ReadonlyMap<string, Read> = new Map<string, Read>([
  ['type', typeIn],
  ['enum', (given, path, { findings }) => oneOf(given, path, findings)],
  ['const', (given, path, { findings }) => oneOf([given], path, findings)],
  ['required', requiredIn],
  ['pattern', patternIn],
  ['minimum', numeric((value, bound) => value >= bound, 'must be at least')],
  ['maximum', numeric((value, bound) => value <= bound, 'must be at most')],
  ['exclusiveMinimum', numeric((value, bound) => value > bound, 'must be above')],
  ['exclusiveMaximum', numeric((value, bound) => value < bound, 'must be below')],
  ['minLength', counted(charsOf, (count, bound) => count >= bound, 'characters at least')],
  ['maxLength', counted(charsOf, (count, bound) => count <= bound, 'characters at most')],
  ['minItems', counted(itemsOf, (count, bound) => count >= bound, 'items at least')],
  ['maxItems', counted(itemsOf, (count, bound) => count <= bound, 'items at most')],
]);

const TYPES: ReadonlyMap<unknown, (value: unknown) => boolean> = new Map<unknown, (value: unknown) => boolean>([
  ['object', isMembers],
  ['array', Array.isArray],
  ['string', (value) => typeof value === 'string'],
  ['number', (value) => typeof value === 'number'],
  ['integer', Number.isInteger],
  ['boolean', (value) => typeof value === 'boolean'],
  ['null', (value) => value === null],
]);

function typeIn(given: unknown, path: string, { findings }: Reading): Test {
  const names: readonly unknown[] = Array.isArray(given) ? given : [given];
  const are = names.flatMap((name) => TYPES.get(name) ?? []);
  if (are.length === 0 || are.length < names.length) return faulty(findings, path, 'must name types of JSON');
  return (value, at, tell) => {
    if (!are.some((is) => is(value))) tell(at, `must be of the type ${names.join(' or ')}`);
  };
}

function oneOf(values: unknown, path: string, findings: Findings): Test {
  if (!Array.isArray(values) || values.some((value) => typeof value === 'object' && value !== null))
    return faulty(findings, path, 'must be texts, numbers, true, false or null');
  const known = new Set<unknown>(values);
  return (value, at, tell) => {
    if (!known.has(value))
      tell(
        at,
        `must be ${values
          .map((one) => JSON.stringify(one))
          .join(' or ')
          .slice(0, 256)}`,
      );
  };
}

function requiredIn(given: unknown, path: string, { findings }: Reading): Test {
  if (!isTexts(given)) return faulty(findings, path, 'must be a list of names');
  return (value, at, tell) => {
    if (!isMembers(value)) return;
    for (const name of given) if (!Object.hasOwn(value, name)) tell(pathTo(at, name), 'is required');
  };
}

function patternIn(given: unknown, path: string, reading: Reading): Test {
  if (typeof given !== 'string') return faulty(reading.findings, path, 'must be a text');
  const read = readPattern(given);
  if (read.kind !== 'pattern') return faulty(reading.findings, path, read.message, 'pattern');
  reading.instructions += read.pattern.instructions;
  if (reading.instructions > INSTRUCTIONS_MAX)
    return faulty(reading.findings, path, 'the patterns of the schema are too large together', 'too_large');
  return (value, at, tell) => {
    if (typeof value === 'string' && !read.pattern.test(value)) tell(at, `must match ${given.slice(0, 256)}`);
  };
}

function numeric(holds: (value: number, bound: number) => boolean, words: string): Read {
  return (given, path, { findings }) => {
    if (typeof given !== 'number') return faulty(findings, path, 'must be a number');
    return (value, at, tell) => {
      if (typeof value === 'number' && !holds(value, given)) tell(at, `${words} ${given}`);
    };
  };
}

function counted(
  countOf: (value: unknown) => number | undefined,
  holds: (count: number, bound: number) => boolean,
  words: string,
): Read {
  return (given, path, { findings }) => {
    if (typeof given !== 'number' || !Number.isInteger(given) || given < 0)
      return faulty(findings, path, 'must be a whole number from 0');
    return (value, at, tell) => {
      const count = countOf(value);
      if (count !== undefined && !holds(count, given)) tell(at, `must have ${given} ${words}`);
    };
  };
}

function charsOf(value: unknown): number | undefined {
  return typeof value === 'string' ? Array.from(value).length : undefined;
}

function itemsOf(value: unknown): number | undefined {
  return Array.isArray(value) ? value.length : undefined;
}

const isTexts = (given: unknown): given is readonly string[] =>
  Array.isArray(given) && given.every((one) => typeof one === 'string');

export function faulty(
  findings: Findings,
  path: string,
  message: string,
  code: 'type' | 'pattern' | 'too_large' = 'type',
): Test {
  findings.error(path, code, message);
  return passes;
}
