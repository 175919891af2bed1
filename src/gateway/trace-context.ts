// The W3C trace context of a request: continued if it is valid, else started; never a reason to refuse (gateway 3, 5.1).
import type { IncomingHttpHeaders } from 'node:http';
import { newHex } from '../core/ids.ts';

const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(?:-.*)?$/;
const ALIAS = /^(?!0{32})[0-9a-f]{32}$/;

export interface TraceContext {
  readonly traceId: string;
  /** The header of the answer: the trace with this request's own span. */
  readonly traceparent: string;
}

export function traceOf(headers: IncomingHttpHeaders): TraceContext {
  const given = headers['traceparent'];
  if (typeof given === 'string') {
    const match = TRACEPARENT.exec(given);
    return context(match?.[1], match?.[2]);
  }
  return context(aliasOf(headers['x-trace-id']) ?? aliasOf(headers['x-portkey-trace-id']), undefined);
}

function context(given: string | undefined, flags = '01'): TraceContext {
  if (given !== undefined) return { traceId: given, traceparent: `00-${given}-${newHex(8)}-${flags}` };
  const both = newHex(24);
  const traceId = both.slice(0, 32);
  return { traceId, traceparent: `00-${traceId}-${both.slice(32)}-${flags}` };
}

/** 32 hex digits or a UUID. */
function aliasOf(value: string | string[] | undefined): string | undefined {
  if (typeof value !== 'string') return undefined;
  const hex = value.replaceAll('-', '').toLowerCase();
  return ALIAS.test(hex) ? hex : undefined;
}
