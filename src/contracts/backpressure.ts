// How loaded a router is (contracts 4.12): every router answers for itself, the calm ones sooner, so that whoever takes
// one reply alone has that of the best.
import { Type } from 'typebox';
import { payload, requestContract } from './contract.ts';
import { Failure, failureOf } from './failure.ts';
import { Count, Id, maybe, Subject } from './fields.ts';

const BackpressureQuery = Type.Object({
  version: Type.Literal('2'),
  request_id: Id,
  // What the load is asked for; decide v2 if absent.
  subject: maybe(Subject),
});
export type BackpressureQuery = Type.Static<typeof BackpressureQuery>;

const BackpressureStatus = Type.Object({
  success: Type.Boolean(),
  // Absent in a refusal.
  data: maybe(
    Type.Object({
      subject: Subject,
      router_id: Id,
      status: Type.Enum(['active', 'warning', 'inactive', 'unknown']),
      metrics: Type.Object({
        // Decisions that are not answered yet.
        pending_messages: Count,
        latency_p95_ms: Count,
        inflight_messages: Count,
        event_loop_lag_ms: Count,
        worker_slots_free: Count,
      }),
      thresholds: Type.Object({
        queue_overload: Count,
        latency_overload_ms: Count,
        inflight_overload: Count,
        event_loop_lag_ms: Count,
      }),
      policy: Type.Object({ retry_after_seconds: Count, max_retry_attempts: Count }),
      timestamp: Count,
    }),
  ),
  error: maybe(Failure),
});
export type BackpressureStatus = Type.Static<typeof BackpressureStatus>;
export type RouterLoad = NonNullable<BackpressureStatus['data']>;

export const backpressureV2 = requestContract({
  class: 'request_reply',
  template: 'beamline.router.v2.status.backpressure',
  headers: 'request_reply_v2',
  request: payload('beamline.router.BackpressureQuery', '2', BackpressureQuery),
  reply: payload('beamline.router.BackpressureStatus', '2', BackpressureStatus),
  refuse: (error): BackpressureStatus => ({ success: false, error: failureOf(error) }),
});
