// Refuses a request head that two readers could understand differently (gateway 2). Looks at names and the target only;
// whoever fails here gets an answer and a closed socket.
import type { IncomingMessage } from 'node:http';
import { BeamlineError } from '../core/errors.ts';

/** Headers that must come once, by length of the name, so that most headers cost one look-up. */
const SINGLE: readonly (string | undefined)[] = sparse([
  'host',
  'authorization',
  'x-api-key',
  'content-type',
  'idempotency-key',
  'traceparent',
]);
const METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);
const DOT_SEGMENT = /(?:^|\/)(?:\.|%2e){1,2}(?:\/|$)/i;
const QUERY_KEYS_MAX = 100;

/** Undefined for a head that may pass. Makes an absolute-form target of ours an origin-form one. */
export function faultOfHead(req: IncomingMessage, headersMax: number): BeamlineError | undefined {
  const { rawHeaders, headers } = req;
  if (rawHeaders.length > 2 * headersMax) {
    return new BeamlineError('headers_too_large', `A request may have ${headersMax} headers.`);
  }
  const repeated = repeatedHeader(rawHeaders);
  if (repeated !== undefined) return refused('duplicate_header', `The header ${repeated} must come once.`);
  if (headers.host === undefined && req.httpVersionMinor > 0) return refused('host', 'The header host is missing.');
  if (req.httpVersionMinor === 0 && headers['transfer-encoding'] !== undefined) {
    return refused('transfer_encoding', 'HTTP/1.0 has no chunks.');
  }
  if (headers.upgrade?.toLowerCase() === 'websocket') return refused('upgrade', 'The protocol is not served.');
  if (!METHODS.has(req.method ?? '')) return new BeamlineError('method_not_allowed', 'The method is not served.');
  return faultOfTarget(req, headers.host ?? '');
}

function faultOfTarget(req: IncomingMessage, host: string): BeamlineError | undefined {
  let target = req.url ?? '';
  if (!target.startsWith('/')) {
    const own = `http://${host}`;
    if (host === '' || !target.toLowerCase().startsWith(`${own.toLowerCase()}/`)) {
      return refused('target', 'The request target is not of this server.');
    }
    target = target.slice(own.length);
    req.url = target;
  }
  const mark = target.indexOf('?');
  const path = mark < 0 ? target : target.slice(0, mark);
  if (path.includes('%') && !isDecodable(path)) return refused('encoding', 'The path is not well encoded.');
  if (/%2f|%5c|%00/i.test(path)) return refused('encoded_slash', 'The path may not hold encoded slashes.');
  if (path.includes('/.') || path.includes('%2')) {
    if (DOT_SEGMENT.test(path)) return refused('dot_segment', 'The path may not hold dot segments.');
  }
  return mark < 0 ? undefined : faultOfQuery(target.slice(mark + 1));
}

function faultOfQuery(query: string): BeamlineError | undefined {
  const keys = new Set<string>();
  for (const pair of query.split('&', QUERY_KEYS_MAX + 1)) {
    if (pair === '') continue;
    if (!isDecodable(pair)) return refused('encoding', 'The query is not well encoded.');
    const key = decodeURIComponent(pair.split('=', 1)[0] ?? '');
    if (keys.has(key)) return refused('repeated_query_key', 'A query key must come once.');
    keys.add(key);
    if (keys.size > QUERY_KEYS_MAX) return refused('query_keys', `A query may have ${QUERY_KEYS_MAX} keys.`);
  }
  return undefined;
}

const refused = (reason: string, message: string): BeamlineError =>
  new BeamlineError('invalid_request', message, { details: { reason } });

function repeatedHeader(rawHeaders: readonly string[]): string | undefined {
  let seen = 0;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? '';
    const single = SINGLE[name.length];
    if (single === undefined || (name !== single && name.toLowerCase() !== single)) continue;
    const bit = 1 << name.length;
    if ((seen & bit) !== 0) return single;
    seen |= bit;
  }
  return undefined;
}

function isDecodable(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    return false;
  }
}

function sparse(names: readonly string[]): (string | undefined)[] {
  const byLength: (string | undefined)[] = Array.from({ length: 256 }, () => undefined);
  for (const name of names) byLength[name.length] = name;
  return byLength;
}
