// Compiles one expression of the Common Expression Language (policy 3.3) to a function of the decision's variables.
// C1. It always ends, has no side effect and never throws: an error is false, and a word in `fault` says which.
// C2. What is wrong with its text is found when it is compiled: syntax, types, variables, functions, size.
import { EvaluationError, ParseError, TypeError as CelTypeError, type TypeCheckResult } from '@marcbachmann/cel-js';
import { Recent } from '../core/recent.ts';
import { environmentOf } from './cel-environment.ts';
import { faultIn } from './cel-hint.ts';
import { begin, isCutOff } from './cel-meter.ts';
import type { Pattern } from './cel-pattern.ts';
import { writeProbe, writeProgram } from './cel-program.ts';
import { type Refusal, refusalIn, refused } from './cel-tree.ts';
import type { ErrorIssueCode } from './issue.ts';
import type { Context } from './shape.ts';
import type { Variables } from './variables.ts';

/** Whether the expression holds. */
export type Expression = (variables: Variables) => boolean;

export interface ExpressionContext extends Context {
  /** Whether `provider.*` may be used. */
  readonly withProvider: boolean;
}

interface Compiled {
  readonly kind: 'compiled';
  readonly expression: Expression;
}

const CHARS_MAX = 2_000;
const CODES: Readonly<Record<string, ErrorIssueCode>> = {
  limit_exceeded: 'expression_too_complex',
  unknown_variable: 'unknown_variable',
  no_such_key: 'unknown_variable',
};

const never: Expression = () => false;

/**
 * The newest expressions by their text: tenants share templates, and ten thousand copies of one program would each be
 * cold when a decision asks it.
 */
const known = new Recent<Expression>(4_096);

/** Compiles an expression; what is wrong with it is reported, and then it never holds. */
export function compileExpression(text: string, path: string, context: ExpressionContext): Expression {
  const key = `${context.withProvider ? 'provider' : 'request'} ${text}`;
  const shared = known.get(key);
  if (shared !== undefined) return shared;
  const compiled = compile(text, context.withProvider);
  if (compiled.kind === 'compiled') {
    known.set(key, compiled.expression);
    return compiled.expression;
  }
  context.findings.error(path, compiled.code, compiled.message);
  return never;
}

function compile(text: string, withProvider: boolean): Compiled | Refusal {
  if (text.length > CHARS_MAX) return refused('expression_too_complex', `must have at most ${CHARS_MAX} characters`);
  try {
    const environment = environmentOf(withProvider);
    const parsed = environment.parse(text);
    const unfit = refusalIn(parsed.ast) ?? typeRefusal(parsed.check(), text);
    if (unfit !== undefined) return unfit;
    const probe = writeProbe(parsed.ast);
    const missing = probe === undefined ? undefined : typeRefusal(environment.check(probe), probe);
    if (missing !== undefined) return missing;
    const program = writeProgram(parsed.ast);
    if (program.kind === 'refused') return program;
    const evaluate = environment.parse(program.text);
    return (
      typeRefusal(evaluate.check(), program.text) ?? {
        kind: 'compiled',
        expression: expressionOf(evaluate, program.patterns),
      }
    );
  } catch (fault) {
    return refusalOf(fault, text);
  }
}

function typeRefusal({ type, error }: TypeCheckResult, text: string): Refusal | undefined {
  if (error !== undefined) return refusalOf(error, text);
  if (type === 'bool') return undefined;
  const what = type === 'dyn' ? 'of a type that only the request knows: compare it, for example == true' : `${type}`;
  return refused('not_boolean', `must be true or false, and is ${what}`);
}

function refusalOf(fault: unknown, text: string): Refusal {
  if (!(fault instanceof ParseError) && !(fault instanceof CelTypeError)) {
    return refused('invalid_expression', fault instanceof Error ? fault.message : 'cannot be read');
  }
  return refused(CODES[fault.code] ?? 'invalid_expression', faultIn(text, fault));
}

const expressionOf =
  (evaluate: (variables: Variables) => unknown, patterns: readonly Pattern[]): Expression =>
  (variables) => {
    begin(patterns);
    variables.fault = undefined;
    let result: unknown;
    const traces = Error.stackTraceLimit;
    // A missing key is an error and an everyday event: without its stack it costs a tenth.
    Error.stackTraceLimit = 0;
    try {
      result = evaluate(variables);
    } catch (fault) {
      variables.fault = fault instanceof EvaluationError ? fault.code : 'evaluation_error';
    } finally {
      Error.stackTraceLimit = traces;
    }
    if (isCutOff()) variables.fault = 'too_many_steps';
    return result === true && variables.fault === undefined;
  };
