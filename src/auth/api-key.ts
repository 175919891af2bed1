// An API key: `blk_live_<8 public characters>_<43 secret characters>`, of which only a keyed hash is ever stored.
import { createHmac, randomBytes } from 'node:crypto';

const ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const PUBLIC_LENGTH = 8;
/** 43 characters of 62 are 256 bits. */
const SECRET_LENGTH = 43;
const KEY = /^(blk_(?:live|test)_[0-9A-Za-z]{8})_[0-9A-Za-z]{43}$/;
/** The largest multiple of 62 in a byte: above it a remainder would favour the first characters. */
const FAIR = 248;

export type KeyMode = 'live' | 'test';

/** A fresh key. The whole of it is the credential: show it once, store its prefix and hash. */
export const generateApiKey = (mode: KeyMode): string =>
  `blk_${mode}_${randomText(PUBLIC_LENGTH)}_${randomText(SECRET_LENGTH)}`;

/** The public prefix of a well-formed key, else undefined. */
export const prefixOf = (key: string): string | undefined => KEY.exec(key)?.[1];

/** HMAC-SHA256 of the whole key with the pepper, in lower-case hex. */
export const hashApiKey = (key: string, pepper: string): string =>
  createHmac('sha256', pepper).update(key).digest('hex');

function randomText(length: number): string {
  let text = '';
  while (text.length < length) {
    for (const byte of randomBytes(length)) {
      if (byte < FAIR && text.length < length) text += ALPHABET[byte % ALPHABET.length];
    }
  }
  return text;
}
