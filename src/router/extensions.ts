// What runs before a decision: pre-processors in order, then validators in parallel (policy 10.2).
// X1. Every call ends by its timeout and by the request's deadline; nothing is called when too little time is left.
// X2. A validator that did not say yes has not said yes: garbage, silence and absence are failures, judged by `on_fail`.
// X3. The first blocking answer of a validator ends the stage; answers that come later are ignored.
import type { Bus } from '../bus/bus.ts';
import { at } from '../contracts/contract.ts';
import type { DecideRequest, DecideRequestV1 } from '../contracts/decide.ts';
import {
  type ExtensionAnswer,
  type ExtensionRequest,
  extensionPre,
  extensionValidate,
  readReply,
} from '../contracts/extension.ts';
import { BeamlineError, type ErrorCode } from '../core/errors.ts';
import type { Timers } from '../core/timers.ts';
import type { BreakerState } from '../core/breaker.ts';
import type { Scope } from '../policy/condition.ts';
import type { ExtensionItem } from '../policy/policy.ts';
import type { Counter, Family } from '../telemetry/metrics.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import { type Endpoint, endpointOf, type ExtensionInstance, type ExtensionVersion } from './extension-endpoint.ts';
import { type EndpointHealth, ExtensionHealth } from './extension-health.ts';

/** The registry's entry of one extension (policy 10.1). */
export interface Descriptor {
  readonly id: string;
  readonly type: 'pre' | 'validator';
  readonly timeoutMs: number;
  readonly retry: number;
  readonly enabled: boolean;
  /** Defaults under the policy item's own. */
  readonly config: Readonly<Record<string, unknown>>;
  /** In order of preference; absent: there is only the extension itself. */
  readonly versions?: readonly ExtensionVersion[];
  /** Absent: whoever serves it shares its requests. */
  readonly instances?: readonly ExtensionInstance[];
}

export interface ExtensionDeps {
  readonly bus: Bus;
  readonly timers: Timers;
  readonly telemetry: Telemetry;
  readonly registry: ReadonlyMap<string, Descriptor>;
}

type Request = DecideRequest | DecideRequestV1;

/** What all calls of one request share. */
interface Stage {
  readonly policyRevision: number;
  /** On the monotonic clock. */
  readonly deadlineMs: number;
  /** What versions are chosen by. */
  readonly scope: Scope;
}

const BREAKER_GAUGE: Readonly<Record<BreakerState, number>> = { closed: 0, half_open: 1, open: 2 };
const CALL_MS = { min: 10, max: 5_000 };
const RETRY_MAX = 3;
const RETRY_WAIT_MS = 100;

export class Extensions {
  readonly #deps: ExtensionDeps;
  readonly #calls: Family<Counter>;
  readonly #health: ExtensionHealth;
  #sent = 0;

  constructor(deps: ExtensionDeps) {
    this.#deps = deps;
    const { metrics, log } = deps.telemetry;
    const states = metrics.gauge({
      name: 'router_extension_breaker_state',
      help: 'State of the breaker of an extension: 0 closed, 1 half-open, 2 open.',
      labels: ['endpoint'],
    });
    this.#health = new ExtensionHealth((endpoint, to, reason) => {
      states.of(endpoint).set(BREAKER_GAUGE[to]);
      log.info('extension_breaker_moved', { source: endpoint, state: to, detail_code: reason });
    });
    this.#calls = deps.telemetry.metrics.counter({
      name: 'router_extension_calls_total',
      help: 'Calls of extensions, by what came of them.',
      labels: ['extension', 'result'],
    });
  }

  /** Every endpoint that was asked since the start. */
  health(): readonly EndpointHealth[] {
    return this.#health.list(this.#deps.timers.clock.nowMs());
  }

  /** The request as the pre-processors left it; throws what ends it. `items` are those whose condition holds. */
  async prepare<R extends Request>(request: R, items: readonly ExtensionItem[], of: Stage): Promise<R> {
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

  async #preprocess<R extends Request>(request: R, item: ExtensionItem, of: Stage): Promise<R> {
    const answer = await this.#ask(request, item, of);
    if (answer.kind === 'passed') return changed(request, answer.changes);
    if (item.onFailure !== 'end') return request;
    const { code, message } = faultOf(answer);
    throw new BeamlineError('pre_processor_failed', `the pre-processor ${item.id} failed: ${message}`, {
      details: { extension: item.id, cause: code },
    });
  }

  async #validate(request: Request, item: ExtensionItem, of: Stage): Promise<void> {
    const answer = await this.#ask(request, item, of);
    if (answer.kind === 'passed' || item.onFailure === 'ignore') return;
    const { code, message } = faultOf(answer);
    if (item.onFailure === 'warn') {
      const { request_id, tenant_id } = request;
      this.#deps.telemetry.log.warn('validator_warned', { request_id, tenant_id, source: item.id, code });
      return;
    }
    throw new BeamlineError(code, message, { details: { extension: item.id, ...detailsOf(answer) } });
  }

  async #ask(request: Request, item: ExtensionItem, of: Stage): Promise<ExtensionAnswer> {
    const answer = await this.#tries(request, item, of);
    this.#calls.of(item.id, answer.kind === 'passed' ? 'ok' : answer.kind).add();
    return answer;
  }

  async #tries(request: Request, item: ExtensionItem, of: Stage): Promise<ExtensionAnswer> {
    const { timers, registry } = this.#deps;
    const descriptor = registry.get(item.id);
    if (descriptor === undefined || !descriptor.enabled || descriptor.type !== item.stage) {
      return failed('extension_not_found', `there is no ${item.stage} extension ${item.id}`);
    }
    const retries = Math.min(RETRY_MAX, item.retry ?? descriptor.retry);
    for (let tried = 0; ; tried++) {
      const leftMs = of.deadlineMs - timers.clock.nowMs();
      const wantedMs = item.timeoutMs ?? descriptor.timeoutMs;
      const timeoutMs = Math.min(Math.max(CALL_MS.min, Math.min(CALL_MS.max, wantedMs)), leftMs);
      if (timeoutMs < CALL_MS.min) return failed('deadline_exceeded', 'too little time is left for extensions');
      // eslint-disable-next-line no-await-in-loop -- tries come one after the other
      const answer = await this.#guarded(request, { item, descriptor, timeoutMs, stage: of });
      const mayRepeat = answer.kind === 'failed' && answer.retryable && tried < retries;
      if (!mayRepeat) return answer;
      // eslint-disable-next-line no-await-in-loop -- as above
      await timers.sleep(RETRY_WAIT_MS * 2 ** tried);
    }
  }

  /** One call of one endpoint, which its breaker may refuse. */
  async #guarded(
    request: Request,
    of: { item: ExtensionItem; descriptor: Descriptor; timeoutMs: number; stage: Stage },
  ): Promise<ExtensionAnswer> {
    const { clock } = this.#deps.timers;
    const sentMs = clock.nowMs();
    const endpoint = endpointOf(of.descriptor, {
      scope: of.stage.scope,
      seed: `${request.tenant_id}:${request.request_id}`,
      statusOf: (id) => this.#health.status(id, sentMs),
    });
    const key = String(this.#sent++);
    if (!this.#health.admits(endpoint.id, { key, nowMs: sentMs, deadlineMs: sentMs + of.timeoutMs })) {
      return failed('extension_unavailable', `the breaker of ${of.item.id} is open`);
    }
    const answer = await this.#call(request, { ...of, endpoint });
    this.#health.ended(endpoint.id, { key, nowMs: clock.nowMs(), sentMs, isFailure: answer.kind === 'failed' });
    return answer;
  }

  async #call(
    request: Request,
    of: { item: ExtensionItem; descriptor: Descriptor; timeoutMs: number; stage: Stage; endpoint: Endpoint },
  ): Promise<ExtensionAnswer> {
    const { id, stage } = of.item;
    const message: ExtensionRequest = {
      version: '1',
      type: stage,
      extension_id: id,
      tenant_id: request.tenant_id,
      policy_id: request.policy_id ?? 'default',
      policy_revision: of.stage.policyRevision,
      config: { ...of.descriptor.config, ...of.item.config },
      deadline_ms: Math.floor(of.timeoutMs),
      payload: request.task.payload ?? {},
      metadata: request.metadata ?? {},
      context: request.context ?? {},
      request_id: request.request_id,
    };
    if (request.trace_id !== undefined) message.trace_id = request.trace_id;
    if (of.endpoint.version !== undefined) message.extension_version = of.endpoint.version;
    const to =
      stage === 'pre' ? at(extensionPre, { id: of.endpoint.id }) : at(extensionValidate, { id: of.endpoint.id });
    const correlation = { traceId: request.trace_id ?? '-', tenantId: request.tenant_id };
    try {
      return readReply(stage, await this.#deps.bus.request(to, message, { timeoutMs: of.timeoutMs, correlation }));
    } catch (thrown) {
      return unanswered(BeamlineError.from(thrown), id);
    }
  }
}

function unanswered({ code, message }: BeamlineError, id: string): ExtensionAnswer {
  if (code === 'timeout') return failed('extension_timeout', `${id} did not answer in time`, true);
  if (code === 'unavailable') return failed('extension_unavailable', `nobody serves ${id}`, true);
  return failed('extension_error', `${id}: ${message}`);
}

const failed = (code: ErrorCode, message: string, retryable = false): ExtensionAnswer => ({
  kind: 'failed',
  code,
  message,
  retryable,
});

const OWN_CODES: ReadonlySet<string> = new Set([
  'deadline_exceeded',
  'extension_not_found',
  'extension_timeout',
  'extension_unavailable',
]);

/** Codes of foreign programs become ours. */
function faultOf(answer: Exclude<ExtensionAnswer, { kind: 'passed' }>): { code: ErrorCode; message: string } {
  if (answer.kind === 'rejected') return { code: 'validator_blocked', message: answer.reason };
  const code = OWN_CODES.has(answer.code) ? (answer.code as ErrorCode) : 'extension_error';
  return { code, message: answer.message };
}

/** Kept apart: a foreign program must not name members that we read. */
const detailsOf = (answer: ExtensionAnswer): Readonly<Record<string, unknown>> =>
  answer.kind === 'rejected' ? { rejection: answer.details } : {};

function changed<R extends Request>(
  request: R,
  { payload, metadata, context }: Extract<ExtensionAnswer, { kind: 'passed' }>['changes'],
): R {
  return {
    ...request,
    task: payload === undefined || Object.keys(payload).length === 0 ? request.task : { ...request.task, payload },
    ...(metadata === undefined ? {} : { metadata: { ...request.metadata, ...metadata } }),
    ...(context === undefined ? {} : { context: { ...request.context, ...context } }),
  };
}
