// Refuses JSON that a careful reader must not accept, before and after one JSON.parse.
// The scan jumps over strings, so it costs by structure, not by length of the text: depth and counts are known before
// the parser allocates anything; duplicate keys show as a difference between colons in the text and keys in the value.
import { isUtf8 } from 'node:buffer';

export interface JsonLimits {
  readonly depthMax: number;
  readonly valuesMax: number;
}

/** Why a text was refused; the words are the `details.reason` of an answer. */
export type JsonFault =
  | 'invalid_utf8'
  | 'byte_order_mark'
  | 'syntax'
  | 'depth'
  | 'too_many_values'
  | 'duplicate_key'
  | 'forbidden_key'
  | 'lone_surrogate'
  | 'non_finite_number'
  | 'inexact_number';

export type GuardedJson =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly fault: JsonFault };

const QUOTE = 34;
const COMMA = 44;
const MINUS = 45;
const COLON = 58;
const BACKSLASH = 92;
const OPEN_BRACKET = 91;
const CLOSE_BRACKET = 93;
const UPPER_E = 69;
const LOWER_E = 101;
const OPEN_BRACE = 123;
const CLOSE_BRACE = 125;
const NUMBER = /-?(\d[\d.]*)(?:[eE][+-]?\d+)?/g;

const refuse = (fault: JsonFault): GuardedJson => ({ ok: false, fault });

/** Parses UTF-8 bytes. Never throws: what is wrong comes back as a fault. */
export function parseGuarded(bytes: Buffer, limits: JsonLimits): GuardedJson {
  if (!isUtf8(bytes)) return refuse('invalid_utf8');
  return parseGuardedText(bytes.toString('utf8'), limits);
}

export function parseGuardedText(text: string, limits: JsonLimits): GuardedJson {
  if (text.charCodeAt(0) === 0xfeff) return refuse('byte_order_mark');
  const shape = scan(text, limits);
  if (typeof shape === 'string') return refuse(shape);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return refuse('syntax');
  }
  const walk = new Walk(text.includes('\\u'));
  const fault = walk.fault(value) ?? (walk.keys === shape.colons ? undefined : 'duplicate_key');
  if (fault === undefined && (walk.hasLarge || shape.hasSmall) && isInexact(text)) return refuse('inexact_number');
  return fault === undefined ? { ok: true, value } : refuse(fault);
}

/** Whether the nesting of a JSON text stays within `depthMax`; says nothing else of the text. */
export const isShallow = (text: string, depthMax: number): boolean =>
  typeof scan(text, { depthMax, valuesMax: Number.POSITIVE_INFINITY }) !== 'string';

/** The same of a value that is not written yet. */
export function nestsAtMost(value: unknown, depthMax: number): boolean {
  if (typeof value !== 'object' || value === null) return true;
  if (depthMax === 0) return false;
  const members: readonly unknown[] = Array.isArray(value) ? value : Object.values(value);
  return members.every((member) => nestsAtMost(member, depthMax - 1));
}

interface Shape {
  readonly colons: number;
  /** A number has a negative exponent. */
  readonly hasSmall: boolean;
}

function scan(text: string, limits: JsonLimits): Shape | JsonFault {
  let depth = 0;
  let values = 1;
  let colons = 0;
  let hasSmall = false;
  for (let i = 0; i < text.length; i++) {
    switch (text.charCodeAt(i)) {
      case QUOTE:
        i = endOfString(text, i);
        if (i < 0) return 'syntax';
        break;
      case COLON:
        colons++;
        break;
      case COMMA:
        if (++values > limits.valuesMax) return 'too_many_values';
        break;
      case OPEN_BRACKET:
      case OPEN_BRACE:
        if (++depth > limits.depthMax) return 'depth';
        values++;
        break;
      case CLOSE_BRACKET:
      case CLOSE_BRACE:
        depth--;
        break;
      case LOWER_E:
      case UPPER_E:
        if (text.charCodeAt(i + 1) === MINUS) hasSmall = true;
        break;
    }
  }
  return { colons, hasSmall };
}

/** Whether a number of a well-formed text is not the one that was parsed: an integer with other digits, or a zero. */
function isInexact(text: string): boolean {
  let from = 0;
  for (let quote = text.indexOf('"'); quote >= 0; quote = text.indexOf('"', from)) {
    if (hasInexact(text.slice(from, quote))) return true;
    from = endOfString(text, quote) + 1;
  }
  return hasInexact(text.slice(from));
}

/** `text` holds no string. */
function hasInexact(text: string): boolean {
  for (const [number, mantissa = ''] of text.matchAll(NUMBER)) {
    const value = Number(number);
    if (value === 0 && /[1-9]/.test(mantissa)) return true;
    if (!Number.isSafeInteger(value) && /^-?\d+$/.test(number) && String(value) !== number) return true;
  }
  return false;
}

/** The index of the quote that ends the string which starts at `start`, or -1. */
function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end >= 0; end = text.indexOf('"', end + 1)) {
    let slashes = 0;
    while (text.charCodeAt(end - 1 - slashes) === BACKSLASH) slashes++;
    if (slashes % 2 === 0) return end;
  }
  return -1;
}

class Walk {
  keys = 0;
  /** A number is beyond what integers are told apart by. */
  hasLarge = false;
  readonly #hasEscapes: boolean;

  /** Surrogates can only be alone where an escape wrote them: the bytes were valid UTF-8. */
  constructor(hasEscapes: boolean) {
    this.#hasEscapes = hasEscapes;
  }

  fault(value: unknown): JsonFault | undefined {
    if (typeof value === 'string') return this.#hasEscapes && !value.isWellFormed() ? 'lone_surrogate' : undefined;
    if (typeof value === 'number') return this.#number(value);
    if (typeof value !== 'object' || value === null) return undefined;
    return Array.isArray(value) ? this.#items(value) : this.#members(value as Record<string, unknown>);
  }

  #number(value: number): JsonFault | undefined {
    if (value <= Number.MAX_SAFE_INTEGER && value >= Number.MIN_SAFE_INTEGER) return undefined;
    this.hasLarge = true;
    return Number.isFinite(value) ? undefined : 'non_finite_number';
  }

  #items(items: readonly unknown[]): JsonFault | undefined {
    for (const item of items) {
      const fault = this.fault(item);
      if (fault !== undefined) return fault;
    }
    return undefined;
  }

  #members(members: Record<string, unknown>): JsonFault | undefined {
    for (const key of Object.keys(members)) {
      this.keys++;
      if (key === '__proto__') return 'forbidden_key';
      const value = members[key];
      if (key === 'constructor' && typeof value === 'object' && value !== null && Object.hasOwn(value, 'prototype')) {
        return 'forbidden_key';
      }
      const fault = this.fault(key) ?? this.fault(value);
      if (fault !== undefined) return fault;
    }
    return undefined;
  }
}
