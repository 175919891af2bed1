// What a provider bills, line by line, from CSV with a header or from lines of JSON.
// Money is counted in picodollars, whole numbers: no amount of a file passes through floating point.
import { csvRecords } from '../core/csv-records.ts';
import { lineFault, type NumberedLine } from '../core/numbered-lines.ts';

export type InvoiceFormat = 'csv' | 'json';

export interface InvoiceLine {
  readonly line: number;
  /** Its beginning, UTC. */
  readonly dayMs: number;
  readonly provider: string;
  /** Empty: what was used without a model. */
  readonly model: string;
  readonly cost: bigint;
}

export const PICO_PER_MICRO = 1_000_000n;
export const INVOICE_RECORD_MAX = 65_536;

const COLUMNS = ['day', 'provider', 'model', 'cost_micro_usd', 'cost_usd'] as const;
type Column = (typeof COLUMNS)[number];
type Fields = Readonly<Partial<Record<Column, string>>>;

const DAY = /^\d{4}-\d{2}-\d{2}$/;
const PROVIDER = /^[\x21-\x7e]{1,128}$/;
const MODEL_CHARS_MAX = 512;
const MICRO_USD = /^[+-]?\d{1,18}$/;
const USD = /^(?<sign>[+-]?)(?<whole>\d{1,18})(?:\.(?<part>\d{1,64}))?(?:[eE](?<exponent>[+-]?\d{1,2}))?$/;

/** `format` undefined: JSON where the first line begins an object. Throws `validation_failed` with the line. */
export function* invoiceLines(
  lines: Iterator<NumberedLine>,
  format: InvoiceFormat | undefined,
): Generator<InvoiceLine> {
  const first = lines.next();
  if (first.done === true) return;
  const all = joined(first.value, lines);
  const seen = format ?? (/^\s*\{/.test(first.value.text) ? 'json' : 'csv');
  yield* seen === 'csv' ? csvLines(all) : jsonLines(all);
}

function* joined(first: NumberedLine, lines: Iterator<NumberedLine>): Generator<NumberedLine> {
  yield first;
  for (let next = lines.next(); next.done !== true; next = lines.next()) yield next.value;
}

function* csvLines(lines: Iterable<NumberedLine>): Generator<InvoiceLine> {
  let header: readonly string[] | undefined;
  for (const { line, cells } of csvRecords(lines, INVOICE_RECORD_MAX)) {
    if (header === undefined) {
      header = headerOf(line, cells);
      continue;
    }
    if (cells.length !== header.length) {
      throw lineFault(line, 'csv_invalid', `${cells.length} cells under a header of ${header.length}`);
    }
    yield lineOf(line, Object.fromEntries(header.map((name, index) => [name, cells[index]])));
  }
}

function headerOf(line: number, names: readonly string[]): readonly string[] {
  const twice = COLUMNS.find((name) => names.indexOf(name) !== names.lastIndexOf(name));
  if (twice !== undefined) throw lineFault(line, 'invoice_header_invalid', `the column ${twice} is there twice`);
  const missing = ['day', 'provider', 'model'].filter((name) => !names.includes(name));
  if (!names.includes('cost_micro_usd') && !names.includes('cost_usd')) missing.push('cost_micro_usd or cost_usd');
  if (missing.length === 0) return names;
  throw lineFault(line, 'invoice_header_invalid', `the header has no column ${missing.join(', ')}`);
}

function* jsonLines(lines: Iterable<NumberedLine>): Generator<InvoiceLine> {
  for (const { line, text } of lines) if (text.trim() !== '') yield lineOf(line, fieldsOf(line, text));
}

/** Numbers stay the text that they are in the file. */
function fieldsOf(line: number, text: string): Fields {
  let value: unknown;
  try {
    value = JSON.parse(text, (_key, member: unknown, context?: { readonly source?: string }) =>
      typeof member === 'number' ? (context?.source ?? String(member)) : member,
    );
  } catch {
    throw lineFault(line, 'invoice_line_invalid', 'the line is no JSON');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw lineFault(line, 'invoice_line_invalid', 'the line is no JSON object');
  }
  const members = value as Readonly<Record<string, unknown>>;
  const fields: Partial<Record<Column, string>> = {};
  for (const name of COLUMNS) {
    const member = members[name];
    if (typeof member === 'string') fields[name] = member;
    else if (name === 'model' && member === null) fields.model = '';
    else if (Object.hasOwn(members, name)) throw wrong(line, name, JSON.stringify(member), 'is no text or number');
  }
  return fields;
}

/** Where both are there, `cost_micro_usd` counts. */
function lineOf(line: number, { day = '', provider = '', model, cost_micro_usd, cost_usd }: Fields): InvoiceLine {
  const dayMs = DAY.test(day) ? Date.parse(`${day}T00:00:00Z`) : Number.NaN;
  // A day that its month has not is another day to the parser.
  if (Number.isNaN(dayMs) || new Date(dayMs).toISOString().slice(0, 10) !== day) {
    throw wrong(line, 'day', day, 'is no day, as 2026-11-01');
  }
  if (!PROVIDER.test(provider)) throw wrong(line, 'provider', provider, 'is no name of a provider');
  if (model === undefined || model.length > MODEL_CHARS_MAX) throw wrong(line, 'model', model, 'is no name of a model');
  if (cost_micro_usd !== undefined) {
    if (!MICRO_USD.test(cost_micro_usd)) throw wrong(line, 'cost_micro_usd', cost_micro_usd, 'is no whole number');
    return { line, dayMs, provider, model, cost: BigInt(cost_micro_usd) * PICO_PER_MICRO };
  }
  const cost = picodollarsOf(cost_usd ?? '');
  if (cost === undefined) throw wrong(line, 'cost_usd', cost_usd, 'is no decimal number');
  return { line, dayMs, provider, model, cost };
}

/** What is finer is cut off. */
function picodollarsOf(usd: string): bigint | undefined {
  const { sign, whole, part = '', exponent = '0' } = USD.exec(usd)?.groups ?? {};
  if (whole === undefined) return undefined;
  const shift = 12 + Number(exponent) - part.length;
  const digits = BigInt(whole + part);
  const amount = shift >= 0 ? digits * 10n ** BigInt(shift) : digits / 10n ** BigInt(-shift);
  return sign === '-' ? -amount : amount;
}

const wrong = (line: number, name: Column, value: string | undefined, why: string): Error =>
  lineFault(
    line,
    'invoice_line_invalid',
    value === undefined ? `${name} is missing` : `${name} ${JSON.stringify(value.slice(0, 64))} ${why}`,
  );
