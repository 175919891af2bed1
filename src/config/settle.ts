// Holds a tree of values against the declared settings: fills in defaults and collects every fault, in one walk.
// Faults never repeat a value: it may be a secret in the wrong place.
import { Type, type TSchema } from 'typebox';
import { Check } from 'typebox/value';
import { nearest } from '../core/nearest.ts';
import { SECRET_TITLE } from './setting.ts';

export type Path = readonly (string | number)[];

export interface Fault {
  readonly path: Path;
  readonly message: string;
  /** The fault is the last key of the path itself, not its value. */
  readonly isKey?: boolean;
}

/** Keywords that the schema types do not tell of. */
interface Keywords {
  readonly title?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly pattern?: string;
}

/** The value with all defaults; where `faults` grew, the value is not usable. */
export function settle(schema: TSchema, value: unknown, path: Path, faults: Fault[]): unknown {
  const given = value ?? copyOf(schema);
  if (Type.IsObject(schema)) return settleSection(schema, given, path, faults);
  if (Type.IsRecord(schema)) return settleMap(schema, given, path, faults);
  if (Type.IsArray(schema)) return settleList(schema, given, path, faults);
  if (!Check(schema, given)) faults.push({ path, message: expectation(schema) });
  return given;
}

/** What a value of the schema must look like, as the end of a sentence about its path. */
export function expectation(schema: TSchema): string {
  const { title, minimum, maximum, minLength, maxLength, pattern } = keywordsOf(schema);
  if (title === SECRET_TITLE) return 'must be env:NAME or file:/path; a literal secret is refused';
  if (Type.IsInteger(schema)) return `must be an integer from ${minimum} to ${maximum}`;
  if (Type.IsNumber(schema)) return `must be a number from ${minimum} to ${maximum}`;
  if (Type.IsBoolean(schema)) return 'must be true or false';
  if (Type.IsEnum(schema)) return `must be one of ${schema.enum.join(', ')}`;
  const length = minLength === undefined ? '' : ` of ${minLength} to ${maxLength} characters`;
  return `must be ${title ?? 'a text'}${length}${pattern === undefined ? '' : ` that matches ${pattern}`}`;
}

/** The pattern and the schema of the values of a map. */
export function mapParts(schema: Type.TRecord): { pattern: string; value: TSchema } {
  const [[pattern, value] = ['', Type.Unknown()]] = Object.entries(schema.patternProperties);
  return { pattern, value };
}

export const isTree = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const keywordsOf = (schema: TSchema): Keywords => schema;
const copyOf = (schema: TSchema): unknown => ('default' in schema ? structuredClone(schema.default) : undefined);

function settleSection(schema: Type.TObject, value: unknown, path: Path, faults: Fault[]): unknown {
  if (!isTree(value)) return wrong(path, 'must be a map', faults);
  const known = Object.keys(schema.properties);
  for (const key of Object.keys(value)) {
    if (Object.hasOwn(schema.properties, key)) continue;
    const guess = nearest(key, known);
    faults.push({
      path: [...path, key],
      message: `is not known${guess === undefined ? '' : `; did you mean ${guess}?`}`,
      isKey: true,
    });
  }
  const settled: Record<string, unknown> = {};
  for (const key of known) {
    const property = schema.properties[key] ?? Type.Never();
    const given = Object.hasOwn(value, key) ? value[key] : undefined;
    if ((given ?? copyOf(property)) !== undefined) settled[key] = settle(property, given, [...path, key], faults);
    else if (!Type.IsOptional(property)) faults.push({ path: [...path, key], message: 'is required' });
  }
  return settled;
}

function settleMap(schema: Type.TRecord, value: unknown, path: Path, faults: Fault[]): unknown {
  if (!isTree(value)) return wrong(path, 'must be a map', faults);
  const { pattern, value: item } = mapParts(schema);
  const legal = new RegExp(pattern);
  // `name:` without a value is an entry with all defaults.
  const absent = Type.IsObject(item) ? {} : undefined;
  const settled: Record<string, unknown> = {};
  for (const [key, given] of Object.entries(value)) {
    if (legal.test(key) && key !== '__proto__') settled[key] = settle(item, given ?? absent, [...path, key], faults);
    else faults.push({ path: [...path, key], message: 'is not a legal name', isKey: true });
  }
  return settled;
}

function settleList(schema: Type.TArray, value: unknown, path: Path, faults: Fault[]): unknown {
  if (!Array.isArray(value)) return wrong(path, 'must be a list', faults);
  const { minItems = 0, maxItems = Number.POSITIVE_INFINITY } = keywordsOf(schema);
  if (value.length < minItems || value.length > maxItems) {
    faults.push({
      path,
      message: minItems === maxItems ? `must have exactly ${minItems}` : `must have ${minItems} to ${maxItems} entries`,
    });
  }
  return value.map((item, index) => settle(schema.items, item, [...path, index], faults));
}

function wrong(path: Path, message: string, faults: Fault[]): undefined {
  faults.push({ path, message });
  return undefined;
}
