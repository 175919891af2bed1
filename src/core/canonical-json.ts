// JSON in the one spelling that digests are made of (RFC 8785): members sorted by UTF-16 code units, numbers and strings
// as ECMAScript writes them, no spaces.
import { createHash } from 'node:crypto';
import { BeamlineError } from './errors.ts';

/** Throws `internal` for what JSON cannot say: other types, infinities, not-a-number, lone surrogates. */
export function canonicalJson(value: unknown): string {
  if (typeof value === 'string') return stringOf(value);
  if (value === null || typeof value === 'boolean' || (typeof value === 'number' && Number.isFinite(value))) {
    // -0 is 0 here too.
    return String(value);
  }
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (typeof value !== 'object') throw new BeamlineError('internal', `${typeof value} has no JSON`);
  const members = value as Readonly<Record<string, unknown>>;
  let text = '';
  // Without a comparison they are sorted by UTF-16 code units.
  for (const name of Object.keys(members).toSorted()) {
    const member = members[name];
    // A member that is undefined is absent, as everywhere in JSON.
    if (member !== undefined) text += `${text === '' ? '' : ','}${stringOf(name)}:${canonicalJson(member)}`;
  }
  return `{${text}}`;
}

/** SHA-256 of the canonical JSON, as `sha256:` and 64 digits. */
export const canonicalDigest = (value: unknown): string =>
  `sha256:${createHash('sha256').update(canonicalJson(value)).digest('hex')}`;

/** ASCII that needs no escape: most texts, and quoted in a quarter of the time. */
const PLAIN = /^[ !#-[\]-~]*$/;

function stringOf(text: string): string {
  if (PLAIN.test(text)) return `"${text}"`;
  if (!text.isWellFormed()) throw new BeamlineError('internal', 'a lone surrogate has no JSON');
  return JSON.stringify(text);
}
