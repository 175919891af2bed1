// Finds the one credential among the headers that may carry it (gateway 4.1).
import { BeamlineError } from '../core/errors.ts';
import { prefixOf } from './api-key.ts';

const BEARER = /^bearer +([\x21-\x7e]+) *$/i;
const JWT = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*$/;
const LENGTH_MAX = 8192;

export const refused = (message: string): BeamlineError => new BeamlineError('unauthorized', message);

/** The value carried by the headers; throws `unauthorized` when there is none or two differ. */
export function carriedCredential(
  authorization: string | undefined,
  xApiKey: string | undefined,
  apiKey: string | undefined,
): string {
  const bearer = authorization === undefined ? undefined : bearerOf(authorization);
  const found = bearer ?? xApiKey ?? apiKey;
  if (found === undefined) throw refused('no API key: send authorization: Bearer, x-api-key or api-key');
  if ((xApiKey ?? found) !== found || (apiKey ?? found) !== found) throw refused('two headers carry different keys');
  if (found.length > LENGTH_MAX) throw refused('the key is not valid');
  return found;
}

/** The prefix of an API key; throws `unauthorized` for anything that has not the form of one. */
export function requirePrefix(credential: string): string {
  const prefix = prefixOf(credential);
  if (prefix !== undefined) return prefix;
  throw refused(JWT.test(credential) ? 'JSON web tokens are not served yet: use an API key' : 'the key is not valid');
}

function bearerOf(authorization: string): string {
  // The form that every client sends needs no expression.
  if (authorization.startsWith('Bearer ') && !authorization.includes(' ', 7)) return authorization.slice(7);
  const token = BEARER.exec(authorization)?.[1];
  if (token === undefined) throw refused('authorization must be Bearer');
  return token;
}
