// What runs before a decision: pre-processors in order, then validators in parallel (policy 10.2).
// X1. A validator that did not say yes has not said yes: garbage, silence and absence are failures, judged by `on_fail`.
// X2. The first blocking answer of a validator ends the stage; answers that come later are ignored.
import type { Bus } from '../bus/bus.ts';
import { bytesOf, ExtensionCaller, type ExtensionEndpoint, failed } from '../bus/extension-caller.ts';
import type { EndpointHealth } from '../bus/extension-health.ts';
import { at } from '../contracts/contract.ts';
import type { DecideRequest, DecideRequestV1 } from '../contracts/decide.ts';
import {
  type ExecutedExtension,
  type ExtensionAnswer,
  type ExtensionRequest,
  extensionPre,
  extensionValidate,
} from '../contracts/extension.ts';
import type { ExtensionType } from '../contracts/extension-descriptor.ts';
import { OBJECT_BYTES_MAX } from '../contracts/limits.ts';
import { BeamlineError, type ErrorCode } from '../core/errors.ts';
import type { Timers } from '../core/timers.ts';
import type { Scope } from '../policy/condition.ts';
import type { ExtensionItem } from '../policy/policy.ts';
import type { SettingsSchema } from '../policy/settings-schema.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import { settingsFor } from './extension-settings.ts';
import { endpointOf, type ExtensionInstance, type ExtensionVersion } from './extension-endpoint.ts';

/** The registry's entry of one extension (policy 10.1). */
export interface Descriptor {
  readonly id: string;
  readonly type: ExtensionType;
  readonly timeoutMs: number;
  readonly retry: number;
  readonly enabled: boolean;
  /** Defaults under the policy item's own. */
  readonly config: Readonly<Record<string, unknown>>;
  /** What both together must be; absent: anything. */
  readonly settings?: SettingsSchema;
  /** In order of preference; absent: there is only the extension itself. */
  readonly versions?: readonly ExtensionVersion[];
  /** Absent: whoever serves it shares its requests. */
  readonly instances?: readonly ExtensionInstance[];
}

/** What it answers may change between two requests. */
export type Registry = Pick<ReadonlyMap<string, Descriptor>, 'get'>;

export interface ExtensionDeps {
  readonly bus: Bus;
  readonly timers: Timers;
  readonly telemetry: Telemetry;
  readonly registry: Registry;
}

type Request = DecideRequest | DecideRequestV1;

/** What all calls of one request share. */
interface Stage {
  readonly policyRevision: number;
  /** On the monotonic clock. */
  readonly deadlineMs: number;
  /** What versions are chosen by. */
  readonly scope: Scope;
  /** Filled by a dry run, whose calls leave no other trace. */
  readonly executed?: ExecutedExtension[];
}

/** What a dry run's calls came to. */
export interface Rehearsal {
  /** As the pre-processors left it; as it came if one of them ended it. */
  readonly request: DecideRequest;
  readonly executed: readonly ExecutedExtension[];
  /** What ended the request, and which extension did. */
  readonly fault?: BeamlineError;
  readonly blockedBy?: string;
}

/** What is asked of many at run time is a fault of a policy that was never checked. */
const ITEMS_MAX = 10;

export class Extensions {
  readonly registry: Registry;
  readonly #deps: ExtensionDeps;
  readonly #caller: ExtensionCaller;

  constructor(deps: ExtensionDeps) {
    this.#deps = deps;
    this.registry = deps.registry;
    const { metrics, log } = deps.telemetry;
    const breakers = metrics.gauge({
      name: 'router_extension_breaker_state',
      help: 'State of the breaker of an extension: 0 closed, 1 half-open, 2 open.',
      labels: ['endpoint'],
    });
    const calls = metrics.counter({
      name: 'router_extension_calls_total',
      help: 'Calls of extensions, by what came of them.',
      labels: ['extension', 'result'],
    });
    this.#caller = new ExtensionCaller({ ...deps, log, metrics: { calls, breakers } });
  }

  /** Every endpoint that was asked since the start. */
  health(): readonly EndpointHealth[] {
    return this.#caller.health.list(this.#deps.timers.clock.nowMs());
  }

  /** Of its newest answers to this router; undefined while there were few. */
  p95Ms(extensionId: string): number | undefined {
    return this.#caller.health.p95Ms(extensionId);
  }

  /** Closes the breakers of the extension, and forgets what was counted against it. */
  reset(extensionId: string): void {
    const nowMs = this.#deps.timers.clock.nowMs();
    this.#caller.health.reset(extensionId, nowMs);
  }

  /** The request as the pre-processors left it; throws what ends it. `items` are those whose condition holds. */
  async prepare<R extends Request>(request: R, items: readonly ExtensionItem[], of: Stage): Promise<R> {
    if (items.length > ITEMS_MAX) throw new BeamlineError('invalid_request', 'the policy has too many extensions');
    if (items.length > 0 && request.task.payload_ref !== undefined) {
      throw new BeamlineError('invalid_request', 'extensions of the policy read the payload: it cannot be a reference');
    }
    let prepared = request;
    for (const item of items) {
      if (item.stage !== 'pre') continue;
      // eslint-disable-next-line no-await-in-loop -- each sees what the one before it left
      prepared = await this.#preprocess(prepared, item, of);
    }
    const validators = items.filter(({ stage }) => stage === 'validator');
    await Promise.all(validators.map((item) => this.#validate(prepared, item, of)));
    return prepared;
  }

  /** Calls as `prepare` does, without a permit of a breaker, a count or a line in the log. */
  async rehearse(request: DecideRequest, items: readonly ExtensionItem[], of: Stage): Promise<Rehearsal> {
    const executed: ExecutedExtension[] = [];
    const stage = { ...of, executed };
    let left = request;
    try {
      left = await this.prepare(
        request,
        items.filter((item) => item.stage === 'pre'),
        stage,
      );
      await this.prepare(
        left,
        items.filter((item) => item.stage === 'validator'),
        stage,
      );
      return { request: left, executed };
    } catch (thrown) {
      const fault = BeamlineError.from(thrown);
      const by = fault.details['extension'];
      return { request: left, executed, fault, ...(typeof by === 'string' ? { blockedBy: by } : {}) };
    }
  }

  async #preprocess<R extends Request>(request: R, item: ExtensionItem, of: Stage): Promise<R> {
    const answer = await this.#ask(request, item, of);
    const prepared = answer.kind === 'passed' ? changed(request, answer.changes) : undefined;
    if (prepared !== undefined) return prepared;
    if (item.onFailure !== 'end') return request;
    const { code, message } = answer.kind === 'passed' ? TOO_LARGE : faultOf(answer);
    throw new BeamlineError('pre_processor_failed', `the pre-processor ${item.id} failed: ${message}`, {
      details: { extension: item.id, cause: code },
    });
  }

  async #validate(request: Request, item: ExtensionItem, of: Stage): Promise<void> {
    const answer = await this.#ask(request, item, of);
    if (answer.kind === 'passed' || item.onFailure === 'ignore') return;
    const { code, message } = faultOf(answer);
    if (item.onFailure === 'warn') {
      if (of.executed !== undefined) return;
      const { request_id, tenant_id } = request;
      this.#deps.telemetry.log.warn('validator_warned', { request_id, tenant_id, source: item.id, code });
      return;
    }
    throw new BeamlineError(code, message, { details: { extension: item.id, ...detailsOf(answer) } });
  }

  async #ask(request: Request, item: ExtensionItem, of: Stage): Promise<ExtensionAnswer> {
    const { clock } = this.#deps.timers;
    const startedMs = clock.nowMs();
    const answer = await this.#answer(request, item, of);
    const latency_ms = Math.round(clock.nowMs() - startedMs);
    of.executed?.push({ id: item.id, type: item.stage, status: statusOf(answer), latency_ms });
    return answer;
  }

  async #answer(request: Request, item: ExtensionItem, of: Stage): Promise<ExtensionAnswer> {
    const { id, stage } = item;
    const descriptor = this.registry.get(id);
    if (descriptor === undefined || !descriptor.enabled || descriptor.type !== stage) {
      return failed('extension_not_found', `there is no ${stage} extension ${id}`);
    }
    const settings = settingsFor(descriptor, item);
    if (settings.kind === 'invalid') return failed('extension_error', settings.message);
    const message: Omit<ExtensionRequest, 'deadline_ms'> = {
      version: '1',
      type: stage,
      extension_id: id,
      tenant_id: request.tenant_id,
      policy_id: request.policy_id ?? 'default',
      policy_revision: of.policyRevision,
      config: settings.config,
      payload: request.task.payload ?? {},
      metadata: request.metadata ?? {},
      context: request.context ?? {},
      request_id: request.request_id,
    };
    if (request.trace_id !== undefined) message.trace_id = request.trace_id;
    return this.#caller.ask({
      message,
      endpoint: () => this.#endpoint(descriptor, request, of),
      timeoutMs: item.timeoutMs ?? descriptor.timeoutMs,
      retry: item.retry ?? descriptor.retry,
      deadlineMs: of.deadlineMs,
      isRehearsal: of.executed !== undefined,
    });
  }

  #endpoint(descriptor: Descriptor, request: Request, of: Stage): ExtensionEndpoint {
    const nowMs = this.#deps.timers.clock.nowMs();
    const { id, version } = endpointOf(descriptor, {
      scope: of.scope,
      seed: `${request.tenant_id}:${request.request_id}`,
      statusOf: (endpoint) => this.#caller.health.status(endpoint, nowMs),
    });
    return { id, version, to: descriptor.type === 'pre' ? at(extensionPre, { id }) : at(extensionValidate, { id }) };
  }
}

const statusOf = (answer: ExtensionAnswer): string =>
  answer.kind === 'passed' ? 'ok' : answer.kind === 'rejected' ? 'rejected' : faultOf(answer).code;

const OWN_CODES: ReadonlySet<string> = new Set([
  'deadline_exceeded',
  'extension_not_found',
  'extension_timeout',
  'extension_unavailable',
]);

const TOO_LARGE = { code: 'extension_error', message: 'what it left of metadata or context is too large' } as const;

/** Codes of foreign programs become ours. */
function faultOf(answer: Exclude<ExtensionAnswer, { kind: 'passed' }>): { code: ErrorCode; message: string } {
  if (answer.kind === 'rejected') return { code: 'validator_blocked', message: answer.reason };
  const code = OWN_CODES.has(answer.code) ? (answer.code as ErrorCode) : 'extension_error';
  return { code, message: answer.message };
}

/** Kept apart: a foreign program must not name members that we read. */
const detailsOf = (answer: ExtensionAnswer): Readonly<Record<string, unknown>> =>
  answer.kind === 'rejected' ? { rejection: answer.details } : {};

/** Undefined where metadata or context would grow above their bound. */
function changed<R extends Request>(
  request: R,
  { payload, metadata, context }: Extract<ExtensionAnswer, { kind: 'passed' }>['changes'],
): R | undefined {
  const merged = {
    ...(metadata === undefined ? {} : { metadata: { ...request.metadata, ...metadata } }),
    ...(context === undefined ? {} : { context: { ...request.context, ...context } }),
  };
  if (Object.values(merged).some((object) => bytesOf(object) > OBJECT_BYTES_MAX)) return undefined;
  const isReplaced = payload !== undefined && Object.keys(payload).length > 0;
  return { ...request, ...merged, task: isReplaced ? { ...request.task, payload } : request.task };
}
