// A provider whose answers pass the post-processors of one work order before anybody sees them (policy 10.2).
// Its upstream is asked for a whole answer; where the caller reads a stream, the answer leaves as one once it passed.
// O1. No chunk leaves before every required item has passed.
// O2. What the provider answered is consumed, whatever becomes of it afterwards.
import { INLINE_BYTES_MAX } from '../contracts/limits.ts';
import type { ExecAssignment, PostOrder } from '../contracts/assignment.ts';
import type { Timers } from '../core/timers.ts';
import type { ExecutionFailure } from '../core/execution-errors.ts';
import { readCompletion } from '../dialect/openai-chat.ts';
import type { ChatCall, ChatEnd, ChatSink, Consumed, ProviderSide, RunningCall } from '../provider/provider.ts';
import { streamWhole } from '../provider/whole-answer.ts';
import type { Output, PostProcessors } from './post-processors.ts';

export interface PostDeps {
  readonly timers: Timers;
  readonly posts: PostProcessors;
}

/** The provider itself where nothing is to be asked: optional items are skipped on streams. */
export function postProcessed(
  provider: ProviderSide,
  assignment: ExecAssignment,
  stream: boolean,
  deps: PostDeps,
): ProviderSide {
  const { post = [] } = assignment;
  const items = stream ? post.filter(({ mode }) => mode === 'required') : post;
  if (items.length === 0) return provider;
  return {
    id: provider.id,
    dialect: provider.dialect,
    chat(call, sink) {
      const running = new PostProcessedCall(call, sink, { ...deps, assignment, items });
      running.begin(provider);
      return running;
    },
  };
}

interface Order extends PostDeps {
  readonly assignment: ExecAssignment;
  readonly items: readonly PostOrder[];
}

class PostProcessedCall implements RunningCall, ChatSink {
  readonly #call: ChatCall;
  readonly #sink: ChatSink;
  readonly #order: Order;
  readonly #deadlineMs: number;
  readonly #stopped = new AbortController();
  #upstream: RunningCall | undefined;
  #answer: ChatEnd | undefined;

  constructor(call: ChatCall, sink: ChatSink, order: Order) {
    this.#call = call;
    this.#sink = sink;
    this.#order = order;
    // The attempt's own timer is the exact one; no item is asked for longer than this.
    this.#deadlineMs = order.timers.clock.nowMs() + order.assignment.options.deadline_ms;
  }

  begin(provider: ProviderSide): void {
    const { stream, firstChunkMs } = this.#call;
    // The limit of a first chunk says nothing of a whole answer, which the deadline bounds.
    const wholeMs = stream ? Math.max(firstChunkMs, this.#order.assignment.options.deadline_ms) : firstChunkMs;
    this.#upstream = provider.chat({ ...this.#call, stream: false, firstChunkMs: wholeMs }, this);
  }

  abort(): void {
    this.#stopped.abort();
    this.#upstream?.abort();
  }

  consumed(): Consumed | undefined {
    return this.#answer ?? this.#upstream?.consumed?.();
  }

  /** A whole answer has none. */
  chunk(): void {}

  fail(failure: ExecutionFailure): void {
    if (!this.#stopped.signal.aborted) this.#sink.fail(failure);
  }

  end(end: ChatEnd): void {
    this.#answer = end;
    void this.#process(end).catch(() =>
      this.fail({ code: 'INTERNAL_ERROR', message: 'the output could not be processed' }),
    );
  }

  async #process(end: ChatEnd): Promise<void> {
    const output = outputIn(end.raw);
    if (output === undefined) return this.fail({ code: 'PROVIDER_PROTOCOL_ERROR', message: 'the answer is no object' });
    const { posts, assignment, items } = this.#order;
    const { signal } = this.#stopped;
    const run = { assignment, items, deadlineMs: this.#deadlineMs, signal, accepts: isAnswer };
    const done = await posts.run(output, run);
    if (signal.aborted) return;
    if ('failure' in done) return this.#sink.fail(done.failure);
    const raw = done.output === output ? (end.raw ?? '') : JSON.stringify(done.output);
    if (!this.#call.stream) return this.#sink.end({ ...end, raw });
    if (Buffer.byteLength(raw) > INLINE_BYTES_MAX) {
      return this.#sink.fail({
        code: 'OUTPUT_TOO_LARGE',
        message: `an answer holds at most ${INLINE_BYTES_MAX} bytes`,
      });
    }
    streamWhole(this.#sink, done.output, end);
  }
}

function isAnswer(output: Output): boolean {
  const answer = readCompletion(JSON.stringify(output));
  return answer !== undefined && answer.error === undefined;
}

function outputIn(raw: string | undefined): Output | undefined {
  try {
    const value: unknown = JSON.parse(raw ?? '');
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Output) : undefined;
  } catch {
    return undefined;
  }
}
