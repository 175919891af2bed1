// The work order: the router asks one worker of a pool to run one attempt; the worker accepts or refuses at once.
import { Type } from 'typebox';
import type { BeamlineError } from '../core/errors.ts';
import { eventContract, payload, requestContract } from './contract.ts';
import { Count, FilledObject, Id, Key, maybe, OpenObject, RunIds, Subject, Text, Usd, Word } from './fields.ts';
import { DEADLINE_MAX_MS, DEADLINE_MIN_MS } from './limits.ts';

/** What became of a question to people: their option, or the end of the time. */
export const ApprovalVerdict = Type.Object({
  approval_id: Id,
  outcome: Type.Enum(['decided', 'expired']),
  option: maybe(Word),
  approver: maybe(Key),
  comment: maybe(Text),
  decided_at_ms: Count,
});
export type ApprovalVerdict = Type.Static<typeof ApprovalVerdict>;

/** A post-processor, as the router resolved it from the policy and its registry; nothing here is a caller's. */
const PostOrder = Type.Object({
  id: Id,
  subject: Type.String({ pattern: '^beamline\\.ext\\.post\\.[a-z0-9_-]{1,128}\\.v1$' }),
  mode: Type.Enum(['required', 'optional']),
  config: OpenObject,
  timeout_ms: Type.Integer({ minimum: 1, maximum: 300_000 }),
  retry: Type.Integer({ minimum: 0, maximum: 10 }),
  version: maybe(Id),
});
export type PostOrder = Type.Static<typeof PostOrder>;

const ExecAssignment = Type.Object({
  version: Type.Literal('1'),
  assignment_id: Id,
  request_id: Id,
  tenant_id: Id,
  executor: Type.Object({
    provider_id: Id,
    channel: Type.Literal('nats'),
    model: maybe(Type.String({ minLength: 1, maxLength: 256 })),
    pool: maybe(Id),
  }),
  job: Type.Object({
    type: Id,
    payload: maybe(FilledObject),
    payload_ref: maybe(Type.String({ minLength: 1, maxLength: 512 })),
  }),
  options: Type.Object({
    deadline_ms: Type.Integer({ minimum: DEADLINE_MIN_MS, maximum: DEADLINE_MAX_MS }),
    priority: maybe(Type.Integer({ minimum: 0, maximum: 100 })),
    // Tries within one attempt while nothing was consumed; always one for `ai.*`.
    retry: maybe(
      Type.Object({
        max_attempts: maybe(Type.Integer({ minimum: 1, maximum: 10 })),
        backoff_ms: maybe(Type.Integer({ minimum: 0, maximum: 60_000 })),
      }),
    ),
  }),
  correlation: maybe(Type.Object({ trace_id: maybe(Id) })),
  metadata: maybe(OpenObject),
  ...RunIds,
  idempotency_key: maybe(Key),
  decision: maybe(
    Type.Object({
      provider_id: Id,
      reason: Id,
      priority: Type.Integer(),
      expected_latency_ms: maybe(Count),
      expected_cost: maybe(Usd),
      policy_id: maybe(Id),
      policy_revision: maybe(Count),
    }),
  ),
  attempt: maybe(Count),
  owner: maybe(Type.Object({ router_id: Id })),
  expires_at_ms: maybe(Count),
  stream: maybe(Type.Boolean()),
  deliver_to: maybe(Subject),
  dialect: maybe(Id),
  limits: maybe(Type.Object({ first_chunk_ms: maybe(Count), idle_ms: maybe(Count) })),
  prior_cost_micro_usd: maybe(Count),
  // Shares of this tenant in fair queues; absent means 1.
  tenant_weight: maybe(Type.Integer({ minimum: 1, maximum: 1_000 })),
  // What the caller's credential may do, for blocks that need a scope.
  scopes: maybe(Type.Array(Id, { maxItems: 64 })),
  // The decision of a person that the job waited for.
  approval: maybe(ApprovalVerdict),
  // What is asked about the output before it leaves, in this order.
  post: maybe(Type.Array(PostOrder, { maxItems: 5 })),
  shadow: maybe(Type.Boolean()),
});
export type ExecAssignment = Type.Static<typeof ExecAssignment>;

const REASONS = [
  'invalid_request',
  'unsupported_version',
  'unknown_job_type',
  'unsupported_provider',
  'tenant_forbidden',
  'queue_full',
  'quota_exceeded',
  'draining',
  'duplicate',
  'deadline_passed',
] as const;
export type RefusalReason = (typeof REASONS)[number];

export const OVERLOAD_LEVELS = ['healthy', 'degraded', 'overloaded', 'critical'] as const;
export const Overload = Type.Enum([...OVERLOAD_LEVELS]);

const ExecAssignmentAck = Type.Object({
  version: maybe(Type.Literal('1')),
  assignment_id: Id,
  status: Type.Enum(['accepted', 'rejected', 'error']),
  reason: maybe(Type.Enum([...REASONS])),
  request_id: maybe(Id),
  trace_id: maybe(Id),
  tenant_id: maybe(Id),
  message: maybe(Text),
  acknowledged_at: maybe(Count),
  attempt: maybe(Count),
  worker_id: maybe(Id),
  queue_depth: maybe(Count),
  overload_status: maybe(Overload),
});
export type ExecAssignmentAck = Type.Static<typeof ExecAssignmentAck>;

const assignment = payload('caf.exec.ExecAssignment', '1', ExecAssignment);
const acknowledgement = payload('caf.exec.ExecAssignmentAck', '1', ExecAssignmentAck);

/** The pool that the frozen subject serves; every other one has a subject of its own. */
export const DEFAULT_POOL = 'default';

/** A durable assignment for a worker of the default pool. */
export const execAssign = eventContract({
  class: 'jetstream_event',
  template: 'caf.exec.assign.v1',
  headers: 'jetstream_v1',
  message: assignment,
});

/** A durable assignment for a worker of another pool. */
export const execAssignPool = eventContract({
  class: 'jetstream_event',
  template: 'caf.exec.assign.v2.<pool>',
  headers: 'jetstream_v2',
  message: assignment,
});

/** What a worker says of a durable assignment that it took; advisory. */
export const execAssignAck = eventContract({
  class: 'core_event',
  template: 'caf.exec.assign.v1.ack',
  headers: 'base_v1',
  message: acknowledgement,
});

export const execCall = requestContract({
  class: 'request_reply',
  template: 'caf.exec.call.v2.<pool>',
  headers: 'request_reply_v2',
  request: assignment,
  reply: acknowledgement,
  refuse(error: BeamlineError, request): ExecAssignmentAck {
    const id = (request as { assignment_id?: unknown } | undefined)?.assignment_id;
    return {
      version: '1',
      assignment_id: typeof id === 'string' && id.length > 0 && id.length <= 128 ? id : '-',
      status: error.code === 'internal' ? 'error' : 'rejected',
      reason: error.code === 'queue_full' || error.code === 'service_overloaded' ? 'queue_full' : 'invalid_request',
      message: error.message.slice(0, 1024),
    };
  },
});
