// The body of POST /api/v1/jobs (gateway 14.1): what is ordered, in the words of the caller and of messages.
// Members that we do not know are dropped.
import type { RunIds } from '../../contracts/fields.ts';
import { blobId } from '../../core/blob-ref.ts';
import { BeamlineError } from '../../core/errors.ts';
import type { JsonSchema } from '../route.ts';
import { invalidField } from '../routes/policies-request.ts';
import { PRIORITIES, priorityNamed } from '../wishes.ts';
import { type Body, idIn, integerIn, isObject, metadataIn, objectIn, tagsIn, textIn, timeIn } from './job-fields.ts';

/** What a body says, checked. */
export interface JobDraft {
  readonly task: {
    readonly type: string;
    /** Absent with a reference. */
    readonly payload?: Record<string, unknown>;
    readonly payload_ref?: string;
    readonly model?: string;
  };
  /** The caller's name of the type, where it is an alias. */
  readonly alias: string | undefined;
  readonly policyId: string | undefined;
  readonly priority: number | undefined;
  /** From the acceptance or, if there is one, from `run_at`. */
  readonly deadlineMs: number | undefined;
  readonly runAtMs: number | undefined;
  readonly webhookId: string | undefined;
  readonly metadata: Record<string, unknown> | undefined;
  readonly tags: string[] | undefined;
  readonly traceId: string | undefined;
  readonly runIds: { -readonly [Name in keyof typeof RunIds]?: string };
  readonly attemptsMax: number | undefined;
  readonly context: Record<string, unknown> | undefined;
}

export const DEADLINE_MS_MAX = 86_400_000;
/** The record of a job is kept seven days after an end that is at most this and its deadline away. */
const RUN_AT_MS_MAX = 86_400_000;
const ATTEMPTS_MAX = 100;

/** Names that callers use for types of ours (worker 11). */
const ALIASES: Readonly<Record<string, string>> = {
  chat: 'ai.chat',
  'chat.completion': 'ai.chat',
  completion: 'ai.completion',
  'text.completion': 'ai.completion',
  embedding: 'ai.embed',
};

/** Types that the specification names and no worker of ours runs: they would be accepted, and fail. */
const NOT_BUILT: ReadonlySet<string> = new Set(['ai.completion', 'ai.count_tokens']);

const text = { type: 'string' };
const payload = { type: 'object', minProperties: 1 };
export const jobBodySchema: JsonSchema = {
  type: 'object',
  description: 'Exactly one of task and message.',
  properties: {
    version: { const: '1' },
    task: {
      type: 'object',
      required: ['type'],
      description: 'Exactly one of payload and payload_ref.',
      properties: {
        type: text,
        model: text,
        payload,
        payload_ref: {
          type: 'string',
          description: 'A blob of the tenant, at most 4 MiB of JSON: `blob://<tenant>/<id>`.',
        },
      },
    },
    message: {
      type: 'object',
      required: ['message_type', 'payload'],
      properties: { message_id: text, message_type: text, payload, metadata: { type: 'object' } },
    },
    policy_id: text,
    priority: { anyOf: [{ enum: Object.keys(PRIORITIES) }, { type: 'integer', minimum: 0, maximum: 100 }] },
    deadline_ms: { type: 'integer', minimum: 1, maximum: DEADLINE_MS_MAX },
    run_at: { type: 'string', format: 'date-time', description: 'At most a day ahead; the deadline counts from it.' },
    webhook: { type: 'string', description: 'The id of a registered webhook of the tenant.' },
    metadata: { type: 'object' },
    tags: { type: 'array', maxItems: 16, items: { type: 'string', minLength: 1, maxLength: 64 } },
    trace_id: text,
    idempotency_key: { type: 'string', pattern: '^[\\x21-\\x7e]{1,255}$' },
    run_id: text,
    flow_id: text,
    step_id: text,
    context: { type: 'object' },
    options: {
      type: 'object',
      properties: { retry: { type: 'object', properties: { max_attempts: { type: 'integer', minimum: 1 } } } },
    },
    tenant_id: text,
  },
};

/** `nowMs` is of the epoch. Throws `invalid_request` with the path of the member, or `forbidden`. */
export function readJobBody(body: Body, tenantId: string, nowMs: number): JobDraft {
  const { version } = body;
  if (version !== undefined && version !== '1') {
    throw new BeamlineError('invalid_request', 'The version of a job is 1.', {
      details: { reason: 'version', supported_versions: ['1'] },
    });
  }
  if (body['tenant_id'] !== undefined && body['tenant_id'] !== tenantId) {
    throw new BeamlineError('forbidden', 'The body names another tenant.');
  }
  const { task, alias, noted } = orderedIn(body, tenantId);
  const metadata = metadataIn(noted === undefined ? body : { metadata: { ...noted, ...objectIn(body, 'metadata') } });
  return {
    task,
    alias,
    policyId: idIn(body, 'policy_id'),
    priority: priorityIn(body),
    deadlineMs: integerIn(body, 'deadline_ms', 1, DEADLINE_MS_MAX),
    runAtMs: runAtIn(body, nowMs),
    webhookId: idIn(body, 'webhook'),
    metadata,
    tags: tagsIn(body),
    traceId: idIn(body, 'trace_id'),
    runIds: runIdsIn(body),
    attemptsMax: attemptsIn(body),
    context: contextIn(body),
  };
}

interface Ordered {
  readonly task: JobDraft['task'];
  readonly alias: string | undefined;
  /** What a message says beside its payload. */
  readonly noted?: Body;
}

function orderedIn(body: Body, tenantId: string): Ordered {
  const task = objectIn(body, 'task');
  const message = objectIn(body, 'message');
  if ((task === undefined) === (message === undefined)) {
    throw invalidField('task', 'or message must be given, and not both');
  }
  if (task !== undefined) {
    const model = textIn(task, 'model');
    if (model !== undefined && (model === '' || model.length > 256)) {
      throw invalidField('task.model', 'must be a model name of 1 to 256 characters');
    }
    const { payload: given, payload_ref: ref } = task;
    const input = ref === undefined ? payloadIn(given, 'task.payload') : { payload_ref: refIn(ref, given, tenantId) };
    return orderOf(idIn(task, 'type', 'task.type'), 'task.type', input, model);
  }
  const { message_type: type, message_id: id } = message ?? {};
  const order = orderOf(
    idIn({ type }, 'type', 'message.message_type'),
    'message.message_type',
    payloadIn(message?.['payload'], 'message.payload'),
    undefined,
  );
  const messageId = idIn({ id }, 'id', 'message.message_id');
  const noted = {
    ...objectIn(message ?? {}, 'metadata', 'message.metadata'),
    ...(messageId === undefined ? {} : { message_id: messageId }),
  };
  return { ...order, noted };
}

function orderOf(
  type: string | undefined,
  typePath: string,
  input: Pick<JobDraft['task'], 'payload' | 'payload_ref'>,
  model: string | undefined,
): Ordered {
  if (type === undefined) throw invalidField(typePath, 'must be the type of the work');
  const known = Object.hasOwn(ALIASES, type) ? ALIASES[type] : undefined;
  const task = { type: known ?? type, ...input };
  if (NOT_BUILT.has(task.type)) {
    throw new BeamlineError('unsupported_feature', `Jobs of the type ${task.type} are not served.`, {
      details: { param: typePath, reason: 'job_type' },
    });
  }
  return { task: model === undefined ? task : { ...task, model }, alias: known === undefined ? undefined : type };
}

function payloadIn(payload: unknown, path: string): { readonly payload: Record<string, unknown> } {
  if (isObject(payload) && Object.keys(payload).length > 0) return { payload: { ...payload } };
  throw invalidField(path, 'must be an object with at least one member');
}

/** Whether it names anything is seen when the work begins. */
function refIn(ref: unknown, payload: unknown, tenantId: string): string {
  if (payload !== undefined) throw invalidField('task.payload_ref', 'or payload must be given, and not both');
  if (typeof ref === 'string' && blobId(tenantId, ref) !== undefined) return ref;
  throw invalidField('task.payload_ref', 'must be blob://<tenant>/<id>, of the tenant');
}

function priorityIn(body: Body): number | undefined {
  const { priority } = body;
  if (typeof priority !== 'string') return integerIn(body, 'priority', 0, 100);
  const level = priorityNamed(priority);
  if (level !== undefined) return level;
  throw invalidField('priority', 'must be low, normal, high, or an integer from 0 to 100');
}

/** One that has passed means at once; it stays what was asked for, so that a repeat is the same. */
function runAtIn(body: Body, nowMs: number): number | undefined {
  const runAtMs = timeIn(body, 'run_at');
  if (runAtMs === undefined || (runAtMs >= 0 && runAtMs <= nowMs + RUN_AT_MS_MAX)) return runAtMs;
  throw invalidField('run_at', 'must be at most a day ahead');
}

function runIdsIn(body: Body): JobDraft['runIds'] {
  const [run, flow, step] = [idIn(body, 'run_id'), idIn(body, 'flow_id'), idIn(body, 'step_id')];
  if (run === undefined && flow === undefined && step === undefined) return {};
  if (run !== undefined && flow !== undefined && step !== undefined)
    return { run_id: run, flow_id: flow, step_id: step };
  throw invalidField(
    run === undefined ? 'run_id' : flow === undefined ? 'flow_id' : 'step_id',
    'is missing: run_id, flow_id and step_id come together',
  );
}

function attemptsIn(body: Body): number | undefined {
  const options = objectIn(body, 'options') ?? {};
  const retry = objectIn(options, 'retry', 'options.retry') ?? {};
  const value = retry['max_attempts'];
  if (value === undefined) return undefined;
  if (typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= ATTEMPTS_MAX) return value;
  throw invalidField('options.retry.max_attempts', `must be an integer from 1 to ${ATTEMPTS_MAX}`);
}

function contextIn(body: Body): Record<string, unknown> | undefined {
  const context = objectIn(body, 'context');
  return context === undefined ? undefined : { ...context };
}
