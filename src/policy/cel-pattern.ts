// The patterns of `matches`: RE2 syntax on an engine whose time is linear in the text (policy 3.3).
// A pattern's program is bounded before it is compiled, because a few characters can ask for a million instructions.
import { RE2JS } from 're2js';

const INSTRUCTIONS_MAX = 1_000;
/** An escape, a class, a count such as `{3}` or `{2,5}`, or any other character. */
const TOKEN = /\\.|\[(?:\\.|[^\]])*\]|\{(\d+)(?:,(\d*))?\}|./gsu;

export interface Pattern {
  /** Whether any part of the text matches. */
  test(text: string): boolean;
  /** What one character of a text costs at most. */
  readonly instructions: number;
}

export type ReadPattern =
  | { readonly kind: 'pattern'; readonly pattern: Pattern }
  | { readonly kind: 'invalid' | 'too_complex'; readonly message: string };

export function readPattern(source: string): ReadPattern {
  if (atomsIn(source) > INSTRUCTIONS_MAX) return { kind: 'too_complex', message: 'the pattern is too large' };
  try {
    const compiled = RE2JS.compile(source);
    const instructions = compiled.programSize();
    if (instructions > INSTRUCTIONS_MAX) return { kind: 'too_complex', message: 'the pattern is too large' };
    return { kind: 'pattern', pattern: { test: (text) => compiled.test(text), instructions } };
  } catch (fault) {
    return { kind: 'invalid', message: fault instanceof Error ? fault.message : 'the pattern cannot be read' };
  }
}

/** How many atoms the pattern has once its counts are written out; what is malformed is left to the engine. */
function atomsIn(source: string): number {
  const outer: number[] = [];
  let atoms = 0;
  let last = 0;
  for (const [token, least, most] of source.matchAll(TOKEN)) {
    if (token === '(') {
      outer.push(atoms);
      atoms = 0;
    } else if (token === ')') {
      last = atoms;
      atoms += outer.pop() ?? 0;
    } else if (least !== undefined) {
      const times = Math.max(1, Number(least), Number(most ?? 0));
      atoms += last * (times - 1);
      last *= times;
    } else {
      last = 1;
      atoms++;
    }
  }
  return outer.reduce((sum, more) => sum + more, atoms);
}
