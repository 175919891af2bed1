// JSON in the one spelling that digests are made of (RFC 8785): members sorted by UTF-16 code units, numbers and strings
// as ECMAScript writes them, no spaces.
import { createHash } from 'node:crypto';
import { BeamlineError } from './errors.ts';

/** Throws `internal` for what JSON cannot say: other types, infinities, not-a-number, lone surrogates. */
export function canonicalJson(value: unknown): string {
  if (typeof value === 'string') return stringOf(value);
  if (value === null || typeof value === 'boolean' || (typeof value === 'number' && Number.isFinite(value))) {
    return JSON.stringify(value);
  }
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (typeof value !== 'object') throw new BeamlineError('internal', `${typeof value} has no JSON`);
  const members = Object.entries(value)
    // A member that is undefined is absent, as everywhere in JSON.
    .filter(([, member]) => member !== undefined)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, member]) => `${stringOf(name)}:${canonicalJson(member)}`);
  return `{${members.join(',')}}`;
}

/** SHA-256 of the canonical JSON, as `sha256:` and 64 digits. */
export const canonicalDigest = (value: unknown): string =>
  `sha256:${createHash('sha256').update(canonicalJson(value)).digest('hex')}`;

function stringOf(text: string): string {
  if (!text.isWellFormed()) throw new BeamlineError('internal', 'a lone surrogate has no JSON');
  return JSON.stringify(text);
}
