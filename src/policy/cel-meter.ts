// How much one evaluation may do. Expressions are short, but lists and texts come from callers, so what grows with them
// is paid in steps before it is done (policy 3.3: 10 000). Evaluation is synchronous, so one meter serves all.
import { charsOf } from './cel-value.ts';
import type { Pattern } from './cel-pattern.ts';

const STEPS_MAX = 10_000;
/** Characters of a value that comes up in a walk, or pairs of characters in a search, that one step may compare. */
const CHARS = 256;

interface Run {
  stepsLeft: number;
  patterns: readonly Pattern[];
}

const run: Run = { stepsLeft: 0, patterns: [] };

/** A new evaluation begins. One that somebody else will end, by its time, may take any number of steps. */
export function begin(patterns: readonly Pattern[], stepsMax = STEPS_MAX): void {
  run.stepsLeft = stepsMax;
  run.patterns = patterns;
}

/** Whether the evaluation was cut off; its result then means nothing. */
export const isCutOff = (): boolean => run.stepsLeft < 0;

function pay(steps: number): void {
  run.stepsLeft -= steps;
  if (run.stepsLeft < 0) throw new Error('too many steps');
}

/** Pays for a walk through `items` to its end, with a body of so many nodes; returns them. */
export function metered<Items extends object>(items: Items, nodes: bigint): Items {
  if (run.stepsLeft === Number.POSITIVE_INFINITY) return items;
  const walked: Iterable<unknown> =
    items instanceof Map ? items.keys() : Array.isArray(items) ? items : Object.keys(items);
  for (const item of walked) pay(Number(nodes) * (1 + stepsOf(item)));
  return items;
}

/** Pays for what a body reads from the caller's data; returns it. */
export function seen(value: unknown): unknown {
  pay(stepsOf(value));
  return value;
}

const stepsOf = (value: unknown): number => Math.floor(charsOf(value, CHARS * run.stepsLeft) / CHARS);

/** A search can cost the product of both lengths. */
export function contained(text: string, part: string): boolean {
  pay(Math.ceil((text.length * part.length) / CHARS));
  return text.includes(part);
}

/** Tests with the pattern of that number. */
export function matched(text: string, pattern: bigint): boolean {
  const its = run.patterns[Number(pattern)];
  if (its === undefined) throw new Error('no such pattern');
  pay(Math.ceil((text.length * its.instructions) / CHARS));
  return its.test(text);
}
