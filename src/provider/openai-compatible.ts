// Any endpoint that speaks OpenAI's formats of chat and embeddings, over HTTP.
// The key is read for each call and leaves only as a header; no failure repeats it.
import type { Timers } from '../core/timers.ts';
import { upstreamBody } from '../dialect/openai-chat.ts';
import { readEmbeddings } from '../dialect/openai-embeddings.ts';
import { failureOf } from './classify.ts';
import { HttpUpstream, type UpstreamLimits } from './http-upstream.ts';
import { OpenAiCall, type ReadWhole } from './openai-call.ts';
import type { ChatCall, ChatSink, Provider } from './provider.ts';

export interface OpenAiCompatible {
  readonly id: string;
  /** For example `https://api.example.com/v1`; `/chat/completions` and `/embeddings` are added. */
  readonly baseUrl: string;
  /** The bearer key, asked for each call, so that a changed one counts at once. */
  readonly key?: () => string | undefined;
  /** Configured headers; they may not replace our own. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly timers: Timers;
  readonly limits: UpstreamLimits;
}

/** Sent with every call. */
const FIXED = ['content-type', 'application/json', 'accept-encoding', 'identity', 'user-agent', 'beamline'];
/** Configuration cannot replace these: credential, framing, format. */
const RESERVED = new Set([
  'authorization',
  'connection',
  'content-length',
  'host',
  'transfer-encoding',
  'content-type',
  'accept-encoding',
  'user-agent',
  'x-client-request-id',
]);

/** What a header can carry unchanged. */
const SENDABLE = /^[\x21-\x7e]+$/;

/** Throws `validation_failed` for a bad base address. */
export function openOpenAiCompatible(options: OpenAiCompatible): Provider {
  const { id, timers, limits } = options;
  const upstream = new HttpUpstream(options.baseUrl, limits);
  const configured = Object.entries(options.headers ?? {}).filter(([name]) => !RESERVED.has(name.toLowerCase()));
  const fixed = [...FIXED, ...configured.flat()];
  let key: string | undefined;
  let headers = fixed;
  /** Asks below a path; `read` reads a whole answer of that path, where it is no chat. */
  const askAt = (path: string, read?: ReadWhole) => (call: ChatCall, sink: ChatSink) => {
    const current = readKey(options.key);
    if (current !== key) {
      key = current;
      headers = current === undefined ? fixed : [...fixed, 'authorization', `Bearer ${current}`];
    }
    const running = new OpenAiCall(timers, call, sink, key, read);
    if (key !== undefined && !SENDABLE.test(key)) running.refuse(failureOf('PROVIDER_AUTH_FAILED', 'key'));
    else {
      const body = JSON.stringify(upstreamBody(call.body, call));
      running.follow(upstream.post(path, headersOf(headers, call.callId), body, running));
    }
    return running;
  };
  return {
    id,
    dialect: 'openai.chat',
    chat: askAt(upstream.pathOf('/chat/completions')),
    embeddings: { id, dialect: 'openai.embeddings', chat: askAt(upstream.pathOf('/embeddings'), readEmbeddings) },
    [Symbol.asyncDispose]: () => upstream[Symbol.asyncDispose](),
  };
}

/** With the caller's name of the call, in the header that OpenAI's support asks for. */
const headersOf = (headers: string[], callId: string | undefined): string[] =>
  callId === undefined || !SENDABLE.test(callId) ? headers : [...headers, 'x-client-request-id', callId];

/** An unreadable secret reads as an empty key, which is not sent. */
function readKey(key: OpenAiCompatible['key']): string | undefined {
  try {
    return key?.();
  } catch {
    return '';
  }
}
