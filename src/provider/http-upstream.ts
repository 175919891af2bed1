// The one outbound HTTP client: POST, one pool per provider, a handler object per call instead of promises and streams.
// U1. The reader hears `head`, any `data`, then exactly one of `end` and `fail`; after `abort` it hears nothing.
// U2. Redirects are answers like any other and are never followed; bodies and headers are capped.
// U3. A request is written in full at most once: a POST without an idempotency key may have been executed then. The pool
// looks at a kept socket before it writes to it, so one that the provider has closed is replaced by a new connection; one
// that turns out closed while the request is still being written costs one repeat. Whatever breaks later is a failure,
// and repeating is the router's.
// Waiting calls are bounded here (upstream-places.ts), because the pool's own queue is not. Time limits on silence belong
// to the caller.
import type { Dispatcher } from 'undici';
import Pool from 'undici/lib/dispatcher/pool.js';
import { BeamlineError } from '../core/errors.ts';
import type { ExecutionFailure } from '../core/execution-errors.ts';
import { atTurnEnd } from '../core/turn.ts';
import { classifyFault, failureOf, protocolFailure } from './classify.ts';
import type { RunningCall } from './provider.ts';
import type { UpstreamHeaders } from './retry-after.ts';
import { UnwrittenRequests } from './unwritten-requests.ts';
import { UpstreamPlaces } from './upstream-places.ts';

export interface UpstreamLimits {
  readonly connectMs: number;
  /** Bytes of an answer's body; one more ends the call. */
  readonly maxBodyBytes: number;
  /** Open sockets; as many calls again may wait for one. */
  readonly connections: number;
}

/** Hears one answer; U1 says in which order. */
export interface UpstreamReader {
  head(status: number, headers: UpstreamHeaders): void;
  data(bytes: Buffer): void;
  end(): void;
  fail(failure: ExecutionFailure): void;
}

const HEAD_BYTES_MAX = 16_384;
const INFORMATIONAL_MAX = 16;
const KEEP_ALIVE_MS = 30_000;
const KEEP_ALIVE_MAX_MS = 120_000;

/** What the calls of one provider share. */
interface Means {
  readonly pool: Pool;
  readonly places: UpstreamPlaces<Call>;
  readonly unwritten: UnwrittenRequests;
  readonly bodyBytesMax: number;
}

export class HttpUpstream implements AsyncDisposable {
  readonly #base: string;
  readonly #means: Means;

  /** Throws `validation_failed` unless `url` is plain http or https: no user, query or fragment. */
  constructor(url: string, limits: UpstreamLimits) {
    const target = parseUrl(url);
    this.#base = target.pathname.replace(/\/+$/, '');
    const unwritten = new UnwrittenRequests(limits.connectMs);
    const pool = new Pool(target.origin, {
      connections: limits.connections,
      pipelining: 1,
      allowH2: false,
      connect: unwritten.connect,
      headersTimeout: 0,
      bodyTimeout: 0,
      maxHeaderSize: HEAD_BYTES_MAX,
      keepAliveTimeout: KEEP_ALIVE_MS,
      keepAliveMaxTimeout: KEEP_ALIVE_MAX_MS,
    });
    const places = new UpstreamPlaces<Call>(limits.connections);
    this.#means = { pool, places, unwritten, bodyBytesMax: limits.maxBodyBytes };
  }

  /** What `post` takes for a path below the base address. */
  pathOf(below: string): string {
    return `${this.#base}${below}`;
  }

  /** `headers` is flat: name, value, name, value. The reader is never called before this returns. */
  post(path: string, headers: string[], body: string, reader: UpstreamReader): RunningCall {
    const options = { method: 'POST', path, headers, body } as const;
    const call = new Call(this.#means, options, reader);
    if (!this.#means.places.enter(call)) atTurnEnd(() => call.refuse(failureOf('SYSTEM_OVERLOAD', 'connections')));
    return call;
  }

  /** Ends running calls with a failure and closes every socket. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const call of this.#means.places.clear()) call.refuse(classifyFault('UND_ERR_DESTROYED', false));
    await this.#means.pool.destroy();
  }
}

function parseUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isPlain =
    url !== undefined &&
    (url.protocol === 'http:' || url.protocol === 'https:') &&
    url.username === '' &&
    url.password === '' &&
    !/[?#]/.test(text);
  if (isPlain) return url;
  throw new BeamlineError('validation_failed', 'a base address is http or https, without user, query or fragment', {
    details: { field: 'base_url' },
  });
}

class Call implements Dispatcher.DispatchHandler, RunningCall {
  readonly #means: Means;
  readonly #options: Dispatcher.DispatchOptions;
  readonly #reader: UpstreamReader;
  #bytesLeft: number;
  #controller: Dispatcher.DispatchController | undefined;
  /** The reader hears no more. */
  #isOver = false;
  /** Until the pool has ended it: also an aborted one may wait there for its connection. */
  #hasPlace = false;
  #hasHead = false;
  #isRepeat = false;
  #informational = 0;

  constructor(means: Means, options: Dispatcher.DispatchOptions, reader: UpstreamReader) {
    this.#means = means;
    this.#options = options;
    this.#reader = reader;
    this.#bytesLeft = means.bodyBytesMax;
  }

  start(): void {
    this.#hasPlace = true;
    if (this.#isOver) this.#release();
    else this.#means.pool.dispatch(this.#options, this);
  }

  refuse(failure: ExecutionFailure): void {
    if (!this.#isOver) this.#fail(failure);
  }

  /** Destroys the socket; a call that waits for one never gets it. */
  abort(): void {
    if (!this.#isOver) this.#means.places.leave(this);
    this.#isOver = true;
    this.#controller?.abort(stopped);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#isOver) controller.abort(stopped);
  }

  onResponseStart(_controller: Dispatcher.DispatchController, status: number, headers: UpstreamHeaders): void {
    if (this.#isOver) return;
    if (status < 200) {
      if (++this.#informational > INFORMATIONAL_MAX) this.#break('informational');
      return;
    }
    this.#hasHead = true;
    this.#reader.head(status, headers);
  }

  onResponseData(_controller: Dispatcher.DispatchController, bytes: Buffer): void {
    if (this.#isOver) return;
    this.#bytesLeft -= bytes.length;
    if (this.#bytesLeft < 0) this.#break('too_large');
    else this.#reader.data(bytes);
  }

  onResponseEnd(): void {
    this.#release();
    if (this.#isOver) return;
    this.#isOver = true;
    this.#reader.end();
  }

  onResponseError(_controller: Dispatcher.DispatchController | undefined, error: Error): void {
    if (!this.#isOver && !this.#isRepeat && this.#means.unwritten.has(error)) {
      this.#isRepeat = true;
      this.#means.pool.dispatch(this.#options, this);
      return;
    }
    this.#release();
    if (this.#isOver) return;
    const code = 'code' in error && typeof error.code === 'string' ? error.code : error.name;
    this.#fail(classifyFault(code, this.#hasHead));
  }

  #break(detailCode: string): void {
    this.#fail(protocolFailure(detailCode));
    this.#controller?.abort(stopped);
  }

  #fail(failure: ExecutionFailure): void {
    this.#isOver = true;
    this.#reader.fail(failure);
  }

  #release(): void {
    if (this.#hasPlace) this.#means.places.release();
    this.#hasPlace = false;
  }
}

const stopped = new Error('stopped');
