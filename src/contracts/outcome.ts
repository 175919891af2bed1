// How an attempt goes, told to every router: a hint that may be lost; money depends on the result (contracts 4.7).
import { Type } from 'typebox';
import { Overload } from './assignment.ts';
import { eventContract, payload } from './contract.ts';
import { Count, Id, maybe, ModelName, Text } from './fields.ts';

const AttemptOutcome = Type.Object({
  version: Type.Literal('2'),
  assignment_id: Id,
  attempt: Count,
  request_id: Id,
  tenant_id: Id,
  provider_id: Id,
  worker_id: Id,
  latency_ms: Count,
  timestamp_ms: Count,
  state: Type.Enum(['committed', 'succeeded', 'failed', 'timed_out', 'cancelled']),
  committed: Type.Boolean(),
  error: maybe(
    Type.Object({
      class: Id,
      code: Id,
      retryable: Type.Boolean(),
      retry_after_ms: maybe(Count),
      // Additive: what the router says to the caller if it gives up, redacted by the worker.
      message: maybe(Text),
      detail_code: maybe(Id),
      http_status: maybe(Count),
    }),
  ),
  router_id: maybe(Id),
  model: maybe(ModelName),
  ttft_ms: maybe(Count),
  output_tokens: maybe(Count),
  // Of a copy whose result is thrown away; it says nothing of breakers, latencies and canaries.
  shadow: maybe(Type.Boolean()),
  // Additive, of a shadow: what it cost, beside what is told of the request itself.
  cost_micro_usd: maybe(Count),
  overload_status: maybe(Overload),
});
export type AttemptOutcome = Type.Static<typeof AttemptOutcome>;

export const attemptOutcome = eventContract({
  class: 'core_event',
  template: 'beamline.exec.v2.outcome',
  headers: 'base_v2',
  message: payload('beamline.exec.AttemptOutcome', '2', AttemptOutcome),
});
