// A provider that is a program of others on the bus (worker 10.1): one question, one whole answer.
// V1. It has no stream upstream: a caller that reads one gets the answer as one chunk, and the end.
// V2. What we do not want any more is not waited for; the service itself only knows its deadline.
import type { ProviderReply, ProviderRequest } from '../contracts/provider-call.ts';
import { BeamlineError } from '../core/errors.ts';
import type { ExecutionFailure } from '../core/execution-errors.ts';
import type { Timers } from '../core/timers.ts';
import { readCompletion } from '../dialect/openai-chat.ts';
import { completionOf, questionOf } from '../dialect/service-messages.ts';
import { failureOf, protocolFailure } from './classify.ts';
import { classifyNoReply, classifyService } from './classify-service.ts';
import type { ChatCall, ChatSink, Provider, RunningCall } from './provider.ts';
import { streamWhole } from './whole-answer.ts';

export interface ServiceProvider {
  readonly id: string;
  /** Sent with each question. */
  readonly config: Readonly<Record<string, unknown>> | undefined;
  readonly timers: Timers;
  /** Asks the service; rejects with what the bus says. */
  readonly ask: (
    request: ProviderRequest,
    options: { readonly timeoutMs: number; readonly signal: AbortSignal },
  ) => Promise<ProviderReply>;
}

export function openServiceProvider(options: ServiceProvider): Provider {
  const running = new Set<ServiceCall>();
  return {
    id: options.id,
    dialect: 'openai.chat',
    chat(call, sink) {
      const asked = new ServiceCall(options, call, sink);
      running.add(asked);
      void asked.run().finally(() => running.delete(asked));
      return asked;
    },
    async [Symbol.asyncDispose]() {
      for (const call of running) call.close();
    },
  };
}

class ServiceCall implements RunningCall {
  readonly #options: ServiceProvider;
  readonly #call: ChatCall;
  readonly #sink: ChatSink;
  readonly #stopped = new AbortController();

  constructor(options: ServiceProvider, call: ChatCall, sink: ChatSink) {
    this.#options = options;
    this.#call = call;
    this.#sink = sink;
  }

  abort(): void {
    this.#stopped.abort();
  }

  /** The provider closes under the call. */
  close(): void {
    if (this.#stopped.signal.aborted) return;
    this.abort();
    this.#sink.fail(failureOf('NETWORK_ERROR', 'closed'));
  }

  /** The sink hears of it in a later turn, once the caller holds this call. */
  async run(): Promise<void> {
    const { signal } = this.#stopped;
    const end = await this.#answer(signal);
    if (signal.aborted) return;
    end();
  }

  async #answer(signal: AbortSignal): Promise<() => void> {
    const fails = (failure: ExecutionFailure) => () => this.#sink.fail(failure);
    const asked = questionOf(this.#call.body, this.#call.model);
    if (asked.kind === 'refused') {
      await Promise.resolve();
      return fails({ ...failureOf('INVALID_INPUT', 'feature'), message: REFUSALS[asked.why] });
    }
    const timeoutMs = this.#call.firstChunkMs;
    try {
      const reply = await this.#options.ask(this.#request(asked.question), { timeoutMs, signal });
      if (reply.error !== undefined) return fails(classifyService(reply.error));
      return reply.ok === false ? fails(protocolFailure('garbage')) : this.#told(reply);
    } catch (thrown) {
      return fails(classifyNoReply(BeamlineError.from(thrown)));
    }
  }

  #request(question: Pick<ProviderRequest, 'messages' | 'prompt' | 'parameters'>): ProviderRequest {
    const { id, config } = this.#options;
    const { order, firstChunkMs } = this.#call;
    const traceId = order?.correlation?.trace_id;
    return {
      version: '1',
      provider_id: id,
      tenant_id: order?.tenant_id ?? '-',
      request_id: order?.request_id ?? '-',
      ...question,
      deadline_ms: Math.floor(Math.min(firstChunkMs, order?.options.deadline_ms ?? firstChunkMs)),
      ...(config === undefined ? {} : { config: { ...config } }),
      ...(traceId === undefined ? {} : { trace_id: traceId }),
    };
  }

  #told(reply: ProviderReply): () => void {
    const { callId, model, stream } = this.#call;
    const createdMs = this.#options.timers.clock.epochMs();
    const body = completionOf(reply, { id: `chatcmpl-${callId ?? createdMs}`, model, createdMs });
    const raw = JSON.stringify(body);
    const answer = body === undefined ? undefined : readCompletion(raw);
    if (body === undefined || answer === undefined) return () => this.#sink.fail(protocolFailure('garbage'));
    const end = {
      model: answer.model ?? model,
      finishReason: answer.finishReason ?? 'other',
      usage: answer.usage,
      raw,
      outputChars: answer.chars,
    } as const;
    return () => (stream ? streamWhole(this.#sink, body, end) : this.#sink.end(end));
  }
}

const REFUSALS = {
  several_choices: 'the provider gives one answer to a request',
  no_messages: 'the provider needs messages or a prompt',
} as const;
