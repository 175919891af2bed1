// The official vectors of the language (`cel-conformance.jsonl`; its first line says whose they are), each run through our
// compiler. `cel-conformance-passing.txt` is frozen: what passes stays in it, and what comes to pass is added to it.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { compileExpression } from './cel.ts';
import type { Facts } from './facts.ts';
import { Findings } from './issue.ts';
import { Variables } from './variables.ts';

/** A value as the vectors write it: one member, named after its kind. */
type Value = Readonly<Record<string, unknown>>;
type Vector = readonly [name: string, expression: string, expected: Value | 'error'];
type Verdict = 'passes' | 'differs' | `refused as ${string}`;

const linesOf = (file: string): readonly string[] =>
  readFileSync(new URL(file, import.meta.url), 'utf8')
    .split('\n')
    .filter((line) => line !== '');

const [ABOUT = '', ...LINES] = linesOf('cel-conformance.jsonl');
const VECTORS = LINES.map((line): Vector => JSON.parse(line));
const PASSING = linesOf('cel-conformance-passing.txt');
/** What the language of policies leaves out is found when a policy is loaded, and so are errors that types show. */
const TYPE_ERRORS: ReadonlySet<string> = new Set(['invalid_expression', 'unknown_variable']);

const FACTS: Facts = {
  tenantId: 'kestrel',
  requestId: 'rq-1',
  taskType: 'ai.chat',
  model: 'medium',
  stream: false,
  context: {},
};
const variables = new Variables({ facts: FACTS, live: {}, status: [], attempt: 1, timeZone: 'UTC' });

const quoted = (text: string): string =>
  `'${Array.from(text, (char) => `\\U${(char.codePointAt(0) ?? 0).toString(16).padStart(8, '0')}`).join('')}'`;
const bytesOf = (base64: string): string =>
  `b'${Array.from(Buffer.from(base64, 'base64'), (byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('')}'`;

function doubleOf(value: unknown): string {
  const text = typeof value === 'number' ? String(value) : `double('${String(value)}')`;
  return /^-?\d+$/.test(text) ? `${text}.0` : text;
}

/** The value as a literal of the language. */
function literalOf(value: Value): string {
  const [[kind, held] = ['', undefined]] = Object.entries(value);
  switch (kind) {
    case 'nullValue':
      return 'null';
    case 'stringValue':
      return quoted(String(held));
    case 'bytesValue':
      return bytesOf(String(held));
    case 'doubleValue':
      return doubleOf(held);
    case 'uint64Value':
      return `${String(held)}u`;
    case 'listValue':
      return `[${((held as { readonly values?: readonly Value[] }).values ?? []).map(literalOf).join(', ')}]`;
    case 'mapValue': {
      const { entries = [] } = held as { readonly entries?: readonly { readonly key: Value; readonly value: Value }[] };
      return `{${entries.map((entry) => `${literalOf(entry.key)}: ${literalOf(entry.value)}`).join(', ')}}`;
    }
    default:
      return String(held);
  }
}

const NUMBERS: Readonly<Record<string, string>> = { int64Value: 'int', uint64Value: 'uint', doubleValue: 'double' };

/** Our expressions are conditions: this one holds when the vector's value is the expected one. Numbers of different types
 * can be equal, so their type is asked too. */
function conditionOf(expression: string, expected: Value): string {
  const [kind = ''] = Object.keys(expected);
  const type = NUMBERS[kind];
  const same = `(${expression}\n) == ${literalOf(expected)}`;
  return type === undefined ? same : `type(${expression}\n) == ${type} && ${same}`;
}

function verdictOf([, expression, expected]: Vector): Verdict {
  const isError = expected === 'error';
  const text = isError ? `dyn(${expression}\n) == null` : conditionOf(expression, expected);
  const findings = new Findings();
  const holds = compileExpression(text, '', { findings, major: 2, withProvider: false });
  const [refusal] = findings.errors;
  if (refusal !== undefined) {
    return isError && TYPE_ERRORS.has(refusal.code) ? 'passes' : `refused as ${refusal.code}`;
  }
  const isHeld = holds(variables);
  const isAsExpected = isError ? !isHeld && variables.fault !== 'too_many_steps' : isHeld;
  return isAsExpected && isError === (variables.fault !== undefined) ? 'passes' : 'differs';
}

const verdicts = new Map(VECTORS.map((vector) => [vector[0], verdictOf(vector)]));
const passing = [...verdicts].flatMap(([name, verdict]) => (verdict === 'passes' ? [name] : []));

test('the vectors say whose they are, and there is one of each name', () => {
  const { source, version, license } = JSON.parse(ABOUT) as Readonly<Record<string, string>>;
  assert.deepEqual([license, typeof source, typeof version], ['Apache-2.0', 'string', 'string']);
  assert.ok(VECTORS.length > 1_000);
  assert.equal(verdicts.size, VECTORS.length);
});

test('every official vector that passed passes, and every one that passes is on the frozen list', () => {
  assert.deepEqual(passing, PASSING);
});
