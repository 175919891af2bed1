// A dead letter as the API tells it, and which ones a caller asks for.
import type { LetterLine } from '../../bus/letter-box.ts';
import { DEAD_LETTER_CLASSES, type DlqEnvelope } from '../../contracts/dead-letter.ts';
import { redactText } from '../../core/redact.ts';
import { type Body, shortTextIn, timeIn } from '../jobs/job-fields.ts';
import { timeOf } from '../jobs/job-view.ts';
import type { LetterFilter } from '../letter-desk.ts';
import { maskedPayload } from '../masked-payload.ts';
import type { JsonSchema } from '../route.ts';
import { invalidField } from './policies-request.ts';

const SUBJECT_CHARS_MAX = 256;
const CODE_CHARS_MAX = 128;
const CURSOR = /^[1-9]\d{0,15}$/;

const text = { type: 'string' };
const count = { type: 'integer', minimum: 0 };

export const letterSchema: JsonSchema = {
  type: 'object',
  required: ['id', 'message_id', 'tenant_id', 'subject', 'producer', 'error', 'delivery', 'age_s', 'replays'],
  properties: {
    id: { ...text, description: 'Another one after each replay, so that a repeated replay finds nothing.' },
    message_id: text,
    tenant_id: text,
    subject: { ...text, description: 'Where the message came from, and where a replay sends it.' },
    producer: text,
    error: {
      type: 'object',
      required: ['class', 'code', 'message', 'retryable'],
      properties: {
        class: { enum: [...DEAD_LETTER_CLASSES] },
        code: text,
        message: text,
        retryable: { type: 'boolean' },
      },
    },
    delivery: {
      type: 'object',
      required: ['count', 'limit', 'first_seen_at', 'last_seen_at'],
      properties: { count, limit: count, first_seen_at: text, last_seen_at: text },
    },
    age_s: { ...count, description: 'Since the message was given up.' },
    replays: count,
    payload_bytes: count,
    payload_truncated: { type: 'boolean' },
  },
};

export const shownLetterSchema: JsonSchema = {
  ...letterSchema,
  properties: {
    ...(letterSchema['properties'] as object),
    trace_id: text,
    request_id: text,
    assignment_id: text,
    payload: { description: 'Its shape and the names of its members; words and numbers are `***`.' },
  },
};

export const filterSchema: JsonSchema = {
  type: 'object',
  additionalProperties: false,
  properties: {
    subject: { type: 'string', maxLength: SUBJECT_CHARS_MAX },
    class: { enum: [...DEAD_LETTER_CLASSES] },
    code: { type: 'string', maxLength: CODE_CHARS_MAX },
    since: { type: 'string', format: 'date-time' },
    until: { type: 'string', format: 'date-time' },
  },
};

/** Members of a query or of a filter. Throws `invalid_request` with the member. */
export function letterFilterOf(members: Body): LetterFilter {
  const kind = shortTextIn(members, 'class', CODE_CHARS_MAX);
  if (kind !== undefined && !DEAD_LETTER_CLASSES.some((known) => known === kind)) {
    throw invalidField('class', `must be one of ${DEAD_LETTER_CLASSES.join(', ')}`);
  }
  return {
    subject: shortTextIn(members, 'subject', SUBJECT_CHARS_MAX),
    class: kind,
    code: shortTextIn(members, 'code', CODE_CHARS_MAX),
    sinceMs: timeIn(members, 'since'),
    untilMs: timeIn(members, 'until'),
  };
}

export function placeOf(cursor: string | undefined): number | undefined {
  if (cursor === undefined) return undefined;
  if (!CURSOR.test(cursor)) throw invalidField('cursor', 'must be one that a list gave');
  return Number(cursor);
}

export const cursorOf = (below: number | undefined): string | null => (below === undefined ? null : String(below));

export function listedLetter(line: LetterLine, nowMs: number) {
  const { seq, msg_id, tenant_id, original_subject, producer, error, delivery, replays } = line;
  const { count: deliveries, limit, first_seen_ms, last_seen_ms } = delivery;
  return {
    id: String(seq),
    message_id: msg_id,
    tenant_id,
    subject: original_subject,
    producer,
    error: { ...error, message: redactText(error.message) },
    delivery: { count: deliveries, limit, first_seen_at: timeOf(first_seen_ms), last_seen_at: timeOf(last_seen_ms) },
    age_s: Math.max(0, Math.floor((nowMs - last_seen_ms) / 1_000)),
    replays,
    payload_bytes: line.payload_bytes,
    payload_truncated: line.payload_truncated,
  };
}

export function shownLetter(
  { line, letter }: { readonly line: LetterLine; readonly letter: DlqEnvelope },
  nowMs: number,
) {
  const { trace_id, request_id, assignment_id } = letter;
  return { ...listedLetter(line, nowMs), trace_id, request_id, assignment_id, payload: maskedPayload(letter) };
}
