// What a caller orders beside the task when the work is durable; it travels with decide and stands in the job's record.
import { Type } from 'typebox';
import { Count, Id, maybe, Word } from './fields.ts';

export const JobOrder = Type.Object({
  // `job_` and a ULID: the id that callers see.
  id: Id,
  // The caller's name of the type, where it is an alias of `task.type`.
  type: maybe(Id),
  tags: maybe(Type.Array(Word, { maxItems: 16 })),
  // Not dispatched before this moment.
  run_at_ms: maybe(Count),
  // Must have ended by this moment, started or not.
  expires_at_ms: Count,
  retry_of: maybe(Id),
  // The id of a registered webhook that hears of the end.
  webhook_id: maybe(Id),
  // The dialect in which the result is read back, for example `openai.chat`.
  answer_as: maybe(Id),
  // The caller's own key for repeats, as it was given.
  idempotency_key: maybe(Type.String({ minLength: 1, maxLength: 256 })),
});
export type JobOrder = Type.Static<typeof JobOrder>;
