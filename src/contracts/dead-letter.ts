// A message that was given up, with its whole body and why (contracts 4.11, 7).
import { Type } from 'typebox';
import { eventContract, payload } from './contract.ts';
import { Count, Id, maybe, OpenObject, Subject, Text } from './fields.ts';

export const DEAD_LETTER_CLASSES = ['validation', 'forbidden', 'exhausted', 'processing'] as const;
export type DeadLetterClass = (typeof DEAD_LETTER_CLASSES)[number];

const DlqEnvelope = Type.Object({
  version: Type.Literal('2'),
  // `dlq:<stream>:<seq>`, without a stream `dlq:<subject>:<sha256>`.
  msg_id: Type.String({ minLength: 1, maxLength: 512 }),
  original_subject: Subject,
  // `module@process_id`.
  producer: Id,
  error: Type.Object({
    class: Type.Enum([...DEAD_LETTER_CLASSES]),
    code: Id,
    message: Text,
    retryable: Type.Boolean(),
  }),
  delivery: Type.Object({ count: Count, limit: Count, first_seen_ms: Count, last_seen_ms: Count }),
  headers: OpenObject,
  payload: Type.String(),
  payload_encoding: Type.Enum(['base64', 'aes256gcm+base64']),
  payload_bytes: Count,
  payload_sha256: Type.String({ pattern: '^[0-9a-f]{64}$' }),
  key_id: maybe(Id),
  payload_truncated: maybe(Type.Boolean()),
  original_msg_id: maybe(Type.String({ minLength: 1, maxLength: 512 })),
  tenant_id: maybe(Id),
  trace_id: maybe(Id),
  request_id: maybe(Id),
  assignment_id: maybe(Id),
  replay: maybe(Type.Object({ count: Count, last_ms: Count })),
});
export type DlqEnvelope = Type.Static<typeof DlqEnvelope>;

export const deadLetter = eventContract({
  class: 'dlq',
  template: 'beamline.router.dlq.v2',
  headers: 'dlq_v2',
  message: payload('beamline.router.DlqEnvelope', '2', DlqEnvelope),
});
