// Reads a `when` object (policy 3.1) into a condition. The second form of a condition, a CEL text, is not built yet.
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
} from './condition.ts';
import { pathTo } from './issue.ts';
import { type Context, isMembers } from './shape.ts';

const CONTEXT = 'context.';
const never: Condition = () => false;

/** Compiles a condition; what is wrong with it is reported, and then the condition is of no use. */
export function compileWhen(when: unknown, path: string, context: Context): Condition {
  const { findings, major } = context;
  if (typeof when === 'string') {
    if (major === 1) findings.error(path, 'requires_version_2', 'an expression needs version 2');
    else findings.error(path, 'not_implemented', 'expressions are not implemented in this release');
    return never;
  }
  if (!isMembers(when)) {
    findings.error(path, 'type', 'must be an object');
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

function equality(key: string, value: unknown, path: string, { findings }: Context): Condition {
  const wanted: readonly unknown[] = Array.isArray(value) ? value : [value];
  if (wanted.every(isScalar)) return equalsAny(key, wanted);
  findings.error(path, 'type', 'must be a text, a number, true, false or null, or a list of these');
  return never;
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
