// Field types that payloads share; the name of a field decides its type (contracts 4).
import { Type } from 'typebox';
import { ID_BYTES_MAX, KEY_BYTES_MAX, TEXT_CHARS_MAX } from './limits.ts';

/** 1 to 128 bytes of printable ASCII without spaces. */
export const Id = Type.String({ minLength: 1, maxLength: ID_BYTES_MAX, pattern: '^[\\x21-\\x7e]+$' });
export const Key = Type.String({ minLength: 1, maxLength: KEY_BYTES_MAX });
/** The name of a model, as a caller or a provider writes it. */
export const ModelName = Type.String({ minLength: 1, maxLength: 256 });
/** A short word of a provider, for example a finish reason. */
export const Word = Type.String({ minLength: 1, maxLength: 64 });
export const Text = Type.String({ maxLength: TEXT_CHARS_MAX });
/** An integer from 0: counts, tokens, bytes, milliseconds, micro-USD. */
export const Count = Type.Integer({ minimum: 0 });
export const Usd = Type.Number({ minimum: 0 });
/** An object whose members are the author's own. */
export const OpenObject = Type.Unsafe<Record<string, unknown>>(Type.Object({}));
/** The same with at least one member. */
export const FilledObject = Type.Unsafe<Record<string, unknown>>(Type.Object({}, { minProperties: 1 }));
export const Subject = Type.String({ minLength: 1, maxLength: 512 });

/** Optional as the wire means it: absent, never null. */
export const maybe = Type.Optional;

export const Usage = Type.Object({
  model: ModelName,
  input_tokens: Count,
  output_tokens: Count,
  cost_micro_usd: Count,
  cached_input_tokens: maybe(Count),
  cache_write_tokens: maybe(Count),
  reasoning_tokens: maybe(Count),
  estimated: maybe(Type.Boolean()),
  unpriced: maybe(Type.Boolean()),
  price_version: maybe(Id),
  // What blocks other than `ai.*` consume.
  requests: maybe(Count),
  bytes_in: maybe(Count),
  bytes_out: maybe(Count),
  cpu_ms: maybe(Count),
});
export type Usage = Type.Static<typeof Usage>;

export const RunIds = { run_id: maybe(Id), flow_id: maybe(Id), step_id: maybe(Id) };
