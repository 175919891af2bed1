// Expressions of the policy language that make a value of a caller's data (worker 11, block `transform`). They always end
// and have no effect, but how long they take grows with the data: who runs one must be able to end it.
import { EvaluationError, ParseError, TypeError as CelTypeError } from '@marcbachmann/cel-js';
import { dataEnvironment } from './cel-environment.ts';
import { begin } from './cel-meter.ts';
import type { Pattern } from './cel-pattern.ts';
import { writeProgram } from './cel-program.ts';
import { refusalIn, walkDepth } from './cel-tree.ts';
import { type CelMap, mapOf } from './cel-value.ts';

export type Transformed =
  | { readonly kind: 'value'; readonly value: unknown }
  /** The expression itself is not accepted. */
  | { readonly kind: 'refused'; readonly message: string }
  /** The data is not what the expression expects; `code` is a word of the language. */
  | { readonly kind: 'failed'; readonly code: string; readonly message: string };

const CHARS_MAX = 4_096;
const NODES_MAX = 2_000;
const WALKS_MAX = 2;
const MESSAGE_CHARS_MAX = 256;

/** Evaluates `expression` with the variable `data`; both are JSON, and so is the value. Never throws. */
export function transform(expression: string, data: unknown): Transformed {
  if (new TextEncoder().encode(expression).length > CHARS_MAX) return refused(`has more than ${CHARS_MAX} bytes`);
  let program: Program | undefined;
  try {
    program = compile(expression);
  } catch (fault) {
    return refused(fault instanceof Error ? messageOf(fault) : 'cannot be read');
  }
  if (typeof program === 'string') return refused(program);
  begin(program.patterns, Number.POSITIVE_INFINITY);
  try {
    return { kind: 'value', value: jsonOf(program.evaluate({ data: valueOf(data) })) };
  } catch (fault) {
    const code = fault instanceof EvaluationError ? fault.code : 'evaluation_error';
    return {
      kind: 'failed',
      code,
      message: fault instanceof EvaluationError ? messageOf(fault) : 'the evaluation failed',
    };
  }
}

type Program =
  | string
  | { readonly evaluate: (variables: { readonly data: unknown }) => unknown; readonly patterns: readonly Pattern[] };

/** A text says why there is no program. */
function compile(expression: string): Program {
  const environment = dataEnvironment();
  const parsed = environment.parse(expression);
  const unfit = refusalIn(parsed.ast, NODES_MAX);
  if (unfit !== undefined) return unfit.message;
  if (walkDepth(parsed.ast) > WALKS_MAX) return `walks through lists within lists more than ${WALKS_MAX} deep`;
  const { error } = parsed.check();
  if (error !== undefined) return messageOf(error);
  const program = writeProgram(parsed.ast);
  if (program.kind === 'refused') return program.message;
  return { evaluate: environment.parse(program.text), patterns: program.patterns };
}

const refused = (message: string): Transformed => ({ kind: 'refused', message: message.slice(0, MESSAGE_CHARS_MAX) });

function messageOf(fault: Error): string {
  const isTheirs = fault instanceof EvaluationError || fault instanceof ParseError || fault instanceof CelTypeError;
  return (isTheirs ? fault.summary : fault.message).slice(0, MESSAGE_CHARS_MAX);
}

const valueOf = (data: unknown): unknown => (mapOf({ data }) as CelMap).get('data');

/** Integers that JSON cannot hold are texts, as are the numbers that it has no word for; bytes are base64, spans seconds. */
function jsonOf(value: unknown): unknown {
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  if (typeof value === 'number') return Number.isFinite(value) ? value : String(value);
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(jsonOf);
  if (value instanceof Set) return Array.from(value, jsonOf);
  if (value instanceof Map) return Object.fromEntries(Array.from(value, ([key, item]) => [String(key), jsonOf(item)]));
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64');
  if (value instanceof Date) return value.toISOString();
  const plain: unknown = value.valueOf();
  if (typeof plain === 'bigint') return jsonOf(plain);
  if (typeof plain === 'number') return `${plain / 1_000}s`;
  if (Object.getPrototypeOf(value) !== Object.prototype) throw new Error('not a value of JSON');
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, jsonOf(item)]));
}
