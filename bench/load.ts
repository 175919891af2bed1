// The load: raw keep-alive sockets in a closed loop, each sending its next request when its answer is complete.
// It shares its core with the upstream, so it parses next to nothing and allocates little.
// L1. Every answer is judged; anything but a complete, expected one is an error, also outside the measured span.
// L2. Latencies and rates count only answers that were completed within the measured span.
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { ResponseReader } from './response-reader.ts';

const RATE_MAX = 200_000;
const ANSWER_WAIT_MS = 10_000;
const READ_BYTES = 65_536;

/** What is asked of whom. */
export interface Load {
  readonly port: number;
  /** The whole request, head and body. */
  readonly request: Buffer;
  readonly connections: number;
  readonly isStream: boolean;
  /** SSE events of every stream; undefined accepts any number above 0. */
  readonly events: number | undefined;
}

/** The unmeasured start and the measured span of a slot, in milliseconds; the hooks run at the span's two ends. */
export interface Span {
  readonly rampMs: number;
  readonly ms: number;
  begin(): void;
  end(): void;
}

export interface LoadResult {
  readonly completed: number;
  readonly seconds: number;
  /** Sorted, one for each completed request. */
  readonly latenciesMs: Float64Array;
  readonly errors: number;
  readonly firstError: string | undefined;
  /** SSE events of the last complete stream. */
  readonly events: number;
}

class Tally {
  readonly latenciesMs: Float64Array;
  isSending = true;
  isMeasuring = false;
  completed = 0;
  errors = 0;
  firstError: string | undefined;
  events = 0;

  constructor(span: Span) {
    this.latenciesMs = new Float64Array(Math.ceil((span.ms / 1000) * RATE_MAX));
  }

  succeed(latencyMs: number): void {
    if (!this.isMeasuring) return;
    this.latenciesMs[this.completed] = latencyMs;
    this.completed += 1;
  }

  fail(reason: string): void {
    this.errors += 1;
    this.firstError ??= reason;
  }
}

class Connection {
  readonly #load: Load;
  readonly #tally: Tally;
  readonly #buffer = Buffer.allocUnsafe(READ_BYTES);
  #reader = new ResponseReader();
  #socket: Socket | undefined;
  #sentMs = 0;
  isWaiting = false;

  constructor(load: Load, tally: Tally) {
    this.#load = load;
    this.#tally = tally;
    this.#open();
  }

  close(): void {
    if (this.isWaiting) this.#tally.fail(`no answer within ${ANSWER_WAIT_MS} ms`);
    this.isWaiting = false;
    this.#socket?.destroy();
  }

  #open(): void {
    const socket = connect({
      host: '127.0.0.1',
      port: this.#load.port,
      noDelay: true,
      onread: {
        buffer: this.#buffer,
        callback: (length) => {
          this.#read(length);
          return true;
        },
      },
    });
    this.#socket = socket;
    this.#reader = new ResponseReader();
    socket.once('connect', () => this.#send());
    socket.once('error', (error) => {
      this.#tally.fail(error.message);
      this.isWaiting = false;
    });
    socket.once('close', () => this.#reopen());
  }

  #send(): void {
    if (!this.#tally.isSending) return;
    this.isWaiting = true;
    this.#sentMs = performance.now();
    this.#socket?.write(this.#load.request);
  }

  #read(length: number): void {
    if (!this.isWaiting || !this.#reader.push(this.#buffer.subarray(0, length))) return;
    this.isWaiting = false;
    const fault = faultOf(this.#reader, this.#load);
    if (fault === undefined) this.#tally.succeed(performance.now() - this.#sentMs);
    else this.#tally.fail(fault);
    this.#tally.events = this.#reader.events;
    if (!this.#reader.isLast && fault === undefined) this.#send();
    else this.#socket?.destroy();
  }

  /** A closed socket is an error only while an answer is awaited; either way the loop goes on with a new one. */
  #reopen(): void {
    if (this.isWaiting) this.#tally.fail('the socket closed before the answer was complete');
    this.isWaiting = false;
    if (!this.#tally.isSending) return;
    setTimeout(() => this.#tally.isSending && this.#open(), this.#tally.errors > 0 ? 20 : 0);
  }
}

function faultOf(reader: ResponseReader, load: Load): string | undefined {
  if (reader.status !== 200) return `status ${reader.status}: ${reader.body.slice(0, 200)}`;
  if (!load.isStream) return reader.body.includes('"choices"') ? undefined : 'an answer without choices';
  if (!reader.isTerminated) return 'a stream without [DONE]';
  if (reader.events === 0) return 'a stream without events';
  if (load.events !== undefined && reader.events !== load.events) {
    return `a stream of ${reader.events} events instead of ${load.events}`;
  }
  return undefined;
}

/** Runs one slot; it never throws for what the other side does, it counts. */
export async function runLoad(load: Load, span: Span): Promise<LoadResult> {
  const tally = new Tally(span);
  const connections = Array.from({ length: load.connections }, () => new Connection(load, tally));
  await sleep(span.rampMs);
  span.begin();
  tally.isMeasuring = true;
  const startMs = performance.now();
  await sleep(span.ms);
  const seconds = (performance.now() - startMs) / 1000;
  tally.isMeasuring = false;
  tally.isSending = false;
  span.end();

  const giveUpMs = performance.now() + ANSWER_WAIT_MS;
  while (connections.some((connection) => connection.isWaiting) && performance.now() < giveUpMs) {
    // oxlint-disable-next-line no-await-in-loop -- waits on a condition
    await sleep(5);
  }
  for (const connection of connections) connection.close();
  return {
    completed: tally.completed,
    seconds,
    latenciesMs: tally.latenciesMs.subarray(0, tally.completed).sort(),
    errors: tally.errors,
    firstError: tally.firstError,
    events: tally.events,
  };
}
