// Answers an order as server-sent events (gateway 11.1).
// S1. The head waits for the first event or the end, so that a failure before content has a real status.
// S2. Events leave whole, in order and in the turn of the loop in which they came; nothing but their text is made.
// S3. Exactly one terminal event: `[DONE]`, or the error. A reader who is too slow, or gone, gets none.
import type { EndFrame } from '../contracts/frames.ts';
import type { CancelReason } from '../contracts/cancel.ts';
import { BeamlineError } from '../core/errors.ts';
import { atTurnEnd } from '../core/turn.ts';
import { isOneLine, SSE_DONE, SSE_KEEP_ALIVE, sseData } from '../dialect/sse-writer.ts';
import type { Timer } from '../core/timers.ts';
import type { Counter } from '../telemetry/metrics.ts';
import type { Call, Owner } from './call.ts';
import { openAiErrorEvent } from './error-answer.ts';
import type { Exchange, Exchanges, Order, Reader } from './order.ts';
import { routedHeaders } from './routed-headers.ts';
import type { GatewaySettings } from './settings.ts';

const HEAD = [
  'content-type',
  'text/event-stream; charset=utf-8',
  'cache-control',
  'no-cache',
  'x-accel-buffering',
  'no',
] as const;

export interface StreamOptions {
  readonly settings: GatewaySettings['stream'];
  /** Whether the caller asked for the usage event. */
  readonly includeUsage: boolean;
  readonly chunks: Counter;
}

type Outcome = 'done' | 'error' | 'client_closed' | 'slow_client' | 'draining';

export class StreamAnswer implements Reader, Owner {
  readonly #call: Call;
  readonly #options: StreamOptions;
  readonly #exchange: Exchange;
  #phase: 'held' | 'open' | 'over' = 'held';
  #timer: Timer;
  /** Events of this turn, to be written at its end. */
  #pending = '';
  #wroteMs: number;
  /** Bytes that have left towards the client when last looked at, and since when no more did while some waited. */
  #leftBytes = 0;
  #leftMs: number;
  readonly #flush = (): void => this.#send();
  readonly #wake = (): void => this.#look();

  constructor(call: Call, exchanges: Exchanges, order: Order, options: StreamOptions) {
    const { timers } = call.edge;
    this.#call = call;
    this.#options = options;
    this.#wroteMs = timers.clock.nowMs();
    this.#leftMs = this.#wroteMs;
    call.owner = this;
    this.#timer = timers.at(this.#wroteMs + options.settings.heartbeat_ms, this.#wake);
    this.#exchange = exchanges.open(order, this);
  }

  chunk(raw: string, isUsageOnly: boolean): void {
    if (this.#phase === 'over' || (isUsageOnly && !this.#options.includeUsage)) return;
    if (!isOneLine(raw)) {
      this.#exchange.cancel('superseded');
      this.fail(new BeamlineError('provider_protocol_error', 'The provider sent a malformed event.'));
      return;
    }
    if (this.#phase === 'held') this.#open();
    this.#write(sseData(raw));
    this.#options.chunks.add();
  }

  end(_frame: EndFrame): void {
    if (this.#phase === 'over') return;
    if (this.#phase === 'held') this.#open();
    this.#close('done', SSE_DONE);
    this.#call.finish(200);
  }

  fail(error: BeamlineError): void {
    if (this.#phase === 'over') return;
    const outcome = error.code === 'draining' ? 'draining' : 'error';
    if (this.#phase === 'held') {
      this.#end(outcome);
      this.#call.fail(error);
      return;
    }
    this.#close(outcome, openAiErrorEvent(error, this.#call.requestId));
    this.#call.finish(200, error);
  }

  gone(): void {
    this.#giveUp('client_disconnected', 'client_closed');
  }

  abort(error: BeamlineError): void {
    this.#exchange.cancel('shutdown');
    this.fail(error);
  }

  #open(): void {
    this.#phase = 'open';
    const headers = routedHeaders(this.#exchange.routed, false);
    headers.push(...HEAD);
    this.#call.writeHead(200, headers);
  }

  #write(text: string): void {
    if (this.#pending === '') atTurnEnd(this.#flush);
    this.#pending += text;
  }

  #send(): void {
    if (this.#phase === 'over' || this.#pending === '') return;
    const { res } = this.#call;
    const waiting = res.writableLength;
    // Asked before writing: what comes in one turn may be large without anybody being slow.
    if (waiting > this.#options.settings.buffer_bytes) return this.#tooSlow();
    this.#wroteMs = this.#call.edge.timers.clock.nowMs();
    if (waiting === 0) this.#leftMs = this.#wroteMs;
    res.write(this.#pending);
    this.#pending = '';
  }

  #close(outcome: Outcome, last: string): void {
    this.#call.res.end(this.#pending + last);
    this.#end(outcome);
  }

  #end(outcome: Outcome): void {
    this.#phase = 'over';
    this.#timer.cancel();
    this.#call.edge.metrics.streams.of(this.#call.dialect, outcome).add();
  }

  /** Nothing can be written any more. */
  #giveUp(reason: CancelReason, outcome: Outcome): void {
    if (this.#phase === 'over') return;
    this.#exchange.cancel(reason);
    this.#end(outcome);
  }

  #tooSlow(): void {
    this.#call.edge.metrics.slowClients.of(this.#call.dialect).add();
    this.#giveUp('client_too_slow', 'slow_client');
    this.#call.finish(499, new BeamlineError('client_closed', 'The client did not read.'));
    this.#call.res.destroy();
  }

  /** The one timer of a stream: holds the head no longer, beats, and watches the reader. */
  #look(): void {
    if (this.#phase === 'over') return;
    const { timers } = this.#call.edge;
    const { heartbeat_ms, stall_ms } = this.#options.settings;
    const nowMs = timers.clock.nowMs();
    if (nowMs >= this.#wroteMs + heartbeat_ms) {
      if (this.#phase === 'held') this.#open();
      this.#pending += SSE_KEEP_ALIVE;
      this.#send();
      if (this.#phase !== 'open') return;
    }
    this.#measure(nowMs);
    if (nowMs >= this.#leftMs + stall_ms) {
      this.#tooSlow();
      return;
    }
    const isWaiting = this.#call.res.writableLength > 0;
    const dueMs = Math.min(this.#wroteMs + heartbeat_ms, isWaiting ? this.#leftMs + stall_ms : Infinity);
    this.#timer = timers.at(dueMs, this.#wake);
  }

  #measure(nowMs: number): void {
    const { res } = this.#call;
    const leftBytes = (res.socket?.bytesWritten ?? 0) - (res.socket?.writableLength ?? 0);
    if (leftBytes === this.#leftBytes && res.writableLength > 0) return;
    this.#leftBytes = leftBytes;
    this.#leftMs = nowMs;
  }
}
