// Members of a job's body, one by one: each gives its value, undefined where it is absent, or throws `invalid_request`
// with the path of the member.
import { invalidField } from '../routes/policies-request.ts';

export type Body = Readonly<Record<string, unknown>>;

const ID = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$/;
const KEY = /^[\x21-\x7e]{1,255}$/;
const TIME = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:Z|[+-]\d{2}:\d{2})$/;
const TAGS_MAX = 16;
const TAG_CHARS_MAX = 64;
const METADATA_KEYS_MAX = 64;
const METADATA_BYTES_MAX = 16_384;

export const isObject = (value: unknown): value is Body =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

export function textIn(body: Body, name: string): string | undefined {
  const value = body[name];
  if (value === undefined || typeof value === 'string') return value;
  throw invalidField(name, 'must be a text');
}

/** A text of 1 to `charsMax` characters. */
export function shortTextIn(body: Body, name: string, charsMax: number): string | undefined {
  const text = textIn(body, name);
  if (text === undefined || (text !== '' && text.length <= charsMax)) return text;
  throw invalidField(name, `must have 1 to ${charsMax} characters`);
}

export function idIn(body: Body, name: string, path = name): string | undefined {
  const value = body[name];
  if (value === undefined || (typeof value === 'string' && ID.test(value))) return value;
  throw invalidField(path, 'must be an identifier of 1 to 128 characters');
}

export function integerIn(body: Body, name: string, minimum: number, maximum: number): number | undefined {
  const value = body[name];
  if (value === undefined) return undefined;
  if (typeof value === 'number' && Number.isInteger(value) && value >= minimum && value <= maximum) return value;
  throw invalidField(name, `must be an integer from ${minimum} to ${maximum}`);
}

export function objectIn(body: Body, name: string, path = name): Body | undefined {
  const value = body[name];
  if (value === undefined || isObject(value)) return value;
  throw invalidField(path, 'must be an object');
}

/** A moment, as milliseconds of the epoch. */
export function timeIn(body: Body, name: string): number | undefined {
  const value = body[name];
  if (value === undefined) return undefined;
  const ms = typeof value === 'string' && TIME.test(value) ? Date.parse(value) : Number.NaN;
  if (!Number.isNaN(ms)) return ms;
  throw invalidField(name, 'must be a time in RFC 3339');
}

export function tagsIn(body: Body): string[] | undefined {
  const tags = body['tags'];
  if (tags === undefined) return undefined;
  if (!Array.isArray(tags) || tags.length > TAGS_MAX) {
    throw invalidField('tags', `must be a list of at most ${TAGS_MAX} texts`);
  }
  return tags.map((tag: unknown, index) => {
    if (typeof tag === 'string' && tag.length > 0 && tag.length <= TAG_CHARS_MAX) return tag;
    throw invalidField(`tags.${index}`, `must be a text of 1 to ${TAG_CHARS_MAX} characters`);
  });
}

export function metadataIn(body: Body): Record<string, unknown> | undefined {
  const metadata = objectIn(body, 'metadata');
  if (metadata === undefined) return undefined;
  const isFit =
    Object.keys(metadata).length <= METADATA_KEYS_MAX &&
    Buffer.byteLength(JSON.stringify(metadata)) <= METADATA_BYTES_MAX;
  if (isFit) return { ...metadata };
  throw invalidField('metadata', `must have at most ${METADATA_KEYS_MAX} members and ${METADATA_BYTES_MAX} bytes`);
}

/** The caller's key for repeats, out of the header and of the body, which must be equal. */
export function keyOfRepeats(header: string | undefined, body: Body): string | undefined {
  const member = textIn(body, 'idempotency_key');
  if (header !== undefined && member !== undefined && header !== member) {
    throw invalidField('idempotency_key', 'must be equal to the header idempotency-key');
  }
  const key = header ?? member;
  if (key === undefined || KEY.test(key)) return key;
  throw invalidField('idempotency_key', 'must be 1 to 255 characters of printable ASCII without spaces');
}
