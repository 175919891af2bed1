// Requests whose address came from outside: judged, sent, and their redirects followed one by one (worker 11, 12).
// R1. Every address, that of a redirect too, passes `checkUrl` and then the connector; nothing else opens a socket.
// R2. What proves who asks goes to the origin that it was meant for, and not along a redirect to another one.
// R3. Answers are never decompressed, and are cut off at their limit.
import type { Dispatcher } from 'undici';
import Agent from 'undici/lib/dispatcher/agent.js';
import type { ExecutionCode, ExecutionFailure } from '../core/execution-errors.ts';
import type { Timers } from '../core/timers.ts';
import { classifyFault } from './classify.ts';
import type { EgressAllow } from './egress-allow.ts';
import { EgressDenied, egressConnector, type Resolve } from './egress-connector.ts';
import { type EgressAnswer, EgressBroken, EgressExchange } from './egress-exchange.ts';
import { checkUrl, type UrlRefusal } from './egress-url.ts';

export interface EgressOptions {
  readonly allow: EgressAllow;
  readonly timers: Timers;
  readonly connectMs: number;
  readonly resolve?: Resolve;
  readonly ownAddresses?: () => readonly string[];
}

export interface EgressRequest {
  readonly method: string;
  readonly url: string;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  /** Headers for the origin of `url` alone. */
  readonly credentials: Readonly<Record<string, string>>;
  readonly body: Uint8Array | undefined;
  readonly redirectsMax: number;
  /** Bytes of one answer's body; one more fails the request. */
  readonly maxBodyBytes: number;
  readonly signal: AbortSignal;
}

/** A request that has no answer. */
export class EgressFault extends Error {
  override readonly name = 'EgressFault';
  readonly failure: ExecutionFailure;

  constructor(failure: ExecutionFailure) {
    super(failure.message);
    this.failure = failure;
  }
}

const HEAD_BYTES_MAX = 16_384;
const KEEP_ALIVE_MS = 4_000;
const ORIGINS_MAX = 1_024;
const CONNECTIONS_PER_ORIGIN = 128;
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
/** Headers of a caller that may prove who asks, beside those that we add. */
const PROVING = /^(?:authorization|proxy-authorization|cookie|.*(?:api-?key|token|secret).*)$/;

export class Egress implements AsyncDisposable {
  readonly #agent: Agent;
  readonly #allow: EgressAllow;

  constructor(options: EgressOptions) {
    this.#allow = options.allow;
    this.#agent = new Agent({
      connect: egressConnector(options),
      connections: CONNECTIONS_PER_ORIGIN,
      maxOrigins: ORIGINS_MAX,
      pipelining: 1,
      allowH2: false,
      headersTimeout: 0,
      bodyTimeout: 0,
      maxHeaderSize: HEAD_BYTES_MAX,
      keepAliveTimeout: KEEP_ALIVE_MS,
      keepAliveMaxTimeout: KEEP_ALIVE_MS,
    });
  }

  /** Throws `EgressFault`; with the signal's reason when it is aborted. */
  async send(request: EgressRequest): Promise<EgressAnswer> {
    let hop: Hop = {
      url: this.#checked(request.url),
      method: request.method,
      headers: { ...request.headers, ...request.credentials },
      body: request.body,
    };
    for (let redirects = 0; ; redirects++) {
      // eslint-disable-next-line no-await-in-loop -- one hop leads to the next
      const answer = await this.#exchange(hop, request);
      if (request.redirectsMax === 0 || !REDIRECTS.has(answer.status)) return answer;
      if (redirects === request.redirectsMax) throw faultBy('PROVIDER_PROTOCOL_ERROR', 'too_many_redirects');
      hop = this.#next(hop, answer, Object.keys(request.credentials));
    }
  }

  /** Ends running requests and closes every socket. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#agent.destroy();
  }

  #checked(text: string, base?: URL): URL {
    const destination = checkUrl(text, this.#allow, base);
    if (destination.kind === 'allowed') return destination.url;
    throw deniedFault(destination.reason);
  }

  #next(hop: Hop, { status, headers }: EgressAnswer, credentials: readonly string[]): Hop {
    const { location } = headers;
    if (typeof location !== 'string') throw faultBy('PROVIDER_PROTOCOL_ERROR', 'redirect');
    const url = this.#checked(location, hop.url);
    const isReading = hop.method === 'GET' || hop.method === 'HEAD';
    const becomesGet = !isReading && (status === 303 || ((status === 301 || status === 302) && hop.method === 'POST'));
    const isSameOrigin = url.origin === hop.url.origin;
    const kept = Object.entries(hop.headers).filter(
      ([name]) =>
        (isSameOrigin || (!credentials.includes(name) && !PROVING.test(name))) &&
        (!becomesGet || !name.startsWith('content-')),
    );
    return {
      url,
      method: becomesGet ? 'GET' : hop.method,
      headers: Object.fromEntries(kept),
      body: becomesGet ? undefined : hop.body,
    };
  }

  async #exchange(hop: Hop, { maxBodyBytes, signal }: EgressRequest): Promise<EgressAnswer> {
    signal.throwIfAborted();
    const exchange = new EgressExchange(maxBodyBytes);
    const abort = (): void => exchange.abort(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    try {
      this.#agent.dispatch(optionsOf(hop), exchange);
      return await exchange.answer;
    } catch (fault) {
      if (signal.aborted) throw signal.reason as Error;
      throw fault instanceof EgressFault ? fault : faultOf(fault, exchange.hasHead);
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }
}

interface Hop {
  readonly url: URL;
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array | undefined;
}

const optionsOf = ({ url, method, headers, body }: Hop): Agent.DispatchOptions => ({
  origin: url.origin,
  path: `${url.pathname}${url.search}`,
  method: method as Dispatcher.HttpMethod,
  headers: { 'accept-encoding': 'identity', ...headers },
  body: body ?? null,
});

const TEXTS: Partial<Record<ExecutionCode, string>> = {
  CONNECTION_TIMEOUT: 'the server took too long',
  INVALID_INPUT: 'the address cannot be read',
  NETWORK_ERROR: 'the connection to the server failed',
  OUTPUT_TOO_LARGE: 'the answer is too large',
  PROVIDER_PROTOCOL_ERROR: 'the server broke its protocol',
  SANDBOX_VIOLATION: 'the destination may not be called',
  SYSTEM_OVERLOAD: 'too many servers are called',
};

const faultBy = (code: ExecutionCode, detailCode: string, about = ''): EgressFault =>
  new EgressFault({ code, message: `${TEXTS[code] ?? 'the request failed'}${about}`, detailCode });

/** What an address says of itself is repeated; what its name resolves to is ours to know. */
const TOLD: ReadonlySet<string> = new Set<UrlRefusal>(['scheme', 'userinfo', 'port']);

const deniedFault = (reason: string): EgressFault =>
  reason === 'invalid_url'
    ? faultBy('INVALID_INPUT', reason)
    : faultBy('SANDBOX_VIOLATION', 'destination_denied', TOLD.has(reason) ? `: ${reason}` : '');

function faultOf(fault: unknown, hasHead: boolean): EgressFault {
  if (fault instanceof EgressDenied) return deniedFault(fault.reason);
  if (fault instanceof EgressBroken) {
    return faultBy(fault.reason === 'too_large' ? 'OUTPUT_TOO_LARGE' : 'PROVIDER_PROTOCOL_ERROR', fault.reason);
  }
  const code = fault instanceof Error && 'code' in fault && typeof fault.code === 'string' ? fault.code : 'unknown';
  if (code === 'UND_ERR_MAX_ORIGINS_REACHED') return faultBy('SYSTEM_OVERLOAD', 'origins');
  const found = classifyFault(code, hasHead);
  return faultBy(found.code, found.detailCode ?? 'closed');
}
