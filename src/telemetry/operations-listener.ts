// The pages of a role that has no HTTP edge: health, metrics, state (worker 15). GET only, no body is read, nothing is asked
// of anybody: an answer costs memory reads, so that a probe can neither hang nor load what it probes.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Clock } from '../core/clock.ts';
import { type ErrorCode, errorRow } from '../core/errors.ts';
import { type Checks, HEALTH_PATHS, healthPage } from '../core/health.ts';
import type { Telemetry } from './telemetry.ts';

const HEAD_BYTES_MAX = 8_192;
const HEADERS_MAX = 50;
const CONNECTIONS_MAX = 64;
/** For a whole request, and for an idle connection. */
const PATIENCE_MS = 5_000;

export interface OperationsNeeds {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  readonly checks: () => Checks;
  readonly state: () => object;
}

export interface OperationsListener extends AsyncDisposable {
  /** With the port that was bound. */
  readonly url: string;
}

/** Rejects with the system's fault where the port cannot be bound. */
export async function openOperationsListener(needs: OperationsNeeds): Promise<OperationsListener> {
  const pages = pagesOf(needs);
  const server = createServer(
    {
      maxHeaderSize: HEAD_BYTES_MAX,
      headersTimeout: PATIENCE_MS,
      requestTimeout: PATIENCE_MS,
      keepAliveTimeout: PATIENCE_MS,
      connectionsCheckingInterval: 1_000,
    },
    (req, res) => answer(pages, req, res, needs),
  );
  server.maxHeadersCount = HEADERS_MAX;
  server.maxConnections = CONNECTIONS_MAX;
  await listening(server, needs);
  const { address, port, family } = server.address() as AddressInfo;
  return {
    url: `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`,
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

interface Page {
  readonly http: number;
  readonly type: string;
  readonly text: string;
}

type Pages = ReadonlyMap<string, () => Page>;

const json = (http: number, value: unknown): Page => ({
  http,
  type: 'application/json',
  text: JSON.stringify(value),
});

const failure = (code: ErrorCode, message: string): Page => json(errorRow(code).http, { error: { code, message } });

function pagesOf({ checks, state, clock, telemetry }: OperationsNeeds): Pages {
  const health = (page: 'ready' | 'health') => (): Page => {
    const { http, document } = healthPage(page, checks(), clock.epochMs());
    return json(http, document);
  };
  const under = (paths: readonly string[], page: () => Page) => paths.map((path) => [path, page] as const);
  return new Map([
    ...under(HEALTH_PATHS.live, () => json(200, { status: 'ok' })),
    ...under(HEALTH_PATHS.ready, health('ready')),
    ...under(HEALTH_PATHS.health, health('health')),
    ...under(['/state'], () => json(200, state())),
    ...under(['/metrics'], () => ({
      http: 200,
      type: 'text/plain; version=0.0.4; charset=utf-8',
      text: telemetry.metrics.render(),
    })),
  ]);
}

function answer(
  pages: Pages,
  { method = '', url = '' }: IncomingMessage,
  res: ServerResponse,
  { telemetry }: OperationsNeeds,
): void {
  const { http, type, text } = pageAt(pages, method, url, telemetry);
  res.writeHead(http, {
    'content-type': type,
    'content-length': Buffer.byteLength(text),
    'cache-control': 'no-store',
    ...(http === 405 ? { allow: 'GET, HEAD' } : {}),
  });
  res.end(method === 'HEAD' ? undefined : text);
}

function pageAt(pages: Pages, method: string, url: string, { log }: Telemetry): Page {
  const page = pages.get(url.split('?', 1)[0] ?? '');
  if (page === undefined) return failure('not_found', 'There is no such page.');
  if (method !== 'GET' && method !== 'HEAD') return failure('method_not_allowed', 'Pages are read by GET or HEAD.');
  try {
    return page();
  } catch (fault) {
    log.error('operations_page_failed', { fault });
    return failure('internal', 'An internal fault; the log names it.');
  }
}

function listening(server: Server, { host, port }: OperationsNeeds): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port }, () => {
      server.off('error', reject);
      resolve();
    });
  });
}
