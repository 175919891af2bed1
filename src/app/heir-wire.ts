// One HTTP request to the policy store, and its whole answer or why there is none. Repeating is the client's.
// W1. A request is over within its time, whatever the other side does: nothing, a slow head, an endless body.
// W2. Redirects are answers like any other: the credential goes to the configured address only.
// W3. Certificates are read again for every request; a set that does not fit together leaves the last good one.
import { Agent as HttpAgent, type ClientRequest, type IncomingMessage, request as httpRequest } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { createSecureContext } from 'node:tls';
import type { Secret } from '../config/secret.ts';
import { BeamlineError } from '../core/errors.ts';
import type { Timers } from '../core/timers.ts';

export interface WireTarget {
  /** `http` or `https`, without a slash at its end. */
  readonly address: string;
  readonly token: Secret | undefined;
  readonly ca: Secret | undefined;
  readonly cert: Secret | undefined;
  readonly key: Secret | undefined;
}

export interface WireRequest {
  readonly method: 'GET' | 'PUT' | 'DELETE';
  /** From `/api/v1` on, encoded. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | undefined;
}

export type Exchange =
  | { readonly kind: 'answered'; readonly message: IncomingMessage; readonly bytes: Buffer }
  /** `wasSent`: the store may have seen the request. */
  | { readonly kind: 'failed'; readonly reason: WireFailure; readonly wasSent: boolean; readonly fault?: unknown };

type WireFailure = 'unreachable' | 'timeout' | 'too_large' | 'truncated';

/** Sockets to the store (policy 12.2). */
const CONNECTIONS_MAX = 16;
/** Below the five seconds after which common servers close an idle socket. */
const IDLE_MS = 4000;
/** A page of 100 policies of 256 KiB and their records. */
const BODY_BYTES_MAX = 33_554_432;

type TlsMaterial = { readonly ca?: string; readonly cert?: string; readonly key?: string };

export class HeirWire implements Disposable {
  readonly #url: URL;
  readonly #target: WireTarget;
  readonly #timers: Timers;
  readonly #agent: HttpAgent;
  readonly #isTls: boolean;
  readonly #open = new Set<ClientRequest>();
  #tls: TlsMaterial;

  /** Throws `validation_failed` for certificates that cannot be used. */
  constructor(target: WireTarget, timers: Timers) {
    this.#url = new URL(target.address);
    this.#isTls = this.#url.protocol === 'https:';
    this.#target = target;
    this.#timers = timers;
    const limits = { keepAlive: true, maxSockets: CONNECTIONS_MAX, maxTotalSockets: CONNECTIONS_MAX, timeout: IDLE_MS };
    this.#agent = this.#isTls ? new HttpsAgent(limits) : new HttpAgent(limits);
    this.#tls = readTls(target);
    try {
      createSecureContext(this.#tls);
    } catch (cause) {
      throw new BeamlineError('validation_failed', 'the certificates of heir_policy_store cannot be used', {
        cause,
        details: { reason: 'configuration' },
      });
    }
  }

  /** Never rejects. */
  async exchange(request: WireRequest, timeoutMs: number): Promise<Exchange> {
    const { promise, resolve } = Promise.withResolvers<Exchange>();
    let wasSent = false;
    const fail = (reason: WireFailure, fault?: unknown): void => resolve({ kind: 'failed', reason, wasSent, fault });
    let outgoing: ClientRequest;
    try {
      outgoing = this.#start(request);
    } catch (fault) {
      // A credential with a line break, for example: nothing of it was written.
      return { kind: 'failed', reason: 'unreachable', wasSent, fault };
    }
    this.#open.add(outgoing);
    const timer = this.#timers.after(timeoutMs, () => {
      fail('timeout');
      outgoing.destroy();
    });
    outgoing.once('socket', (socket) => {
      if (!socket.connecting) wasSent = true;
      else socket.once(this.#isTls ? 'secureConnect' : 'connect', () => (wasSent = true));
    });
    outgoing.on('error', (fault) => fail('unreachable', fault));
    outgoing.once('response', (message) => {
      readBody(message, (bytes) => {
        if (typeof bytes !== 'string') resolve({ kind: 'answered', message, bytes });
        else {
          fail(bytes);
          outgoing.destroy();
        }
      });
    });
    outgoing.end(request.body);
    const exchange = await promise;
    timer.cancel();
    this.#open.delete(outgoing);
    return exchange;
  }

  /** Running requests fail; those that wait for a socket first, or they would get one. */
  [Symbol.dispose](): void {
    for (const outgoing of [...this.#open].toReversed()) outgoing.destroy();
    this.#agent.destroy();
  }

  #start({ method, path, headers, body }: WireRequest): ClientRequest {
    const { hostname, port, pathname } = this.#url;
    const token = this.#target.token?.();
    const options = {
      agent: this.#agent,
      method,
      host: hostname.replace(/^\[|\]$/g, ''),
      path: `${pathname === '/' ? '' : pathname}${path}`,
      headers: {
        accept: 'application/json',
        ...headers,
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined
          ? {}
          : { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(body)) }),
      },
      ...(port === '' ? {} : { port }),
    };
    return this.#isTls ? httpsRequest({ ...options, ...this.#freshTls() }) : httpRequest(options);
  }

  /** The agent keeps sockets apart by what they were opened with: new certificates never ride on old sockets. */
  #freshTls(): TlsMaterial {
    const next = readTls(this.#target);
    if (next.ca === this.#tls.ca && next.cert === this.#tls.cert && next.key === this.#tls.key) return this.#tls;
    try {
      createSecureContext(next);
      this.#tls = next;
    } catch {
      // A certificate whose key has not been replaced yet.
    }
    return this.#tls;
  }
}

function readTls(target: WireTarget): TlsMaterial {
  const [ca, cert, key] = [target.ca?.(), target.cert?.(), target.key?.()];
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  };
}

/** Tells the bytes once they are complete, or what was wrong with them; once. */
function readBody(message: IncomingMessage, tell: (bytes: Buffer | 'too_large' | 'truncated') => void): void {
  const chunks: Buffer[] = [];
  let length = 0;
  message.on('data', (chunk: Buffer) => {
    length += chunk.length;
    if (length > BODY_BYTES_MAX) tell('too_large');
    else chunks.push(chunk);
  });
  message.on('end', () => tell(message.complete ? Buffer.concat(chunks, length) : 'truncated'));
  message.on('error', () => tell('truncated'));
}
