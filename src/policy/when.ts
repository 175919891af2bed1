// Reads a condition: a `when` object (policy 3.1), or the text of an expression (policy 3.3) in a document of version 2.
import { compileExpression, type Expression } from './cel.ts';
import {
  all,
  compare,
  type Condition,
  equalsAny,
  isOperator,
  isScalar,
  type Operator,
  type Read,
  readContext,
  type Scope,
} from './condition.ts';
import { type Findings, pathTo } from './issue.ts';
import { mustBe } from './must-be.ts';
import type { Target } from './policy.ts';
import { type Context, isMembers } from './shape.ts';
import { checkStatusWord } from './status-words.ts';
import { Variables } from './variables.ts';

const CONTEXT = 'context.';
const LOGIC: ReadonlySet<string> = new Set(['and', 'or', 'not', 'any', 'all', 'none']);
const never = (): boolean => false;

/** Compiles a condition; what is wrong with it is reported, and then the condition is of no use. */
export function compileWhen(when: unknown, path: string, context: Context): Condition {
  const { findings } = context;
  if (typeof when === 'string') {
    const expression = expressionIn(when, path, context, false);
    return (scope) => expression(variablesOf(scope));
  }
  if (!isMembers(when)) {
    findings.error(path, 'type', mustBe('an object or an expression', when));
    return never;
  }
  return all(
    Object.entries(when).map(([key, value]) =>
      isOperator(key)
        ? comparison(key, value, pathTo(path, key), context)
        : equality(key, value, pathTo(path, key), context),
    ),
  );
}

/** Compiles an expression about a candidate, in which `provider.*` may be used. */
export function compileWhere(text: unknown, path: string, context: Context): (scope: Scope, target: Target) => boolean {
  if (typeof text !== 'string') {
    context.findings.error(path, 'type', mustBe('a text', text));
    return never;
  }
  const expression = expressionIn(text, path, context, true);
  return (scope, target) => {
    const variables = variablesOf(scope);
    variables.target = target;
    return expression(variables);
  };
}

/** Why the expression that the scope was asked last was false without an answer; a word, never a value. */
export const faultOf = (scope: Scope): string | undefined => scope.variables?.fault;

const variablesOf = (scope: Scope): Variables => (scope.variables ??= new Variables(scope));

function expressionIn(text: string, path: string, { findings, major }: Context, withProvider: boolean): Expression {
  if (major === 2) return compileExpression(text, path, { findings, major, withProvider });
  findings.error(path, 'requires_version_2', 'an expression needs version 2');
  return never;
}

function equality(key: string, value: unknown, path: string, { findings }: Context): Condition {
  const wanted: readonly unknown[] = Array.isArray(value) ? value : [value];
  checkName(key, path, findings);
  if (key === 'status') {
    for (const [index, word] of wanted.entries()) {
      if (isScalar(word)) checkStatusWord(word, Array.isArray(value) ? pathTo(path, index) : path, findings);
    }
  }
  if (wanted.every(isScalar)) return equalsAny(key, wanted);
  findings.error(path, 'type', 'must be a text, a number, true, false or null, or a list of these');
  return never;
}

/** A name of the context may be anything, and these are mostly meant otherwise. */
function checkName(name: string, path: string, findings: Findings): void {
  if (!/\w/.test(name) || LOGIC.has(name)) {
    const ways = LOGIC.has(name) ? 'an expression has && || and !' : 'there are == != > < >= <= in';
    findings.warning(path, 'no_effect', `is a name of the context, since there is no operator '${name}': ${ways}`);
  } else if (name.includes('.')) {
    findings.warning(path, 'no_effect', 'is one name of the context: for its parts write an expression');
  }
}

function comparison(operator: Operator, value: unknown, path: string, context: Context): Condition {
  if (!Array.isArray(value)) {
    context.findings.error(path, 'type', 'must be a list of two operands');
    return never;
  }
  if (value.length !== 2) {
    context.findings.error(path, 'range', 'must have two operands');
    return never;
  }
  const [left, right]: readonly unknown[] = value;
  return compare(operator, operand(left, pathTo(path, 0), context), operand(right, pathTo(path, 1), context));
}

function operand(value: unknown, path: string, { findings }: Context): Read {
  if (isScalar(value) || (Array.isArray(value) && value.every(isScalar))) return () => value;
  const names = isMembers(value) && Object.keys(value).length === 1 ? value['var'] : undefined;
  if (typeof names !== 'string') findings.error(path, 'type', `must be a literal or {"var": "context.name"}`);
  else if (!names.startsWith(CONTEXT) || names.length === CONTEXT.length) {
    findings.error(pathTo(path, 'var'), 'pattern', 'must start with context.');
  } else return readContext(names.slice(CONTEXT.length).split('.'));
  return () => undefined;
}
