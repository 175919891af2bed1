// Asking a provider that is a service of others on the bus (contracts 4.13): they know v1 fields only.
import { Type } from 'typebox';
import { errorRow } from '../core/errors.ts';
import { payload, requestContract } from './contract.ts';
import { Count, Id, maybe, ModelName, OpenObject, Text, Word } from './fields.ts';

const ProviderRequest = Type.Object({
  version: Type.Literal('1'),
  provider_id: Id,
  tenant_id: Id,
  request_id: Id,
  // `model`, `max_tokens`, `temperature` and what else the provider takes.
  parameters: OpenObject,
  // One of the two.
  messages: maybe(Type.Array(OpenObject)),
  prompt: maybe(Type.String()),
  context: maybe(OpenObject),
  config: maybe(OpenObject),
  // Time that is left.
  deadline_ms: maybe(Count),
  trace_id: maybe(Id),
});
export type ProviderRequest = Type.Static<typeof ProviderRequest>;

const ProviderReply = Type.Object({
  // Absent means true.
  ok: maybe(Type.Boolean()),
  provider_id: maybe(Id),
  output: maybe(Type.Unknown()),
  usage: maybe(Type.Object({ prompt_tokens: Count, completion_tokens: Count, total_tokens: maybe(Count) })),
  metadata: maybe(Type.Object({ model: maybe(ModelName), finish_reason: maybe(Word), latency_ms: maybe(Count) })),
  error: maybe(
    Type.Object({ code: Id, message: Text, retryable: maybe(Type.Boolean()), retry_after_ms: maybe(Count) }),
  ),
});
export type ProviderReply = Type.Static<typeof ProviderReply>;

export const providerCall = requestContract({
  class: 'request_reply',
  template: 'beamline.provider.<id>.v1',
  headers: 'request_reply_v1',
  request: payload('beamline.provider.ProviderRequest', '1', ProviderRequest),
  reply: payload('beamline.provider.ProviderReply', '1', ProviderReply),
  refuse: (error): ProviderReply => ({
    ok: false,
    error: { code: error.code, message: error.message.slice(0, 1024), retryable: errorRow(error.code).retry },
  }),
});
