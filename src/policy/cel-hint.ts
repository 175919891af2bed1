// What the author of a faulty expression may have meant: names that are near, and operators of other languages.
import { nearest } from '../core/nearest.ts';
import { VARIABLES } from './cel-environment.ts';
import { isStatusWord } from './status-words.ts';
import { FIELDS } from './variables-fields.ts';

/** A fault of the evaluator, as far as it tells. */
export interface ToldFault {
  readonly code: string;
  readonly summary: string;
  readonly range?: { readonly start: number; readonly end: number } | undefined;
}

const TOKENS: Readonly<Record<string, string>> = {
  RPAREN: `')'`,
  RBRACKET: `']'`,
  RBRACE: `'}'`,
  COLON: `':'`,
  IDENTIFIER: 'a name',
};
const WRITTEN: Readonly<Record<string, string>> = { and: '&&', or: '||', not: '!', '=': '==', '&': '&&', '|': '||' };

/** The fault in words, with its place in `text` and a hint. */
export function faultIn(text: string, { code, summary, range }: ToldFault): string {
  if (range === undefined) return summary;
  const at = ` (at character ${range.start + 1})`;
  const found = text.slice(range.start, range.end);
  switch (code) {
    case 'unknown_variable':
      return `${summary}${at}${variableHint(found, text)}`;
    case 'no_such_key':
      return `${summary}${at}${fieldHint(found, text.slice(0, range.start))}`;
    case 'expected_token': {
      const token = /^Expected (?<token>\w+)/.exec(summary)?.groups?.['token'] ?? '';
      return `${TOKENS[token] ?? token.toLowerCase()} is missing${at}${writtenHint(found)}`;
    }
    case 'unexpected_token':
    case 'unexpected_character':
      return `${found === '' ? 'something is missing at the end' : `'${found}' is not expected here`}${at}${writtenHint(found)}`;
    case 'no_such_overload':
      return `the types do not fit: ${summary.replace(/^no such overload: /, '')}${at}`;
    default:
      return `${summary}${at}`;
  }
}

export function nameHint(name: string, names: Iterable<string>): string {
  const guess = nearest(name, names);
  return guess === undefined ? '' : `; did you mean '${guess}'?`;
}

function writtenHint(found: string): string {
  const written = Object.hasOwn(WRITTEN, found.toLowerCase()) ? WRITTEN[found.toLowerCase()] : undefined;
  return written === undefined ? '' : `; the language writes ${written}`;
}

function variableHint(name: string, text: string): string {
  if (name === 'provider') return `; it is known in 'providers[].when' and 'then.where' only`;
  // A condition of one word is mostly meant as the word of a failure.
  if (name === text.trim() && isStatusWord(name)) return `; as a word of a failure write {status: ${name}}`;
  return nameHint(name, VARIABLES) || `; the variables are ${VARIABLES.join(', ')}`;
}

function fieldHint(name: string, before: string): string {
  const owner = /(?<owner>\w+)\s*\.\s*$/.exec(before)?.groups?.['owner'] ?? '';
  if (!Object.hasOwn(FIELDS, owner)) return '';
  const fields = Object.keys(FIELDS[owner as keyof typeof FIELDS]);
  return nameHint(name, fields) || `; ${owner} has ${fields.join(', ')}`;
}
