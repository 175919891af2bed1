// The words in which the tables of the document are written: numbers, texts and lists with their ranges, and the parts
// that several keys share.
import type { Shape } from './shape.ts';
import { compileWhen, compileWhere } from './when.ts';

export const integer = (min: number, max: number): Shape => ({ kind: 'number', min, max, isInteger: true });
export const number = (min: number, max: number): Shape => ({ kind: 'number', min, max, isInteger: false });
export const text = (charsMin: number, charsMax: number): Shape => ({ kind: 'text', charsMin, charsMax });
/** `told` is the pattern in words, after "must". */
export const textLike = (charsMin: number, charsMax: number, pattern: RegExp, told: string): Shape => ({
  kind: 'text',
  charsMin,
  charsMax,
  pattern,
  told,
});
export const word = (words: readonly string[]): Shape => ({ kind: 'word', words });
export const list = (of: Shape, min: number, max: number): Shape => ({ kind: 'list', of, min, max });

export const boolean: Shape = { kind: 'boolean' };

export const PROVIDER_NAME = /^[a-z0-9][a-z0-9_.:/-]{0,127}$/;
export const id = textLike(1, 128, /^[\x21-\x7e]+$/, 'be printable ASCII without spaces');
export const providerName = textLike(
  1,
  128,
  PROVIDER_NAME,
  'have small letters, digits and _ . : / - only, and begin with a letter or a digit',
);
export const weight = number(0, 100);
export const spanMs = integer(1, 3_600_000);
export const strategy = word(['weighted', 'priority', 'latency', 'cost', 'least_busy']);

/** A condition of either form. */
export const when: Shape = { kind: 'own', check: (value, path, context) => void compileWhen(value, path, context) };

/** An expression over one provider. */
export const where: Shape = { kind: 'own', check: (value, path, context) => void compileWhere(value, path, context) };
