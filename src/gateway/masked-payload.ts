// The body of a dead letter as an operator may see it over HTTP: its shape and its names, without one word or number of it.
import type { DlqEnvelope } from '../contracts/dead-letter.ts';
import { parseGuarded } from '../core/json-guard.ts';
import { redactText } from '../core/redact.ts';

const MASK = '***';
/** A larger body is not opened. */
const CHARS_MAX = 131_072;
const LIMITS = { depthMax: 32, valuesMax: 2_000 };
/** Member names that a sender declares; anything else may be data. */
const NAME = /^[A-Za-z][A-Za-z_]{0,31}$/;

export function maskedPayload({ payload, payload_encoding }: DlqEnvelope): unknown {
  if (payload_encoding !== 'base64' || payload.length > CHARS_MAX) return MASK;
  const parsed = parseGuarded(Buffer.from(payload, 'base64'), LIMITS);
  return parsed.ok ? masked(parsed.value) : MASK;
}

function masked(value: unknown): unknown {
  if (value === null || typeof value === 'boolean') return value;
  if (Array.isArray(value)) return value.map(masked);
  if (typeof value !== 'object') return MASK;
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [nameOf(name), masked(member)]));
}

const nameOf = (name: string): string => (NAME.test(name) && redactText(name) === name ? name : MASK);
