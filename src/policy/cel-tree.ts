// What an expression may be made of (policy 3.3): how large and how deep it is, which functions it calls, and that its
// patterns are literals. The evaluator knows more functions than the language; those are refused here.
import type { ASTNode, BinaryOperator } from '@marcbachmann/cel-js';
import { nearest } from '../core/nearest.ts';
import type { ErrorIssueCode } from './issue.ts';

/** Why an expression is not accepted. */
export interface Refusal {
  readonly kind: 'refused';
  readonly code: ErrorIssueCode;
  readonly message: string;
}

const NODES_MAX = 500;
const DEPTH_MAX = 32;
const DURATION_CHARS_MAX = 64;

const FUNCTIONS: ReadonlySet<string> = new Set(
  'size has int uint double string bool bytes dyn type timestamp duration matches'.split(' '),
);
const UNKEPT: ReadonlySet<string> = new Set(['__proto__', 'constructor', 'prototype']);
const METHODS: ReadonlySet<string> = new Set('size startsWith endsWith contains matches'.split(' '));
const INFIX: ReadonlySet<string> = new Set('|| && == != < <= > >= in + - * / %'.split(' '));
const MACROS: ReadonlySet<string> = new Set('all exists exists_one filter map'.split(' '));

export const refused = (code: ErrorIssueCode, message: string): Refusal => ({ kind: 'refused', code, message });

/** Whether a method call goes through a list with a variable of its own. */
export const isMacro = (method: string): boolean => MACROS.has(method);

/** A node with an operator between two others. */
type Infix = Extract<ASTNode, { readonly op: BinaryOperator | '&&' | '||' }>;

export const isInfix = (node: ASTNode): node is Infix => INFIX.has(node.op);

export function childrenOf(node: ASTNode): readonly ASTNode[] {
  if (isInfix(node)) return node.args;
  switch (node.op) {
    case 'value':
    case 'id':
      return [];
    case '.':
    case '.?':
      return [node.args[0]];
    case '!_':
    case '-_':
      return [node.args];
    case 'call':
      return node.args[1];
    case 'rcall':
      return [node.args[1], ...node.args[2]];
    case 'map':
      return node.args.flat();
    case '[]':
    case '[?]':
    case '?:':
    case 'list':
      return node.args;
  }
}

/** `a || b || c` is one level, however long: such chains nest in the tree, and not in the eyes of their author. */
export const isChained = (node: ASTNode, child: ASTNode): boolean =>
  isInfix(node) && child.op === node.op && node.args[0] === child;

export const countNodes = (node: ASTNode): number =>
  childrenOf(node).reduce((sum, child) => sum + countNodes(child), 1);

/** How many walks through lists stand within each other at most. */
export function walkDepth(node: ASTNode): number {
  const own = node.op === 'rcall' && isMacro(node.args[0]) ? 1 : 0;
  return own + Math.max(0, ...childrenOf(node).map(walkDepth));
}

/** The first thing in the tree that the language does not have. */
export function refusalIn(tree: ASTNode, nodesMax = NODES_MAX): Refusal | undefined {
  const nodes = countNodes(tree);
  if (nodes > nodesMax) return refused('expression_too_complex', `has ${nodes} parts; at most ${nodesMax} may be`);
  return refusalAt(tree, 1);
}

function refusalAt(node: ASTNode, depth: number): Refusal | undefined {
  if (depth > DEPTH_MAX) return refused('expression_too_complex', `is nested deeper than ${DEPTH_MAX} levels`);
  const here = refusalOf(node);
  if (here !== undefined) return here;
  for (const child of childrenOf(node)) {
    const its = refusalAt(child, isChained(node, child) ? depth : depth + 1);
    if (its !== undefined) return its;
  }
  return undefined;
}

function refusalOf(node: ASTNode): Refusal | undefined {
  if (node.op === 'call') return functionRefusal(...node.args);
  if (node.op === 'rcall') return methodRefusal(node);
  // The evaluator keeps the keys of a literal as names of an object, and some not at all.
  if (node.op !== 'map' || node.args.every(([key]) => !UNKEPT.has(textOf(key) ?? '__proto__'))) return undefined;
  return refused('invalid_expression', 'the keys of a map must be literal texts');
}

function functionRefusal(name: string, args: readonly ASTNode[]): Refusal | undefined {
  if (!FUNCTIONS.has(name)) return refused('unsupported_function', absent('function', name, FUNCTIONS));
  if (name === 'matches') return patternRefusal(args[1]);
  const isLong = name === 'duration' && (textOf(args[0])?.length ?? Number.POSITIVE_INFINITY) > DURATION_CHARS_MAX;
  return isLong ? refused('unsupported_function', `'duration' takes a literal text such as "90s"`) : undefined;
}

function methodRefusal(node: Extract<ASTNode, { readonly op: 'rcall' }>): Refusal | undefined {
  const [name, , args] = node.args;
  if (name === 'matches') return patternRefusal(args[0]);
  if (METHODS.has(name) || MACROS.has(name)) return undefined;
  return refused('unsupported_function', absent('method', name, [...METHODS, ...MACROS]));
}

function absent(what: 'function' | 'method', name: string, names: Iterable<string>): string {
  const is = `'${name}' is not a ${what} of the language`;
  if (what === 'function' && METHODS.has(name)) return `${is}; as a method it follows its text and a dot`;
  const guess = nearest(name, names);
  return `${is}; ${guess === undefined ? `there are ${[...names].join(', ')}` : `did you mean '${guess}'?`}`;
}

const patternRefusal = (pattern: ASTNode | undefined): Refusal | undefined =>
  pattern === undefined || textOf(pattern) !== undefined
    ? undefined
    : refused('unsupported_function', `the pattern of 'matches' must be a literal text`);

/** The text of a literal. */
export const textOf = (node: ASTNode | undefined): string | undefined =>
  node?.op === 'value' && typeof node.args === 'string' ? node.args : undefined;
