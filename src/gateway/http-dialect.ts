// In which words a path answers: its errors, and the label of its metrics (gateway 2).
import type { IncomingHttpHeaders } from 'node:http';

export const HTTP_DIALECTS = ['openai', 'anthropic', 'native'] as const;
export type HttpDialect = (typeof HTTP_DIALECTS)[number];

const isUnder = (path: string, prefix: string): boolean =>
  path.startsWith(prefix) && (path.length === prefix.length || '/?'.includes(path.charAt(prefix.length)));

/** `target` is a path, with or without a query, or the absolute form of one. */
export function dialectOf(target: string, headers: IncomingHttpHeaders): HttpDialect {
  const path = target.startsWith('/') ? target : target.replace(/^[a-z]+:\/\/[^/]*/i, '');
  if (!path.startsWith('/v1/')) return 'native';
  if (isUnder(path, '/v1/messages')) return 'anthropic';
  return headers['anthropic-version'] !== undefined && isUnder(path, '/v1/models') ? 'anthropic' : 'openai';
}
