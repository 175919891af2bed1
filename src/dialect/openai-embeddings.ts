// The OpenAI embeddings format, both directions: what a request asks, what an answer says. Vectors pass untouched.
import { Type } from 'typebox';
import { Compile } from 'typebox/compile';
import { BeamlineError } from '../core/errors.ts';
import { type ChatCompletion, countOf, parseOpen, readError } from './openai-chat.ts';
import type { TokenUsage } from './token-usage.ts';

/** The facts of a request that others act on. */
export interface EmbeddingsRequest {
  readonly model: string;
  /** A quarter of the body's bytes: the estimate before anyone counted. */
  readonly estimateInputTokens: number;
  readonly user: string | undefined;
}

const INPUTS_MAX = 2_048;
const DIMENSIONS_MAX = 65_536;

const Filled = Type.String({ minLength: 1 });
const Tokens = Type.Array(Type.Integer({ minimum: 0 }), { minItems: 1 });
const listOf = <S extends Type.TSchema>(schema: S) => Type.Array(schema, { minItems: 1, maxItems: INPUTS_MAX });
const orNull = <S extends Type.TSchema>(schema: S) => Type.Optional(Type.Union([schema, Type.Null()]));

const FIELDS = {
  model: { schema: Type.String({ minLength: 1, maxLength: 256 }), text: 'a model name of 1 to 256 characters' },
  input: {
    schema: Type.Union([Filled, listOf(Filled), Tokens, listOf(Tokens)]),
    text: `a text, a list of tokens, or a list of 1 to ${INPUTS_MAX} of either; none of them empty`,
  },
  encoding_format: { schema: orNull(Type.Enum(['float', 'base64'])), text: 'float or base64' },
  dimensions: {
    schema: orNull(Type.Integer({ minimum: 1, maximum: DIMENSIONS_MAX })),
    text: `an integer from 1 to ${DIMENSIONS_MAX}`,
  },
  user: { schema: orNull(Type.String()), text: 'a text' },
};

const request = Compile(
  Type.Object({
    model: FIELDS.model.schema,
    input: FIELDS.input.schema,
    encoding_format: FIELDS.encoding_format.schema,
    dimensions: FIELDS.dimensions.schema,
    user: FIELDS.user.schema,
  }),
);
const fieldChecks = Object.entries(FIELDS).map(([name, { schema, text }]) => ({ name, text, check: Compile(schema) }));

/** Reads a parsed body of `bodyBytes` bytes. Throws `invalid_request` with `details.param` and `details.fields`. */
export function readEmbeddingsRequest(body: Readonly<Record<string, unknown>>, bodyBytes: number): EmbeddingsRequest {
  if (!request.Check(body)) throw refused(body);
  return {
    model: body.model,
    estimateInputTokens: Math.ceil(bodyBytes / 4),
    user: body.user ?? undefined,
  };
}

function refused(body: Readonly<Record<string, unknown>>): BeamlineError {
  const fields = fieldChecks.flatMap(({ name, text, check }) => {
    const value = body[name];
    const isRequired = name === 'model' || name === 'input';
    if (value === undefined ? !isRequired : check.Check(value)) return [];
    return value === undefined
      ? [{ path: name, code: 'required', message: `${name} is required.` }]
      : [{ path: name, code: 'invalid', message: `${name} must be ${text}.` }];
  });
  const [first] = fields;
  return new BeamlineError('invalid_request', first?.message ?? 'The body is not legal.', {
    details: { param: first?.path, fields },
  });
}

/** Undefined for a text that is neither a list of vectors nor an error of this format. */
export function readEmbeddings(json: string): ChatCompletion | undefined {
  const answer = parseOpen(json);
  if (answer === undefined) return undefined;
  const error = readError(answer['error']);
  const { data, model, usage } = answer;
  const said = { model: typeof model === 'string' && model !== '' ? model : undefined, chars: 0, error };
  if (error !== undefined) return { ...said, finishReason: undefined, usage: undefined };
  if (!Array.isArray(data) || data.length === 0 || !data.every(isVector)) return undefined;
  return { ...said, finishReason: 'stop', usage: readUsage(usage) };
}

/** An entry has numbers or their base64; what stands in them is the caller's to read. */
const isVector = (entry: unknown): boolean => {
  if (typeof entry !== 'object' || entry === null || !('embedding' in entry)) return false;
  return typeof entry.embedding === 'string' || Array.isArray(entry.embedding);
};

/** Vectors are no tokens: there is input only. */
function readUsage(usage: unknown): TokenUsage | undefined {
  if (typeof usage !== 'object' || usage === null || !('prompt_tokens' in usage)) return undefined;
  const inputTokens = countOf(usage.prompt_tokens);
  return Number.isNaN(inputTokens)
    ? undefined
    : { inputTokens, outputTokens: 0, cachedInputTokens: 0, reasoningTokens: 0 };
}
