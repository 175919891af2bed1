// The patterns of `matches`: RE2 syntax on an engine whose time is linear in the text (policy 3.3).
// A pattern's program is bounded before it is compiled, because a few characters can ask for a million instructions.
import { RE2JS } from 're2js';

const INSTRUCTIONS_MAX = 1_000;
/** Product of all counts such as `{3}` or `{2,5}`; the engine itself refuses nested ones above 1 000. */
const REPEATS_MAX = 100_000;
const COUNT = /\{(\d+)(?:,(\d*))?\}/g;

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
  let repeats = 1;
  for (const [, least, most] of source.matchAll(COUNT)) repeats *= Math.max(1, Number(least), Number(most ?? 0));
  if (repeats > REPEATS_MAX) return { kind: 'too_complex', message: 'the pattern repeats too much' };
  try {
    const compiled = RE2JS.compile(source);
    const instructions = compiled.programSize();
    if (instructions > INSTRUCTIONS_MAX) return { kind: 'too_complex', message: 'the pattern is too large' };
    return { kind: 'pattern', pattern: { test: (text) => compiled.test(text), instructions } };
  } catch (fault) {
    return { kind: 'invalid', message: fault instanceof Error ? fault.message : 'the pattern cannot be read' };
  }
}
