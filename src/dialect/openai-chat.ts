// The OpenAI chat format, both directions: what a request asks, what an answer or one streamed event says.
// Reading a request is a compiled check; only a refused one is looked at field by field, to name what is wrong.
// Every JSON text is parsed once; unknown fields pass untouched. Null means absent, as the OpenAI clients send it.
import { Type } from 'typebox';
import { Compile } from 'typebox/compile';
import { BeamlineError } from '../core/errors.ts';
import type { TokenUsage } from './token-usage.ts';

/** The facts of a chat request that others act on. */
export interface ChatRequest {
  readonly model: string;
  readonly stream: boolean;
  /** Whether the caller wants the usage event of a stream. */
  readonly includeUsage: boolean;
  /** A quarter of the body's bytes: the estimate before anyone counted. */
  readonly estimateInputTokens: number;
  readonly maxOutputTokens: number | undefined;
  readonly user: string | undefined;
}

/** The error object of a body or event, as the provider wrote it. */
export interface UpstreamError {
  readonly type: string | undefined;
  /** Some providers write the HTTP status here. */
  readonly code: string | undefined;
  readonly message: string | undefined;
}

/** How a choice ended, in our words; `other` is whatever we do not know. */
export type FinishReason = 'stop' | 'length' | 'tool_calls' | 'content_filter' | 'other';

/** What one streamed event says, read once. */
export interface ChatChunk {
  /** Content, reasoning, a refusal or a tool call: what commits a stream. */
  readonly hasContent: boolean;
  /** Usage and no choices. */
  readonly isUsageOnly: boolean;
  readonly model: string | undefined;
  readonly finishReason: FinishReason | undefined;
  /** Choices that ended in this event. */
  readonly finished: number;
  /** Undefined without a report, or where its counts contradict themselves. */
  readonly usage: TokenUsage | undefined;
  /** Characters of content, reasoning, refusal and tool arguments. */
  readonly chars: number;
  readonly error: UpstreamError | undefined;
}

/** A whole answer. */
export type ChatCompletion = Pick<ChatChunk, 'model' | 'finishReason' | 'usage' | 'chars' | 'error'>;

type Open = Record<string, unknown>;

const TOKENS_MAX = 100_000_000;
const MESSAGES_MAX = 4096;
const ROLES = ['developer', 'system', 'user', 'assistant', 'tool', 'function'];

const orNull = <S extends Type.TSchema>(schema: S) => Type.Optional(Type.Union([schema, Type.Null()]));
const range = (minimum: number, maximum: number) => ({
  schema: orNull(Type.Number({ minimum, maximum })),
  text: `a number from ${minimum} to ${maximum}`,
});
const count = (minimum: number, maximum: number) => ({
  schema: orNull(Type.Integer({ minimum, maximum })),
  text: maximum === TOKENS_MAX ? `an integer of at least ${minimum}` : `an integer from ${minimum} to ${maximum}`,
});
const flag = { schema: orNull(Type.Boolean()), text: 'true or false' };
const Message = Type.Object({ role: Type.Enum(ROLES) });

const FIELDS = {
  model: {
    schema: Type.String({ minLength: 1, maxLength: 256 }),
    text: 'a model name of 1 to 256 characters',
  },
  messages: {
    schema: Type.Array(Message, { minItems: 1, maxItems: MESSAGES_MAX }),
    text: `a list of 1 to ${MESSAGES_MAX} messages`,
  },
  stream: flag,
  stream_options: {
    schema: orNull(Type.Object({ include_usage: flag.schema })),
    text: 'an object whose include_usage is true or false',
  },
  temperature: range(0, 2),
  top_p: range(0, 1),
  n: count(1, 128),
  presence_penalty: range(-2, 2),
  frequency_penalty: range(-2, 2),
  stop: {
    schema: orNull(Type.Union([Type.String(), Type.Array(Type.String(), { maxItems: 4 })])),
    text: 'a text or a list of at most 4 texts',
  },
  logprobs: flag,
  top_logprobs: count(0, 20),
  max_tokens: count(1, TOKENS_MAX),
  max_completion_tokens: count(1, TOKENS_MAX),
  tools: {
    schema: orNull(Type.Array(Type.Object({ type: Type.String() }), { maxItems: 128 })),
    text: 'a list of at most 128 tools',
  },
  user: { schema: orNull(Type.String()), text: 'a text' },
};

const Request = Type.Object({
  model: FIELDS.model.schema,
  messages: FIELDS.messages.schema,
  stream: FIELDS.stream.schema,
  stream_options: FIELDS.stream_options.schema,
  temperature: FIELDS.temperature.schema,
  top_p: FIELDS.top_p.schema,
  n: FIELDS.n.schema,
  presence_penalty: FIELDS.presence_penalty.schema,
  frequency_penalty: FIELDS.frequency_penalty.schema,
  stop: FIELDS.stop.schema,
  logprobs: FIELDS.logprobs.schema,
  top_logprobs: FIELDS.top_logprobs.schema,
  max_tokens: FIELDS.max_tokens.schema,
  max_completion_tokens: FIELDS.max_completion_tokens.schema,
  tools: FIELDS.tools.schema,
  user: FIELDS.user.schema,
});
const request = Compile(Request);
const fieldChecks = Object.entries(FIELDS).map(([name, { schema, text }]) => ({
  name,
  text,
  check: Compile(schema),
}));

/** Reads a parsed body of `bodyBytes` bytes. Throws `invalid_request` with `details.param` and `details.fields`. */
export function readChatRequest(body: unknown, bodyBytes: number): ChatRequest {
  if (!request.Check(body)) throw refused(faultsOf(body));
  if (typeof body.top_logprobs === 'number' && body.logprobs !== true) {
    throw refused([{ path: 'top_logprobs', code: 'invalid', message: 'top_logprobs needs logprobs to be true.' }]);
  }
  return {
    model: body.model,
    stream: body.stream === true,
    includeUsage: body.stream_options?.include_usage === true,
    estimateInputTokens: Math.ceil(bodyBytes / 4),
    maxOutputTokens: body.max_completion_tokens ?? body.max_tokens ?? undefined,
    user: body.user ?? undefined,
  };
}

interface FieldFault {
  readonly path: string;
  readonly code: 'required' | 'invalid';
  readonly message: string;
}

function refused(fields: readonly FieldFault[]): BeamlineError {
  const [first] = fields;
  if (first === undefined) return new BeamlineError('invalid_request', 'The body must be a JSON object.');
  return new BeamlineError('invalid_request', first.message, {
    details: { param: first.path, fields },
  });
}

function faultsOf(body: unknown): readonly FieldFault[] {
  if (!isOpen(body)) return [];
  return fieldChecks.flatMap(({ name, text, check }): FieldFault[] => {
    const value = body[name];
    if (value === undefined && !(name === 'model' || name === 'messages')) return [];
    if (check.Check(value)) return [];
    if (value === undefined) return [{ path: name, code: 'required', message: `${name} is required.` }];
    return [
      messageFault(name, value) ?? {
        path: name,
        code: 'invalid',
        message: `${name} must be ${text}.`,
      },
    ];
  });
}

/** Names the first bad message, if the list itself has a legal length. */
function messageFault(name: string, value: unknown): FieldFault | undefined {
  if (name !== 'messages' || !Array.isArray(value) || value.length > MESSAGES_MAX) return undefined;
  const index = value.findIndex((message) => !(isOpen(message) && ROLES.includes(String(message['role']))));
  if (index < 0) return undefined;
  const path = `messages[${index}]`;
  if (!isOpen(value[index])) return { path, code: 'invalid', message: `${path} must be an object.` };
  return {
    path: `${path}.role`,
    code: 'invalid',
    message: `${path}.role must be one of ${ROLES.join(', ')}.`,
  };
}

/** The caller's body for the upstream: only model, stream and usage reporting are ours. */
export function upstreamBody(body: Readonly<Open>, order: { model: string; stream: boolean }): Open {
  const sent: Open = { ...body, model: order.model };
  if (order.stream) {
    const options = body['stream_options'];
    sent['stream'] = true;
    sent['stream_options'] = isOpen(options) ? { ...options, include_usage: true } : { include_usage: true };
  } else {
    // Undefined members do not reach the wire; usage is part of every whole answer.
    if (sent['stream'] !== undefined) sent['stream'] = undefined;
    if (sent['stream_options'] !== undefined) sent['stream_options'] = undefined;
  }
  return sent;
}

/** Undefined for a text that is not a chunk of this format. */
export function readChunk(json: string): ChatChunk | undefined {
  const event = parseOpen(json);
  if (event === undefined) return undefined;
  const error = readError(event['error']);
  const choices = event['choices'];
  if (!Array.isArray(choices)) {
    return error === undefined ? undefined : { ...nothingSaid, model: textOf(event['model']), error };
  }
  let chars = 0;
  let hasContent = false;
  let finishReason: FinishReason | undefined;
  let finished = 0;
  for (const choice of choices as readonly unknown[]) {
    if (!isOpen(choice)) return undefined;
    const delta = choice['delta'];
    if (isOpen(delta)) {
      const written = charsOf(delta);
      chars += written;
      hasContent ||=
        written > 0 || isFilled(delta['tool_calls']) || isOpen(delta['function_call']) || isOpen(delta['audio']);
    }
    const reason = choice['finish_reason'];
    if (typeof reason === 'string') {
      finishReason = canonicalFinish(reason);
      finished++;
    }
  }
  const usage = event['usage'];
  return {
    hasContent,
    isUsageOnly: choices.length === 0 && isOpen(usage),
    model: textOf(event['model']),
    finishReason,
    finished,
    usage: readUsage(usage),
    chars,
    error,
  };
}

const nothingSaid = {
  hasContent: false,
  isUsageOnly: false,
  finishReason: undefined,
  finished: 0,
  usage: undefined,
  chars: 0,
};

/** Undefined for a text that is neither a completion nor an error of this format. */
export function readCompletion(json: string): ChatCompletion | undefined {
  const answer = parseOpen(json);
  if (answer === undefined) return undefined;
  const error = readError(answer['error']);
  const choices = answer['choices'];
  if (error !== undefined) {
    return {
      model: textOf(answer['model']),
      finishReason: undefined,
      usage: undefined,
      chars: 0,
      error,
    };
  }
  if (!isFilled(choices)) return undefined;
  let chars = 0;
  let finishReason: FinishReason | undefined;
  for (const choice of choices) {
    if (!isOpen(choice) || !isOpen(choice['message'])) return undefined;
    chars += charsOf(choice['message']);
    const reason = choice['finish_reason'];
    if (typeof reason === 'string') finishReason = canonicalFinish(reason);
  }
  return {
    model: textOf(answer['model']),
    finishReason,
    usage: readUsage(answer['usage']),
    chars,
    error,
  };
}

/** The error object of a body that reports a failure; undefined if there is none. */
export function readErrorBody(json: string): UpstreamError | undefined {
  return readError(parseOpen(json)?.['error']);
}

/** What an error member says; undefined if there is none. */
export function readError(error: unknown): UpstreamError | undefined {
  if (typeof error === 'string' && error !== '') return { type: undefined, code: undefined, message: error };
  if (!isOpen(error)) return undefined;
  const code = error['code'];
  return {
    type: textOf(error['type']),
    code: typeof code === 'number' ? String(code) : textOf(code),
    message: textOf(error['message']),
  };
}

const FINISHES: Readonly<Record<string, FinishReason>> = {
  stop: 'stop',
  length: 'length',
  tool_calls: 'tool_calls',
  function_call: 'tool_calls',
  content_filter: 'content_filter',
};

const canonicalFinish = (reason: string): FinishReason =>
  Object.hasOwn(FINISHES, reason) ? (FINISHES[reason] ?? 'other') : 'other';

function readUsage(usage: unknown): TokenUsage | undefined {
  if (!isOpen(usage)) return undefined;
  const inputTokens = countOf(usage['prompt_tokens']);
  const outputTokens = countOf(usage['completion_tokens']);
  const cachedInputTokens = part(usage['prompt_tokens_details'], 'cached_tokens');
  const reasoningTokens = part(usage['completion_tokens_details'], 'reasoning_tokens');
  const isSound = inputTokens >= cachedInputTokens && outputTokens >= reasoningTokens;
  return isSound ? { inputTokens, outputTokens, cachedInputTokens, reasoningTokens } : undefined;
}

/** NaN for what is no count, so that every comparison with it fails. */
export const countOf = (value: unknown): number =>
  typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= TOKENS_MAX ? value : Number.NaN;

function part(details: unknown, name: string): number {
  if (!isOpen(details)) return 0;
  const value = details[name];
  return value === undefined || value === null ? 0 : countOf(value);
}

/** Counts what a message or a delta says; calls without arguments count by their name. */
function charsOf(said: Open): number {
  let chars =
    lengthOf(said['content']) +
    (lengthOf(said['reasoning_content']) || lengthOf(said['reasoning'])) +
    lengthOf(said['refusal']);
  const calls = said['tool_calls'];
  if (Array.isArray(calls)) {
    for (const call of calls as readonly unknown[]) if (isOpen(call)) chars += callChars(call['function']);
  }
  const call = said['function_call'];
  return call === undefined ? chars : chars + callChars(call);
}

const callChars = (call: unknown): number => (isOpen(call) ? lengthOf(call['name']) + lengthOf(call['arguments']) : 0);
const lengthOf = (value: unknown): number => (typeof value === 'string' ? value.length : 0);
const textOf = (value: unknown): string | undefined => (typeof value === 'string' && value !== '' ? value : undefined);
const isOpen = (value: unknown): value is Open => typeof value === 'object' && value !== null && !Array.isArray(value);
const isFilled = (value: unknown): value is readonly unknown[] => Array.isArray(value) && value.length > 0;

/** Undefined for a text that is no object. */
export function parseOpen(json: string): Open | undefined {
  try {
    const value: unknown = JSON.parse(json);
    return isOpen(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
