// Operations on the HTTP policy store (policy 12.2): one request with its retries, within one deadline.
// C1. A PUT or DELETE that the store may have seen is never sent again.
// C2. One request per resource is in flight: equal reads share an answer, everything else waits its turn.
// C3. What could not be read is a failure, never an empty answer.
import type { Timers } from '../core/timers.ts';
import type { Log } from '../telemetry/log.ts';
import { type HeirAnswer, type Judged, judge, unavailable } from './heir-answer.ts';
import { HeirBreaker } from './heir-breaker.ts';
import { KeptAnswers } from './heir-kept.ts';
import { HeirWire, type WireRequest, type WireTarget } from './heir-wire.ts';

export interface HeirRequest {
  readonly method: 'GET' | 'PUT' | 'DELETE';
  /** The resource, encoded, from `/api/v1` on. */
  readonly path: string;
  readonly query?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

export interface ClientOptions {
  readonly target: WireTarget;
  /** Milliseconds of an operation with its retries. */
  readonly timeoutMs: number;
  readonly requestTimeoutMs: number;
  readonly timers: Timers;
  readonly log: Log;
  readonly random: () => number;
}

const RETRY_MS = [50, 150];
/** Operations under way, waiting ones included; more are refused. */
const OPERATIONS_MAX = 256;

export class HeirClient implements AsyncDisposable {
  readonly #options: ClientOptions;
  readonly #wire: HeirWire;
  readonly #breaker: HeirBreaker;
  readonly #kept = new KeptAnswers();
  readonly #reads = new Map<string, Promise<HeirAnswer>>();
  /** The last operation on each resource. */
  readonly #turns = new Map<string, Promise<unknown>>();
  readonly #closing = new AbortController();
  #operations = 0;
  #isRefused = false;

  /** Throws `validation_failed` for certificates that cannot be used. */
  constructor(options: ClientOptions) {
    this.#options = options;
    this.#wire = new HeirWire(options.target, options.timers);
    this.#breaker = new HeirBreaker(options.timers.clock);
  }

  /** Throws `unavailable`, with `retryAfterMs` where it is known, when the store does not answer. */
  send(request: HeirRequest): Promise<HeirAnswer> {
    if (request.method !== 'GET') return this.#inTurn(request);
    const key = `${request.path}?${request.query ?? ''}`;
    const running = this.#reads.get(key);
    if (running !== undefined) return running;
    const read = this.#inTurn(request).finally(() => this.#reads.delete(key));
    this.#reads.set(key, read);
    return read;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(unavailable('closed'));
    this.#wire[Symbol.dispose]();
    await Promise.allSettled(this.#turns.values());
  }

  async #inTurn(request: HeirRequest): Promise<HeirAnswer> {
    if (this.#operations >= OPERATIONS_MAX) throw unavailable('too_many_operations');
    this.#operations++;
    const deadlineMs = this.#options.timers.clock.nowMs() + this.#options.timeoutMs;
    const before = this.#turns.get(request.path) ?? Promise.resolve();
    // Nobody in front takes longer than its own deadline, which is earlier than ours.
    const turn = before.then(
      () => this.#tries(request, deadlineMs),
      () => this.#tries(request, deadlineMs),
    );
    this.#turns.set(request.path, turn);
    try {
      return await turn;
    } finally {
      this.#operations--;
      if (this.#turns.get(request.path) === turn) this.#turns.delete(request.path);
    }
  }

  async #tries(request: HeirRequest, deadlineMs: number): Promise<HeirAnswer> {
    const { timers, random, log } = this.#options;
    for (let tried = 0; ; tried++) {
      this.#closing.signal.throwIfAborted();
      const leftMs = deadlineMs - timers.clock.nowMs();
      if (leftMs <= 0) throw unavailable('timeout');
      const pass = this.#breaker.enter();
      if (typeof pass === 'number') throw unavailable('breaker_open', { retryAfterMs: pass });
      // eslint-disable-next-line no-await-in-loop -- tries come one after the other
      const judged = await this.#try(request, leftMs);
      pass.heard(judged.kind !== 'failed');
      if (judged.kind === 'good') {
        this.#isRefused = false;
        return judged.answer;
      }
      if (judged.kind === 'refused') {
        // Told once, not at every poll.
        if (!this.#isRefused) log.error('heir_policy_store_refused', { method: request.method, status: judged.status });
        this.#isRefused = true;
        throw unavailable('credential_refused', { status: judged.status });
      }
      const backoffMs = RETRY_MS[tried];
      const waitMs = Math.max((backoffMs ?? 0) * spread(random()), judged.retryAfterMs);
      if (backoffMs === undefined || !judged.mayRepeat || timers.clock.nowMs() + waitMs >= deadlineMs) {
        throw unavailable(judged.reason, judged);
      }
      // eslint-disable-next-line no-await-in-loop -- as above
      await timers.sleep(waitMs, this.#closing.signal);
    }
  }

  async #try({ method, path, query, headers = {}, body }: HeirRequest, leftMs: number): Promise<Judged> {
    const full = query === undefined ? path : `${path}?${query}`;
    const kept = method === 'GET' ? this.#kept.find(full) : undefined;
    const request: WireRequest = {
      method,
      path: full,
      headers: kept === undefined ? headers : { ...headers, 'if-none-match': kept.etag },
      body,
    };
    const exchange = await this.#wire.exchange(request, Math.min(leftMs, this.#options.requestTimeoutMs));
    if (exchange.kind === 'answered' && exchange.message.statusCode === 304 && kept !== undefined) {
      return { kind: 'good', answer: kept.answer };
    }
    const judged = judge(exchange, method, this.#options.timers.clock);
    if (method === 'GET' && judged.kind === 'good') this.#kept.keep(full, judged.answer);
    return judged;
  }
}

/** A factor of 1, give or take a tenth; `draw` is from 0 to 1. */
export const spread = (draw: number): number => 0.9 + 0.2 * draw;
