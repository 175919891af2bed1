// The decide request of a job: of a body, of a job that is tried anew, or of a request that a dialect puts off.
import { decideV2, type DecideRequest } from '../../contracts/decide.ts';
import type { JobOrder } from '../../contracts/job-order.ts';
import { JSON_DEPTH_MAX } from '../../contracts/limits.ts';
import { BeamlineError } from '../../core/errors.ts';
import { isShallow } from '../../core/json-guard.ts';
import type { Principal } from '../../auth/principal.ts';
import type { Call } from '../call.ts';
import type { TenantFacts } from '../decide-client.ts';
import type { Order } from '../order.ts';
import type { OrderHeaders } from '../order-headers.ts';
import { invalidField } from '../routes/policies-request.ts';
import { addWishes } from '../wishes.ts';
import type { JobDraft } from './job-body.ts';
import type { JobRecord } from './job-records.ts';
import type { JobDecide } from './submit-job.ts';

/** What a body does not say of a job. */
export interface JobSetting {
  readonly id: string;
  /** Of the epoch. */
  readonly nowMs: number;
  /** Where the caller names none. */
  readonly deadlineMs: number;
  /** The caller's own key, as it was given. */
  readonly key: string | undefined;
  readonly tenant: TenantFacts | undefined;
  readonly webhookId: string | undefined;
}

/** A record holds the request one level deeper. */
const DEPTH_MAX = JSON_DEPTH_MAX - 2;
const CHARS_PER_TOKEN = 4;
const REFERRED_BYTES_MAX = 4_194_304;

/** The wire format of a payload, by the type of its task. */
const DIALECTS: ReadonlyMap<string, string> = new Map([
  ['ai.chat', 'openai.chat'],
  ['ai.embed', 'openai.embeddings'],
]);

/**
 * `sizeBytes` is that of the body. Throws `forbidden` for what the key may not order, `invalid_request` for a body that
 * makes no legal message.
 */
export function requestOfDraft(
  call: Call,
  draft: JobDraft,
  setting: JobSetting,
  headers: Pick<OrderHeaders, 'policyId' | 'attemptsMax' | 'wishes' | 'tags'>,
  sizeBytes: number,
): JobDecide {
  const policyId = draft.policyId ?? headers.policyId;
  const task = withModel(draft.task);
  const isModelWork = isModelTask(task.type);
  if (isModelWork) requireModel(call.principal, task.model);
  const attemptsMax = Math.min(draft.attemptsMax ?? Infinity, headers.attemptsMax ?? Infinity);
  const options: DecideRequest['options'] = {};
  if (draft.priority !== undefined) options.priority = draft.priority;
  if (Number.isFinite(attemptsMax)) options.retry = { max_attempts: attemptsMax };
  const job = orderOf(setting, draft.runAtMs, draft.deadlineMs);
  if (draft.alias !== undefined) job.type = draft.alias;
  const tags = draft.tags ?? headers.tags;
  if (tags !== undefined) job.tags = [...tags];
  const request: JobDecide = {
    ...frame(call, job, setting),
    trace_id: draft.traceId ?? call.traceId,
    task,
    ...draft.runIds,
  };
  if (policyId !== undefined) request.policy_id = policyId;
  if (draft.metadata !== undefined) request.metadata = draft.metadata;
  if (draft.context !== undefined) request.context = draft.context;
  if (Object.keys(options).length > 0) request.options = options;
  if (headers.wishes !== undefined) addWishes(request, headers.wishes);
  // What comes in the words of a dialect needs no translation on its way to a provider of it.
  const dialect = DIALECTS.get(task.type);
  if (dialect !== undefined) request.dialect = dialect;
  const text = task.payload === undefined ? undefined : JSON.stringify(task.payload);
  request.estimate = { size_bytes: sizeBytes };
  if (text !== undefined) request.estimate.task_size_bytes = Buffer.byteLength(text);
  // A payload that nobody here has seen may be as large as one is read.
  if (isModelWork) request.estimate.input_tokens = Math.ceil((text?.length ?? REFERRED_BYTES_MAX) / CHARS_PER_TOKEN);
  return checked(call, request);
}

/** The same work under a new id, from now on. */
export function requestOfRetry(call: Call, { request: old, state }: JobRecord, setting: JobSetting): JobDecide {
  const { request } = old;
  const { task } = request;
  const before = request.job;
  // A dialect's caller named the model in its body, which may be another one's alias.
  if (isModelTask(task.type)) {
    requireModel(call.principal, before?.answer_as === undefined ? task.model : task.payload?.['model']);
  }
  const orderedMs = old.expires_at_ms - (request.deadline_ms ?? setting.deadlineMs);
  const spanMs = old.expires_at_ms - Math.max(before?.run_at_ms ?? 0, orderedMs);
  const job: JobOrder = { ...orderOf(setting, undefined, Math.max(1, spanMs)), retry_of: old.job_id };
  if (before?.type !== undefined) job.type = before.type;
  if (before?.answer_as !== undefined) job.answer_as = before.answer_as;
  const tags = state?.tags ?? before?.tags;
  if (tags !== undefined) job.tags = tags;
  const again: JobDecide = { ...request, ...frame(call, job, setting), trace_id: call.traceId };
  const metadata = state?.metadata ?? request.metadata;
  if (metadata !== undefined) again.metadata = metadata;
  return checked(call, again);
}

/** A request of a dialect whose answer is read later. */
export function requestOfOrder(call: Call, order: Order, setting: JobSetting): JobDecide {
  const { model, providersAllow, idleMs, attemptsMax, userId, outputTokensMax } = order;
  const job: JobOrder = { ...orderOf(setting, undefined, undefined), answer_as: order.dialect };
  const task = { type: order.taskType, payload: { ...order.body } };
  const request: JobDecide = {
    ...frame(call, job, setting),
    trace_id: order.traceId,
    task: model === undefined ? task : { ...task, model },
    policy_id: order.policyId,
    dialect: order.dialect,
    context: { ...order.context },
    estimate: {
      input_tokens: order.inputTokensEstimate,
      size_bytes: order.sizeBytes,
      ...(outputTokensMax === undefined ? {} : { max_output_tokens: outputTokensMax }),
    },
  };
  if (userId !== undefined) request.principal = { ...request.principal, user_id: userId };
  if (providersAllow !== undefined) request.constraints = { providers_allow: [...providersAllow] };
  if (idleMs !== undefined) request.idle_ms = idleMs;
  if (attemptsMax !== undefined) request.options = { retry: { max_attempts: attemptsMax } };
  if (order.wishes !== undefined) addWishes(request, order.wishes);
  return checked(call, request);
}

function orderOf(setting: JobSetting, runAtMs: number | undefined, deadlineMs: number | undefined): JobOrder {
  const { id, nowMs, key, webhookId } = setting;
  const job: JobOrder = { id, expires_at_ms: Math.max(runAtMs ?? nowMs, nowMs) + (deadlineMs ?? setting.deadlineMs) };
  if (runAtMs !== undefined) job.run_at_ms = runAtMs;
  if (key !== undefined) job.idempotency_key = key;
  if (webhookId !== undefined) job.webhook_id = webhookId;
  return job;
}

/** What the requests of all jobs have. */
function frame({ requestId, tenantId, principal }: Call, job: JobOrder, { nowMs, tenant }: JobSetting) {
  return {
    version: '2' as const,
    request_id: requestId,
    tenant_id: tenantId,
    push_assignment: true,
    idempotency_key: job.id,
    deadline_ms: job.expires_at_ms - nowMs,
    principal: { key_id: principal?.keyId ?? '-', scopes: [...(principal?.scopes ?? [])] },
    ...(tenant === undefined ? {} : { tenant }),
    job,
  };
}

function checked({ principal }: Call, request: JobDecide): JobDecide {
  if (!(principal?.policies?.has(request.policy_id ?? 'default') ?? true)) {
    throw new BeamlineError('forbidden', 'The key may not use this policy.');
  }
  if (!decideV2.request.check(request)) throw asField(decideV2.request.fault(request));
  if (isShallow(JSON.stringify(request), DEPTH_MAX)) return request;
  throw new BeamlineError('invalid_request', 'The body is nested too deeply.', { details: { reason: 'depth' } });
}

/** A key for certain models orders no work whose model is left open. */
function requireModel(principal: Principal | undefined, model: unknown): void {
  if (principal?.models === undefined) return;
  if (typeof model === 'string' && principal.models.has(model)) return;
  throw new BeamlineError('forbidden', 'The key may call certain models only: name one of them in task.model.');
}

const isModelTask = (type: string): boolean => type.startsWith('ai.');

/** A model that stands in the payload only counts as well. */
function withModel(task: JobDraft['task']): JobDraft['task'] {
  const model = task.payload?.['model'];
  if (!isModelTask(task.type) || task.model !== undefined || typeof model !== 'string') return task;
  if (model !== '' && model.length <= 256) return { ...task, model };
  throw invalidField('task.payload.model', 'must be a model name of 1 to 256 characters');
}

/** `fault` is a pointer of the message, a colon and what is wrong there. */
function asField(fault: string): BeamlineError {
  const [pointer = '', ...rest] = fault.split(': ');
  return invalidField(pointer.slice(1).replaceAll('/', '.').slice(0, 64), rest.join(': '));
}
