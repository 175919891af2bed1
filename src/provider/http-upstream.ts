// The one outbound HTTP client: POST, one pool per provider, a handler object per call instead of promises and streams.
// U1. The reader hears `head`, any `data`, then exactly one of `end` and `fail`; after `abort` it hears nothing.
// U2. Redirects are answers like any other and are never followed; bodies and headers are capped.
// U3. A request is written at most once. The pool looks at a kept socket before it writes to it, so one that the
// provider has closed is replaced by a new connection; whatever breaks later is a failure, and repeating is the router's.
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

export class HttpUpstream implements AsyncDisposable {
  readonly #pool: Pool;
  readonly #base: string;
  readonly #bodyBytesMax: number;
  readonly #places: UpstreamPlaces<Call>;

  /** Throws `validation_failed` unless `url` is plain http or https: no user, query or fragment. */
  constructor(url: string, limits: UpstreamLimits) {
    const target = parseUrl(url);
    this.#base = target.pathname.replace(/\/+$/, '');
    this.#bodyBytesMax = limits.maxBodyBytes;
    this.#places = new UpstreamPlaces(limits.connections);
    this.#pool = new Pool(target.origin, {
      connections: limits.connections,
      pipelining: 1,
      allowH2: false,
      connectTimeout: limits.connectMs,
      headersTimeout: 0,
      bodyTimeout: 0,
      maxHeaderSize: HEAD_BYTES_MAX,
      keepAliveTimeout: KEEP_ALIVE_MS,
      keepAliveMaxTimeout: KEEP_ALIVE_MAX_MS,
    });
  }

  /** What `post` takes for a path below the base address. */
  pathOf(below: string): string {
    return `${this.#base}${below}`;
  }

  /** `headers` is flat: name, value, name, value. The reader is never called before this returns. */
  post(path: string, headers: string[], body: string, reader: UpstreamReader): RunningCall {
    const options = { method: 'POST', path, headers, body } as const;
    const call = new Call(this.#pool, this.#places, options, reader, this.#bodyBytesMax);
    if (!this.#places.enter(call)) atTurnEnd(() => call.refuse(failureOf('SYSTEM_OVERLOAD', 'connections')));
    return call;
  }

  /** Ends running calls with a failure and closes every socket. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const call of this.#places.clear()) call.refuse(classifyFault('UND_ERR_DESTROYED', false));
    await this.#pool.destroy();
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
  readonly #pool: Pool;
  readonly #places: UpstreamPlaces<Call>;
  readonly #options: Dispatcher.DispatchOptions;
  readonly #reader: UpstreamReader;
  #bytesLeft: number;
  #controller: Dispatcher.DispatchController | undefined;
  /** The reader hears no more. */
  #isOver = false;
  /** Until the pool has ended it: also an aborted one may wait there for its connection. */
  #hasPlace = false;
  #hasHead = false;
  #informational = 0;

  constructor(
    pool: Pool,
    places: UpstreamPlaces<Call>,
    options: Dispatcher.DispatchOptions,
    reader: UpstreamReader,
    bytesMax: number,
  ) {
    this.#pool = pool;
    this.#places = places;
    this.#options = options;
    this.#reader = reader;
    this.#bytesLeft = bytesMax;
  }

  start(): void {
    this.#hasPlace = true;
    if (this.#isOver) this.#release();
    else this.#pool.dispatch(this.#options, this);
  }

  refuse(failure: ExecutionFailure): void {
    if (!this.#isOver) this.#fail(failure);
  }

  /** Destroys the socket; a call that waits for one never gets it. */
  abort(): void {
    if (!this.#isOver) this.#places.leave(this);
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
    if (this.#hasPlace) this.#places.release();
    this.#hasPlace = false;
  }
}

const stopped = new Error('stopped');
