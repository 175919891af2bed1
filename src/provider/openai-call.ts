// One call in a format of OpenAI's: what its upstream answers becomes chunks and exactly one end or failure.
// O1. A stream is good only with its terminal event, or when its body ended after every choice had finished.
// O2. After the terminal event the rest of the body is ignored, so that its connection can serve again.
// O3. Whatever ends the call early also ends the upstream's side.
import type { ExecutionFailure } from '../core/execution-errors.ts';
import type { Timers } from '../core/timers.ts';
import {
  type ChatCompletion,
  type FinishReason,
  readChunk,
  readCompletion,
  readErrorBody,
  type UpstreamError,
} from '../dialect/openai-chat.ts';
import { SseReader } from '../dialect/sse-reader.ts';
import type { TokenUsage } from '../dialect/token-usage.ts';
import { classifyRefusal, failureOf, protocolFailure, withOriginal } from './classify.ts';
import type { UpstreamReader } from './http-upstream.ts';
import { type Impatient, Patience, type Silence } from './patience.ts';
import type { ChatCall, ChatSink, RunningCall } from './provider.ts';
import { readRetryAfter, type UpstreamHeaders } from './retry-after.ts';

const EVENT_BYTES_MAX = 4 * 1024 * 1024;
const ERROR_BODY_BYTES_MAX = 65_536;

/** How an answer is read; decided by its head. */
type Reading =
  | { readonly kind: 'none' }
  | { readonly kind: 'stream'; readonly events: SseReader }
  | { readonly kind: 'whole'; readonly parts: Buffer[] }
  | {
      readonly kind: 'refusal';
      readonly status: number;
      readonly parts: Buffer[];
      readonly retryAfterMs: number | undefined;
    };

/** Reads a whole body; undefined for one of another format. */
export type ReadWhole = (json: string) => ChatCompletion | undefined;

/** Reads what its upstream answers, tells the sink. */
export class OpenAiCall implements UpstreamReader, RunningCall, Impatient {
  readonly #timers: Timers;
  readonly #call: ChatCall;
  readonly #sink: ChatSink;
  readonly #key: string | undefined;
  readonly #read: ReadWhole;
  readonly #patience: Patience;
  #upstream: RunningCall | undefined;
  #reading: Reading = { kind: 'none' };
  #partBytes = 0;
  /** The sink has heard its last, or must not hear more. */
  #isSettled = false;
  #hasContent = false;
  #model: string | undefined;
  #finishReason: FinishReason | undefined;
  #unfinished: number;
  #usage: TokenUsage | undefined;
  #outputChars = 0;

  constructor(
    timers: Timers,
    call: ChatCall,
    sink: ChatSink,
    key: string | undefined,
    read: ReadWhole = readCompletion,
  ) {
    this.#timers = timers;
    this.#call = call;
    this.#sink = sink;
    this.#key = key;
    this.#read = read;
    this.#unfinished = typeof call.body['n'] === 'number' ? call.body['n'] : 1;
    this.#patience = new Patience(timers, call, this);
  }

  /** Takes the upstream's side, which is told to stop when this call ends early. */
  follow(upstream: RunningCall): void {
    this.#upstream = upstream;
  }

  /** Fails once the caller holds this call. */
  refuse(failure: ExecutionFailure): void {
    queueMicrotask(() => this.fail(failure));
  }

  abort(): void {
    this.#isSettled = true;
    this.#stop();
  }

  tooSilent(silence: Silence): void {
    this.#settleWith(failureOf('CONNECTION_TIMEOUT', silence));
  }

  head(status: number, headers: UpstreamHeaders): void {
    if (status >= 400) {
      const retryAfterMs = readRetryAfter(headers, this.#timers.clock.epochMs());
      this.#reading = { kind: 'refusal', status, parts: [], retryAfterMs };
      return;
    }
    if (status !== 200) {
      this.#settleWith(classifyRefusal({ status, error: undefined }));
      return;
    }
    const encoding = headers['content-encoding'];
    if (encoding !== undefined && encoding !== 'identity') {
      this.#settleWith(protocolFailure('compressed'));
      return;
    }
    const media = mediaOf(headers['content-type']);
    if (media === 'text/event-stream' && this.#call.stream) {
      this.#reading = { kind: 'stream', events: new SseReader((data) => this.#event(data), EVENT_BYTES_MAX) };
    } else if (media === 'application/json') {
      this.#reading = { kind: 'whole', parts: [] };
    } else {
      this.#settleWith(protocolFailure('content_type'));
    }
  }

  data(bytes: Buffer): void {
    const reading = this.#reading;
    switch (reading.kind) {
      case 'none':
        return;
      case 'stream':
        if (!this.#isSettled) this.#push(reading.events, bytes);
        return;
      case 'whole':
        reading.parts.push(bytes);
        return;
      case 'refusal':
        this.#partBytes += bytes.length;
        reading.parts.push(bytes);
        if (this.#partBytes > ERROR_BODY_BYTES_MAX) this.#settleWith(this.#refusal(reading, undefined));
    }
  }

  end(): void {
    this.#patience.stop();
    if (this.#isSettled) return;
    const reading = this.#reading;
    switch (reading.kind) {
      case 'none':
        return;
      case 'stream':
        if (this.#unfinished <= 0) this.#finish(undefined);
        else this.fail(protocolFailure('truncated'));
        return;
      case 'whole':
        this.#whole(Buffer.concat(reading.parts).toString('utf8'));
        return;
      case 'refusal':
        this.fail(this.#refusal(reading, Buffer.concat(reading.parts).toString('utf8')));
    }
  }

  /** A refusal whose body broke off is still that refusal. */
  fail(failure: ExecutionFailure): void {
    this.#patience.stop();
    if (this.#isSettled) return;
    this.#isSettled = true;
    this.#sink.fail(
      failure.httpStatus === undefined && this.#reading.kind === 'refusal'
        ? this.#refusal(this.#reading, undefined)
        : failure,
    );
  }

  #push(events: SseReader, bytes: Buffer): void {
    try {
      events.push(bytes);
    } catch {
      this.#settleWith(protocolFailure('too_large'));
    }
  }

  #event(data: string): void {
    if (this.#isSettled) return;
    if (data === '[DONE]') {
      this.#finish(undefined);
      return;
    }
    const chunk = readChunk(data);
    if (chunk === undefined) {
      this.#settleWith(withOriginal(protocolFailure('garbage'), data));
      return;
    }
    if (chunk.error !== undefined) {
      this.#settleWith(withOriginal(this.#classify(chunk.error), data));
      return;
    }
    this.#hasContent ||= chunk.hasContent;
    if (this.#hasContent) this.#patience.progress();
    this.#model ??= chunk.model;
    this.#finishReason = chunk.finishReason ?? this.#finishReason;
    this.#unfinished -= chunk.finished;
    this.#usage = chunk.usage ?? this.#usage;
    this.#outputChars += chunk.chars;
    this.#sink.chunk(data, chunk);
  }

  #whole(raw: string): void {
    if (this.#call.stream) {
      const error = readErrorBody(raw);
      const failure = error === undefined ? protocolFailure('content_type') : this.#classify(error);
      this.fail(withOriginal(failure, raw));
      return;
    }
    const answer = this.#read(raw);
    if (answer === undefined) this.fail(withOriginal(protocolFailure('garbage'), raw));
    else if (answer.error !== undefined) this.fail(withOriginal(this.#classify(answer.error), raw));
    else this.#completed(answer, raw);
  }

  #completed(answer: ChatCompletion, raw: string): void {
    this.#model = answer.model;
    this.#finishReason = answer.finishReason;
    this.#usage = answer.usage;
    this.#outputChars = answer.chars;
    this.#finish(raw);
  }

  #finish(raw: string | undefined): void {
    this.#isSettled = true;
    this.#sink.end({
      model: this.#model ?? this.#call.model,
      finishReason: this.#finishReason ?? 'other',
      usage: this.#usage,
      raw,
      outputChars: this.#outputChars,
    });
  }

  #refusal(reading: Extract<Reading, { kind: 'refusal' }>, body: string | undefined): ExecutionFailure {
    const { status, retryAfterMs } = reading;
    const error = body === undefined ? undefined : readErrorBody(body);
    const failure = classifyRefusal({ status, error, retryAfterMs, secret: this.#key });
    return body === undefined ? failure : withOriginal(failure, body);
  }

  /** An error in a good answer. */
  #classify(error: UpstreamError): ExecutionFailure {
    return classifyRefusal({ error, secret: this.#key });
  }

  /** Ends the call from our side: nothing more of the body is wanted. */
  #settleWith(failure: ExecutionFailure): void {
    this.#stop();
    this.fail(failure);
  }

  #stop(): void {
    this.#patience.stop();
    this.#upstream?.abort();
  }
}

function mediaOf(contentType: string | string[] | undefined): string | undefined {
  return typeof contentType === 'string' ? contentType.split(';', 1)[0]?.trim().toLowerCase() : undefined;
}
