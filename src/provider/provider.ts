// The port to a model provider: one call in, chunks and exactly one end or failure out.
// P1. After `end` or `fail`, and after `abort`, the sink hears nothing more.
// P2. Only the dialect's own terminal event means success, never the end of the body.
// A sink instead of an async iterable: a promise per chunk would be the dearest part of the stream.
import type { ExecAssignment } from '../contracts/assignment.ts';
import type { ExecutionFailure } from '../core/execution-errors.ts';
import type { ChatChunk, FinishReason } from '../dialect/openai-chat.ts';
import type { TokenUsage } from '../dialect/token-usage.ts';

export type { TokenUsage };

/** What the work order says beside the call. */
export type ChatOrder = Pick<ExecAssignment, 'tenant_id' | 'request_id' | 'correlation' | 'options'>;

export interface ChatCall {
  /** Names the call at the provider, for its log and its support: `<assignment>:<attempt>`. */
  readonly callId?: string;
  /** For providers that are asked in the name of their caller. */
  readonly order?: ChatOrder;
  /** The upstream's name of the model. */
  readonly model: string;
  /** The caller's body, unchanged; the provider replaces only model, stream and usage reporting. */
  readonly body: Readonly<Record<string, unknown>>;
  readonly stream: boolean;
  /** Milliseconds from the start of the call to the first content (streams) or the whole answer. */
  readonly firstChunkMs: number;
  /** Milliseconds between two provider events of a stream, once content has come. */
  readonly idleMs: number;
}

export interface ChatEnd {
  /** The name that the provider reported. */
  readonly model: string;
  readonly finishReason: FinishReason;
  /** Undefined when the provider reported none, or counts that contradict themselves. */
  readonly usage: TokenUsage | undefined;
  /** The provider's body as it came; undefined for a stream. */
  readonly raw: string | undefined;
  /** Characters of content, reasoning and tool arguments: the basis of an estimate. */
  readonly outputChars: number;
}

export interface ChatSink {
  /** One provider event, in order; a prefix without content comes through too (`chunk.hasContent` is false). */
  chunk(raw: string, chunk: ChatChunk): void;
  end(end: ChatEnd): void;
  fail(failure: ExecutionFailure): void;
}

/** What an answer cost. */
export type Consumed = Pick<ChatEnd, 'usage' | 'outputChars'>;

export interface RunningCall {
  /** Closes the upstream socket at once. */
  abort(): void;
  /** Of an answer that was there in full but did not get through; absent or undefined where none was. */
  consumed?(): Consumed | undefined;
}

/** A provider as it is asked in one wire format. */
export interface ProviderSide {
  readonly id: string;
  /** The wire format that it speaks, for example `openai.chat`. */
  readonly dialect: string;
  /** A side without streams ends with a whole answer. */
  chat(call: ChatCall, sink: ChatSink): RunningCall;
}

export interface Provider extends ProviderSide, AsyncDisposable {
  /** The side that makes vectors, whole; absent where it makes none. It ends with its provider. */
  readonly embeddings?: ProviderSide;
}
