// What a worker streams to the one gateway that waits: start, chunks, and exactly one end or error (contracts 4.9).
import { Type } from 'typebox';
import { eventContract, payload } from './contract.ts';
import { Count, Id, maybe, ModelName, OpenObject, Text, Usage, Word } from './fields.ts';

const head = { assignment_id: Id, attempt: Count, seq: Count, origin: maybe(Type.Enum(['worker', 'router'])) };

const Start = Type.Object({
  type: Type.Literal('start'),
  ...head,
  provider_id: Id,
  model: ModelName,
  worker_id: Id,
  created_ms: Count,
});

const Chunk = Type.Object({
  type: Type.Literal('chunk'),
  ...head,
  // One of: `raw`, the provider's own event payload where dialects are equal, `delta` for choice `index`, or `part`, a
  // slice of a whole answer that is too large for one message.
  raw: maybe(Type.String()),
  usage_only: maybe(Type.Boolean()),
  delta: maybe(OpenObject),
  index: maybe(Count),
  part: maybe(Type.String()),
});

const Heartbeat = Type.Object({ type: Type.Literal('heartbeat'), ...head });

const End = Type.Object({
  type: Type.Literal('end'),
  ...head,
  finish_reason: Word,
  usage: Usage,
  total_cost_micro_usd: maybe(Count),
  // One of, if not streaming: `raw`, the provider's own body where dialects are equal, or `output`.
  raw: maybe(Type.String()),
  output: maybe(Type.Unknown()),
  // Of an answer in parts: their number, and the SHA-256 in hex of the UTF-8 of the whole.
  output_parts: maybe(Count),
  output_sha256: maybe(Type.String({ pattern: '^[0-9a-f]{64}$' })),
});

const Failed = Type.Object({
  type: Type.Literal('error'),
  ...head,
  error: Type.Object({
    code: Id,
    message: Text,
    retryable: Type.Boolean(),
    detail_code: maybe(Id),
    retry_after_ms: maybe(Count),
    details: maybe(OpenObject),
  }),
  committed: Type.Boolean(),
  usage: maybe(Usage),
});

const StreamFrame = Type.Union([Chunk, Start, End, Failed, Heartbeat]);
export type StreamFrame = Type.Static<typeof StreamFrame>;
export type EndFrame = Type.Static<typeof End>;
export type ErrorFrame = Type.Static<typeof Failed>;

export const frames = eventContract({
  class: 'frames',
  template: 'beamline.exec.v2.frames.<gateway_id>.<stream_id>',
  headers: 'frames_v2',
  message: payload('beamline.exec.StreamFrame', '2', StreamFrame),
});
