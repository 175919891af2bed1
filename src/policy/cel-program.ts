// Writes an accepted tree back as the text that is evaluated. It means the same, but pays for what grows with the
// caller's data, tests patterns on our own engine, and reads numbers and moments strictly.
import type { ASTNode } from '@marcbachmann/cel-js';
import { countNodes, isChained, isInfix, isMacro, type Refusal, refused, textOf } from './cel-tree.ts';
import { type Pattern, readPattern } from './cel-pattern.ts';

export interface Program {
  readonly kind: 'program';
  readonly text: string;
  /** By number, as the text names them. */
  readonly patterns: readonly Pattern[];
}

/** Writes a node in our own way; undefined: as it stands. */
type Ours = (node: ASTNode) => string | undefined;

/** Variables whose values come from callers in any size. */
const CALLERS: ReadonlySet<string> = new Set(['context', 'task']);
/** Conversions that the evaluator reads too generously. */
const TO_INTEGER: ReadonlySet<string> = new Set(['int', 'uint']);

export function writeProgram(tree: ASTNode): Program | Refusal {
  const patterns: Pattern[] = [];
  let refusal: Refusal | undefined;
  let bodies = 0;
  let isPath = false;

  const numberOf = (source: string): number => {
    const read = readPattern(source);
    if (read.kind === 'pattern') return patterns.push(read.pattern) - 1;
    const code = read.kind === 'invalid' ? 'invalid_expression' : 'expression_too_complex';
    refusal ??= refused(code, `matches: ${read.message}`);
    return 0;
  };
  const text = (node: ASTNode): string => write(node, ours);
  /** `has` wants the path itself, and a path is paid for once; an index in it is no part of it. */
  const path = (node: ASTNode, isTrue = true): string => {
    const before = isPath;
    isPath = isTrue;
    const written = text(node);
    isPath = before;
    return written;
  };
  const walk = (name: string, list: ASTNode, body: readonly ASTNode[]): string => {
    const nodes = body.reduce((sum, node) => sum + countNodes(node), -1);
    const start = `_metered(${text(list)}, ${nodes})`;
    bodies++;
    const written = `${start}.${name}(${body.map(text).join(', ')})`;
    bodies--;
    return written;
  };
  const ours: Ours = (node) => {
    if (node.op === 'rcall') {
      const [name, receiver, args] = node.args;
      const [first] = args;
      if (isMacro(name)) return walk(name, receiver, args);
      if (name === 'matches') return `_matched(${text(receiver)}, ${numberOf(textOf(first) ?? '')})`;
      return name === 'contains' && first !== undefined ? `_contained(${text(receiver)}, ${text(first)})` : undefined;
    }
    if (isPath && node.op === '[]') return `${text(node.args[0])}[${path(node.args[1], false)}]`;
    if (node.op !== 'call') {
      return bodies > 0 && !isPath && CALLERS.has(rootOf(node)) ? `_seen(${path(node)})` : undefined;
    }
    const [name, [first, second]] = node.args;
    if (first === undefined) return undefined;
    if (name === 'has') return `has(${path(first)})`;
    if (name === 'matches') return `_matched(${text(first)}, ${numberOf(textOf(second) ?? '')})`;
    if (name === 'timestamp') return `_timestamp(${text(first)})`;
    return TO_INTEGER.has(name) ? `${name}(_number(${text(first)}))` : undefined;
  };

  const program = text(tree);
  return refusal ?? { kind: 'program', text: program, patterns };
}

/**
 * The same tree with `has(a.b)` as a comparison of `a.b`: the evaluator checks the fields of typed variables only where
 * they are read. The text is there to be checked and not to be run.
 */
export function writeProbe(tree: ASTNode): string | undefined {
  let hasAny = false;
  const probe: Ours = (node) => {
    if (node.op !== 'call' || node.args[0] !== 'has') return undefined;
    hasAny = true;
    return `(dyn(${node.args[1].map((arg) => write(arg, probe)).join(', ')}) == null)`;
  };
  const text = write(tree, probe);
  return hasAny ? text : undefined;
}

/** The variable at the start of a path such as `context.a[0]`; empty for what is not a path. */
function rootOf(node: ASTNode): string {
  if (node.op === 'id') return node.args;
  return node.op === '.' || node.op === '[]' ? rootOf(node.args[0]) : '';
}

function write(node: ASTNode, ours: Ours): string {
  const text = (child: ASTNode): string => write(child, ours);
  const own = ours(node);
  if (own !== undefined) return own;
  if (isInfix(node)) {
    const [left, right] = node.args;
    // Without brackets of its own a chain of any length nests no deeper than the evaluator reads.
    const start = isChained(node, left) ? text(left).slice(1, -1) : text(left);
    return `(${start} ${node.op} ${text(right)})`;
  }
  switch (node.op) {
    case 'value':
      return literal(node.args);
    case 'id':
      return node.args;
    case '.':
    case '.?':
      return `${text(node.args[0])}.${node.args[1]}`;
    case '[]':
    case '[?]':
      return `${text(node.args[0])}[${text(node.args[1])}]`;
    case '!_':
    case '-_':
      return `(${node.op.slice(0, 1)}${text(node.args)})`;
    case 'call':
      return `${node.args[0]}(${node.args[1].map(text).join(', ')})`;
    case 'rcall':
      return `${text(node.args[1])}.${node.args[0]}(${node.args[2].map(text).join(', ')})`;
    case 'list':
      return `[${node.args.map(text).join(', ')}]`;
    case 'map':
      return `{${node.args.map(([key, value]) => `${text(key)}: ${text(value)}`).join(', ')}}`;
    case '?:':
      return `(${text(node.args[0])} ? ${text(node.args[1])} : ${text(node.args[2])})`;
  }
}

type Literal = Extract<ASTNode, { readonly op: 'value' }>['args'];

function literal(value: Literal): string {
  if (typeof value === 'string') return `"${value.replaceAll(/["\\\n\r]/g, (char) => ESCAPES[char] ?? char)}"`;
  if (typeof value === 'number') return `(${Number.isInteger(value) ? value.toExponential() : value})`;
  if (typeof value === 'bigint') return `(${value})`;
  if (typeof value === 'boolean') return String(value);
  if (value === null) return 'null';
  if (!(value instanceof Uint8Array)) return `(${String(value)}u)`;
  return `b"${Array.from(value, (byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('')}"`;
}

const ESCAPES: Readonly<Record<string, string>> = { '"': String.raw`\"`, '\\': '\\\\', '\n': '\\n', '\r': '\\r' };
