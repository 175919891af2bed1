// One HTTP request and its one answer: identifiers, headers, envelope, the access line and the counters.
// C1. A call is answered or abandoned exactly once; whatever comes later is ignored.
// C2. An answer given before the body was read closes the socket, unless the rest is small enough to be skipped.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Principal } from '../auth/principal.ts';
import { BeamlineError } from '../core/errors.ts';
import { newRequestId } from '../core/ids.ts';
import type { Timers } from '../core/timers.ts';
import { atTurnEnd } from '../core/turn.ts';
import type { Log } from '../telemetry/log.ts';
import type { EdgeMetrics } from './edge-metrics.ts';
import type { Backpressure } from './backpressure.ts';
import { unmappedCode } from './bus-error.ts';
import { errorAnswer } from './error-answer.ts';
import { errorClassOf } from './error-class.ts';
import { dialectOf, type HttpDialect } from './http-dialect.ts';
import type { Lifecycle, Waiting } from './lifecycle.ts';
import type { Routed } from './order.ts';
import type { Route } from './route.ts';
import type { RouteCounters } from './route-counters.ts';
import { type TraceContext, traceOf } from './trace-context.ts';

/** What all calls of a gateway share. */
export interface Edge {
  readonly log: Log;
  readonly metrics: EdgeMetrics;
  readonly timers: Timers;
  readonly lifecycle: Lifecycle;
  readonly unrouted: RouteCounters;
  readonly backpressure: Backpressure;
}

/** Who works on a call after its handler has returned. */
export interface Owner {
  /** The client left; nothing can be written any more. */
  gone(): void;
  /** The process ends: answer with this error and give the work up. */
  abort(error: BeamlineError): void;
}

const CLIENT_ID = /^[\x21-\x7e]{1,128}$/;
/** Unread bytes that are skipped to keep a socket. */
const SKIP_BYTES_MAX = 65_536;
/** How long an answered socket stays open for a peer that still sends. */
const LINGER_MS = 500;

export class Call implements Waiting {
  readonly requestId: string;
  readonly dialect: HttpDialect;
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly trace: TraceContext;
  readonly startedMs: number;
  principal: Principal | undefined;
  tenantId = '';
  owner: Owner | undefined;
  /** How the answer is routed, for the access line. */
  routed: Pick<Routed, 'providerId' | 'model' | 'policyId'> | undefined;
  readonly #edge: Edge;
  #counters: RouteCounters;
  readonly #place: number;
  #isPublic = false;
  #isOver = false;

  constructor(edge: Edge, req: IncomingMessage, res: ServerResponse) {
    const { clock } = edge.timers;
    this.#edge = edge;
    this.req = req;
    this.res = res;
    this.requestId = newRequestId(clock);
    this.dialect = dialectOf(req.url ?? '', req.headers);
    this.trace = traceOf(req.headers);
    this.startedMs = clock.nowMs();
    this.#counters = edge.unrouted;
    this.#place = edge.lifecycle.enter(this);
    res.on('close', () => this.#closed());
  }

  get traceId(): string {
    return this.trace.traceId;
  }

  get edge(): Edge {
    return this.#edge;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  take(route: Pick<Route, 'access'>, counters: RouteCounters): void {
    this.#counters = counters;
    this.#isPublic = route.access === 'public';
  }

  /** A header that is a single text. */
  header(name: string): string | undefined {
    const value = this.req.headers[name];
    return typeof value === 'string' ? value : undefined;
  }

  json(status: number, value: unknown): void {
    this.send(status, ['content-type', 'application/json'], JSON.stringify(value));
  }

  /** The whole answer; `headers` are name and value in turn. */
  send(status: number, headers: readonly string[], body: string): void {
    if (this.#isOver) return;
    this.#write(status, headers, body, false);
    this.finish(status);
  }

  /** Answers an error. `mustClose` for a head or body that was not understood to its end. */
  fail(error: BeamlineError, mustClose = false): void {
    if (this.#isOver) return;
    const answer = errorAnswer(error, this.dialect, this);
    const allow = error.details['allow'];
    const headers = typeof allow === 'string' ? [...answer.headers, 'allow', allow] : answer.headers;
    // A head or body that did not come to its end leaves nothing to go on with.
    const isCut = answer.status === 408 || answer.status === 431;
    this.#write(answer.status, headers, answer.body, mustClose || isCut);
    this.finish(answer.status, error);
  }

  /** Writes the head of a stream; the owner writes the rest and calls `finish`. */
  writeHead(status: number, headers: readonly string[]): void {
    this.res.writeHead(status, this.#headers(headers, this.#edge.lifecycle.phase === 'draining'));
  }

  /** Counts and logs the call; after this it is over. `status` is the one that the log shows. */
  finish(status: number, error?: BeamlineError): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.owner = undefined;
    this.#edge.lifecycle.leave(this.#place);
    const latencyMs = this.#edge.timers.clock.nowMs() - this.startedMs;
    this.#counters.observe(this.req.method ?? '', status, latencyMs / 1000);
    this.#log(status, Math.round(latencyMs * 100) / 100, error);
  }

  shutDown(): void {
    const error = new BeamlineError('draining', 'The server is shutting down.');
    if (this.owner === undefined) this.fail(error, true);
    else this.owner.abort(error);
  }

  #closed(): void {
    if (this.#isOver) return;
    this.#edge.metrics.disconnects.of(this.dialect).add();
    this.owner?.gone();
    this.finish(499, new BeamlineError('client_closed', 'The client left.'));
  }

  #write(status: number, headers: readonly string[], body: string, mustClose: boolean): void {
    const { res, req } = this;
    const unread = unreadBytes(req);
    const isClosing = mustClose || unread > SKIP_BYTES_MAX || this.#edge.lifecycle.phase === 'draining';
    const head = this.#headers(headers, isClosing);
    head.push('content-length', String(Buffer.byteLength(body)));
    if (unread === 0 || !isClosing) {
      atTurnEnd(() => res.writeHead(status, head).end(body));
      return;
    }
    res.writeHead(status, head);
    // Closing while the peer sends would reset the connection under the answer.
    res.write(body);
    const timer = this.#edge.timers.after(LINGER_MS, () => res.end());
    req.on('end', () => res.end()).resume();
    res.on('close', () => timer.cancel());
  }

  #headers(more: readonly string[], isClosing: boolean): string[] {
    const given = this.header('x-request-id') ?? this.header('x-client-request-id');
    const correlation = given !== undefined && CLIENT_ID.test(given) ? given : this.requestId;
    const headers = [
      'x-request-id',
      correlation,
      'x-beamline-request-id',
      this.requestId,
      'traceparent',
      this.trace.traceparent,
      ...more,
    ];
    if (this.dialect === 'anthropic') headers.push('request-id', correlation);
    if (isClosing) headers.push('connection', 'close');
    return headers;
  }

  #log(status: number, latencyMs: number, error: BeamlineError | undefined): void {
    const { log, metrics } = this.#edge;
    const errorClass = error === undefined ? undefined : errorClassOf(error);
    if (error !== undefined && errorClass !== undefined) {
      metrics.errors.of(error.code, errorClass).add();
      const unmapped = unmappedCode(error);
      if (unmapped !== undefined) metrics.unmapped.of(unmapped.origin).add();
      if (error.code === 'internal') {
        log.error('request_fault', { request_id: this.requestId, detail_code: unmapped?.code, fault: error });
      }
    }
    const fields = {
      request_id: this.requestId,
      trace_id: this.trace.traceId,
      tenant_id: this.tenantId,
      method: this.req.method ?? '',
      route: this.#counters.route,
      status,
      latency_ms: latencyMs,
      provider: this.routed?.providerId,
      model: this.routed?.model,
      policy: this.routed?.policyId,
      code: error?.code,
      error_class: errorClass,
    };
    if (this.#isPublic) log.debug('request', fields);
    else log.info('request', fields);
  }
}

/** Bytes of the body that have not come yet; infinite for a body of unknown length. */
function unreadBytes({ complete, headers }: IncomingMessage): number {
  if (complete) return 0;
  if (headers['transfer-encoding'] !== undefined) return Number.POSITIVE_INFINITY;
  return Number(headers['content-length'] ?? 0);
}
