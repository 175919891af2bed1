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

const NO_TAGS: readonly string[] = Object.freeze([]);
/** Usage names tags by this (`usage.ts`). */
const COUNTED = /^[\x21-\x7e]+$/;

/** The tags of an order that its usage is counted by, each once: one with spaces or other letters only marks the job. */
export function countedTags(order: Pick<JobOrder, 'tags'> | undefined): readonly string[] {
  const tags = order?.tags;
  return tags === undefined ? NO_TAGS : [...new Set(tags)].filter((tag) => COUNTED.test(tag));
}
