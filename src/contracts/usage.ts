// The metered fact: one event per attempt that consumed anything, whatever its status (contracts 4.10).
import { Type } from 'typebox';
import { eventContract, payload } from './contract.ts';
import { Count, Id, Key, maybe, RunIds, Usage, Usd, Word } from './fields.ts';

const UsageEvent = Type.Object({
  version: Type.Literal('1'),
  tenant_id: Id,
  provider_id: Id,
  event_type: Id,
  status: Type.Enum(['success', 'error', 'timeout', 'cancelled']),
  latency_ms: Count,
  cost: Usd,
  timestamp: Count,
  assignment_id: Id,
  request_id: maybe(Id),
  trace_id: maybe(Id),
  usage_id: maybe(Type.String({ minLength: 1, maxLength: 512 })),
  attempt: maybe(Count),
  ...Type.Partial(Usage).properties,
  currency: maybe(Type.Literal('USD')),
  billable: maybe(Type.Boolean()),
  shadow: maybe(Type.Boolean()),
  // The `usage_id` that this event corrects; its amounts are then differences.
  adjusts: maybe(Type.String({ minLength: 1, maxLength: 512 })),
  experiments: maybe(Type.Array(Type.Object({ id: Id, arm: Id }), { maxItems: 16 })),
  tags: maybe(Type.Array(Id, { maxItems: 32 })),
  expected_cost_micro_usd: maybe(Count),
  policy_id: maybe(Id),
  policy_revision: maybe(Count),
  key_id: maybe(Id),
  user_id: maybe(Key),
  worker_id: maybe(Id),
  ttft_ms: maybe(Count),
  finish_reason: maybe(Word),
  ...RunIds,
});
export type UsageEvent = Type.Static<typeof UsageEvent>;

export const usageMetered = eventContract({
  class: 'jetstream_event',
  template: 'beamline.usage.v1.metered',
  headers: 'jetstream_v1',
  message: payload('beamline.usage.UsageEvent', '1', UsageEvent),
});

/** What its stream knows it by; an estimate is no repeat of what was measured, nor the other way round (contracts 6). */
export const usageMessageId = ({ usage_id, estimated }: UsageEvent): string =>
  estimated === true ? `usage:${usage_id}:est` : `usage:${usage_id}`;
