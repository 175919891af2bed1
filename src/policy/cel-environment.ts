// The typed environment of expressions: their variables, and what we do in place of the evaluator. Its functions with an
// underscore before their name are called only by the text that `writeProgram` writes; authors cannot name them.
import { Environment } from '@marcbachmann/cel-js';
import { contained, matched, metered, seen } from './cel-meter.ts';
import { CLASSES } from './variables.ts';
import { FIELDS } from './variables-fields.ts';

const INT_END = 2 ** 63;
const NUMERAL = /^[+-]?(?:\d+(?:\.\d*)?(?:e[+-]?\d+)?|\.\d+(?:e[+-]?\d+)?|inf(?:inity)?|nan)$/i;
const MOMENT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)$/;
const NAMES = ['request', 'tenant', 'task', 'time', 'budget', 'provider'] as const;
/** Those that every expression knows, and `provider`. */
export const VARIABLES: readonly string[] = ['context', ...NAMES];
const SYNC = { async: false };

const made: { withProvider?: Environment; without?: Environment; data?: Environment } = {};

/** The environment, made when the first expression is compiled. */
export const environmentOf = (withProvider: boolean): Environment =>
  withProvider
    ? (made.withProvider ??= openEnvironment(NAMES))
    : (made.without ??= openEnvironment(NAMES.filter((name) => name !== 'provider')));

function openEnvironment(names: readonly (typeof NAMES)[number][]): Environment {
  const environment = new Environment().registerVariable('context', 'map<string, dyn>');
  for (const name of names) {
    const fields = Object.fromEntries(Object.entries(FIELDS[name]).map(([field, { type }]) => [field, type]));
    environment.registerType(`beamline.${name}`, { ctor: CLASSES[name], fields });
    environment.registerVariable(name, `beamline.${name}`);
  }
  return withOwnWays(environment);
}

/** The environment of a transform: one variable of any type, and lists and maps of mixed values. */
export const dataEnvironment = (): Environment =>
  (made.data ??= withOwnWays(new Environment({ homogeneousAggregateLiterals: false }).registerVariable('data', 'dyn')));

function withOwnWays(environment: Environment): Environment {
  return (
    environment
      // The evaluator compares the order of int and double, but not their equality.
      .registerOperator('int == double', equalNumbers)
      .registerFunction('matches(string, string): bool', neverRuns, SYNC)
      .registerFunction('_matched(string, int): bool', matched, SYNC)
      .registerFunction('_contained(string, string): bool', contained, SYNC)
      .registerFunction('_seen(dyn): dyn', seen, SYNC)
      .registerFunction('_metered(list<T>, int): list<T>', metered, SYNC)
      .registerFunction('_metered(map<K, V>, int): map<K, V>', metered, SYNC)
      .registerFunction('_number(dyn): dyn', numeral, SYNC)
      .registerFunction('_timestamp(string): google.protobuf.Timestamp', momentOf, SYNC)
      .registerFunction('_timestamp(int): google.protobuf.Timestamp', (s: bigint) => dateIn(Number(s) * 1_000), SYNC)
  );
}

/** Without rounding either of them. */
const equalNumbers = (int: bigint, double: number): boolean => Number.isInteger(double) && BigInt(double) === int;

/** Its calls are rewritten; the evaluator only needs to know its type. */
function neverRuns(): never {
  throw new Error('a pattern was not compiled');
}

/** What a conversion to a number may read: numbers within int, and decimal numerals. */
function numeral(value: unknown): unknown {
  if (typeof value === 'string' && !NUMERAL.test(value)) throw new RangeError('not a number');
  if (typeof value === 'number' && Math.abs(value) >= INT_END) throw new RangeError('integer overflow');
  return value;
}

/** Only the form that names its zone: any other would be read in the zone of this machine. */
const momentOf = (text: string): Date => dateIn(MOMENT.test(text) ? Date.parse(text) : Number.NaN);

function dateIn(ms: number): Date {
  // The years 1 to 9999, as the language has them.
  if (ms >= -62_135_596_800_000 && ms <= 253_402_300_799_999) return new Date(ms);
  throw new RangeError('not a moment');
}
