// Asking the router: which provider serves this request, and (v2) push the assignment at once.
import { Type } from 'typebox';
import { payload, requestContract } from './contract.ts';
import { contextOf, Failure, FAILURE_FIELDS, failureOf, intakeCode, ReplyContext } from './failure.ts';
import { ExecutedExtension } from './extension.ts';
import { JobOrder } from './job-order.ts';
import { Count, FilledObject, Id, Key, maybe, OpenObject, RunIds, Subject, Usd } from './fields.ts';

const Task = Type.Object({
  type: Id,
  model: maybe(Type.String({ minLength: 1, maxLength: 256 })),
  payload: maybe(FilledObject),
  payload_ref: maybe(Type.String({ minLength: 1, maxLength: 512 })),
});

const DecideRequestV1 = Type.Object({
  version: Type.Literal('1'),
  request_id: Id,
  tenant_id: Id,
  trace_id: maybe(Id),
  task: Task,
  policy_id: maybe(Id),
  constraints: maybe(Type.Object({ max_latency_ms: maybe(Count), max_cost: maybe(Usd) })),
  metadata: maybe(OpenObject),
  context: maybe(OpenObject),
  push_assignment: maybe(Type.Boolean()),
  ...RunIds,
  idempotency_key: maybe(Key),
  options: maybe(
    Type.Object({
      priority: maybe(Type.Integer({ minimum: 0, maximum: 100 })),
      deadline_ms: maybe(Count),
      explain: maybe(Type.Boolean()),
      retry: maybe(Type.Object({ max_attempts: maybe(Type.Integer({ minimum: 1 })), backoff_ms: maybe(Count) })),
    }),
  ),
  assignment_subject: maybe(Type.Literal('caf.exec.assign.v1')),
});
export type DecideRequestV1 = Type.Static<typeof DecideRequestV1>;

const DecideResponseV1 = Type.Object({
  ok: Type.Boolean(),
  decision: maybe(
    Type.Object({
      provider_id: Id,
      reason: Id,
      priority: Type.Integer(),
      expected_latency_ms: Count,
      expected_cost: Usd,
      metadata: OpenObject,
      policy_id: maybe(Id),
      policy_revision: maybe(Count),
      fallback_used: maybe(Type.Boolean()),
    }),
  ),
  explanation: maybe(OpenObject),
  error: maybe(Type.Object(FAILURE_FIELDS)),
  context: Type.Object({ request_id: maybe(Id), trace_id: maybe(Id) }),
});
export type DecideResponseV1 = Type.Static<typeof DecideResponseV1>;

export const DecideRequestV2 = Type.Object({
  version: Type.Literal('2'),
  request_id: Id,
  tenant_id: Id,
  trace_id: maybe(Id),
  task: Task,
  policy_id: maybe(Id),
  constraints: maybe(
    Type.Object({
      max_latency_ms: maybe(Count),
      max_cost: maybe(Usd),
      max_cost_micro_usd: maybe(Count),
      providers_allow: maybe(Type.Array(Id)),
      providers_deny: maybe(Type.Array(Id)),
    }),
  ),
  metadata: maybe(OpenObject),
  context: maybe(OpenObject),
  push_assignment: maybe(Type.Boolean()),
  ...RunIds,
  idempotency_key: maybe(Key),
  options: maybe(
    Type.Object({
      priority: maybe(Type.Integer({ minimum: 0, maximum: 100 })),
      explain: maybe(Type.Enum(['none', 'minimal', 'detailed', 'verbose'])),
      dry_run: maybe(Type.Boolean()),
      retry: maybe(Type.Object({ max_attempts: maybe(Type.Integer({ minimum: 1 })), backoff_ms: maybe(Count) })),
    }),
  ),
  deadline_ms: maybe(Count),
  stream: maybe(Type.Boolean()),
  deliver_to: maybe(Subject),
  // The wire format of `task.payload`; a provider of the same dialect gets it unchanged.
  dialect: maybe(Id),
  // Longest silence between chunks that the caller accepts, from `x-beamline-stream-idle-ms`.
  idle_ms: maybe(Count),
  principal: maybe(Type.Object({ key_id: maybe(Id), user_id: maybe(Key), scopes: maybe(Type.Array(Id)) })),
  // `weight`: its turns among the tenants that wait.
  tenant: maybe(
    Type.Object({
      tier: maybe(Id),
      labels: maybe(OpenObject),
      weight: maybe(Type.Integer({ minimum: 1, maximum: 1_000 })),
    }),
  ),
  // `size_bytes`: of the body as the caller sent it; `task_size_bytes`: of the payload, where it is not the body.
  estimate: maybe(
    Type.Object({
      input_tokens: maybe(Count),
      max_output_tokens: maybe(Count),
      size_bytes: maybe(Count),
      task_size_bytes: maybe(Count),
    }),
  ),
  reask: maybe(Type.Integer({ minimum: 0, maximum: 1 })),
  // Set for durable work: what its record keeps beside the task.
  job: maybe(JobOrder),
});
export type DecideRequest = Type.Static<typeof DecideRequestV2>;

const DecideResponseV2 = Type.Object({
  version: Type.Literal('2'),
  ok: Type.Boolean(),
  decision: maybe(
    Type.Object({
      provider_id: Id,
      reason: Id,
      priority: Type.Integer(),
      policy_id: Id,
      policy_revision: Count,
      fallback_used: Type.Boolean(),
      model: maybe(Type.String()),
      expected_latency_ms: maybe(Count),
      expected_cost_micro_usd: maybe(Count),
      sticky: maybe(Type.Boolean()),
      // The last rule that holds.
      rule_id: maybe(Id),
      experiments: maybe(Type.Array(Type.Object({ id: Id, arm: Id }))),
      canary: maybe(Type.Enum(['stable', 'canary'])),
      tags: maybe(Type.Array(Id)),
      // The policy's source has been out of reach for a minute or more.
      policy_stale: maybe(Type.Boolean()),
      alternatives: maybe(Type.Array(Id)),
      seed: maybe(Type.String()),
    }),
  ),
  assignment: maybe(
    Type.Object({ assignment_id: Id, attempt: Count, subject: Subject, deadline_ms: Count, durable: Type.Boolean() }),
  ),
  stream: maybe(Type.Object({ deliver_to: Subject, heartbeat_ms: Count, silence_ms: Count })),
  explanation: maybe(OpenObject),
  // Of a dry run, which asks no extension here: none, and SHA-256 of the payload's JSON, hex.
  executed_extensions: maybe(Type.Array(ExecutedExtension)),
  payload_digest: maybe(Type.String({ maxLength: 64 })),
  duplicate: maybe(Type.Boolean()),
  // When a new job was stored; absent where its record is not what was asked for, and has to be read.
  accepted_at_ms: maybe(Count),
  error: maybe(Failure),
  context: ReplyContext,
});
export type DecideResponse = Type.Static<typeof DecideResponseV2>;

const V1_NAMES: Readonly<Record<string, string>> = {
  no_provider_available: 'decision_failed',
  forbidden: 'unauthorized',
  idempotency_conflict: 'invalid_request',
};

export const decideV1 = requestContract({
  class: 'request_reply',
  template: 'beamline.router.v1.decide',
  headers: 'request_reply_v1',
  request: payload('beamline.router.DecideRequest', '1', DecideRequestV1),
  reply: payload('beamline.router.DecideResponse', '1', DecideResponseV1),
  refuse(error, request): DecideResponseV1 {
    const { request_id, trace_id } = contextOf(request);
    const intake = intakeCode(error);
    const retryAfter =
      error.retryAfterMs === undefined ? {} : { retry_after_seconds: Math.ceil(error.retryAfterMs / 1000) };
    return {
      ok: false,
      error: {
        code: V1_NAMES[error.code] ?? error.code,
        message: error.message.slice(0, 1024),
        ...(intake === undefined ? {} : { intake_error_code: intake }),
        details: { ...error.details, ...retryAfter },
      },
      context: { ...(request_id === undefined ? {} : { request_id }), ...(trace_id === undefined ? {} : { trace_id }) },
    };
  },
});

export const decideV2 = requestContract({
  class: 'request_reply',
  template: 'beamline.router.v2.decide',
  headers: 'request_reply_v2',
  request: payload('beamline.router.DecideRequest', '2', DecideRequestV2),
  reply: payload('beamline.router.DecideResponse', '2', DecideResponseV2),
  refuse(error, request): DecideResponse {
    return { version: '2', ok: false, error: failureOf(error), context: contextOf(request) };
  },
});
