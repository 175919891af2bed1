// Asks extensions, which are programs of others: tries within the time that is left, a breaker per endpoint, and bounds
// on what they reply (policy 10.3). What their answers mean is the caller's business.
// E1. Every call ends by its timeout and by the deadline; nothing is called when too little time is left.
// E2. A reply that is too large, of no known form, or none is a failure; nothing here throws.
import type { Address } from '../contracts/contract.ts';
import {
  type ExtensionAnswer,
  type extensionPost,
  type extensionPre,
  type ExtensionReply,
  type ExtensionRequest,
  type extensionValidate,
  readReply,
} from '../contracts/extension.ts';
import { MESSAGE_BYTES_MAX, OBJECT_BYTES_MAX } from '../contracts/limits.ts';
import type { BreakerState } from '../core/breaker.ts';
import { BeamlineError, type ErrorCode } from '../core/errors.ts';
import type { Timers } from '../core/timers.ts';
import type { Counter, Family, Gauge } from '../telemetry/metrics.ts';
import type { Log } from '../telemetry/log.ts';
import type { Bus } from './bus.ts';
import { ExtensionHealth } from './extension-health.ts';

const BREAKER_GAUGE: Readonly<Record<BreakerState, number>> = { closed: 0, half_open: 1, open: 2 };
const CALL_MS = { min: 10, max: 5_000 };
const RETRY_MAX = 3;
const RETRY_WAIT_MS = 100;
/** What a repeat may mend, in our words and in those of extensions (policy 10.3). */
const REPEATED: ReadonlySet<string> = new Set(['extension_timeout', 'extension_unavailable', 'timeout', 'unavailable']);

export interface ExtensionCallerDeps {
  readonly bus: Bus;
  readonly timers: Timers;
  readonly log: Log;
  readonly metrics: {
    /** By extension and result. */
    readonly calls: Family<Counter>;
    /** By endpoint. */
    readonly breakers: Family<Gauge>;
  };
}

/** Where one try goes. */
export interface ExtensionEndpoint {
  /** The id in the subject. */
  readonly id: string;
  readonly version: string | undefined;
  readonly to: Address<typeof extensionPre | typeof extensionValidate | typeof extensionPost>;
}

export interface ExtensionCall {
  /** The request but for what differs with each try. */
  readonly message: Omit<ExtensionRequest, 'deadline_ms' | 'extension_version'>;
  /** Asked for each try, so that the next one may go to another endpoint. */
  readonly endpoint: () => ExtensionEndpoint;
  readonly timeoutMs: number;
  readonly retry: number;
  /** On the monotonic clock. */
  readonly deadlineMs: number;
  readonly signal?: AbortSignal;
  /** Of a dry run: no breaker hears of it, and nothing is counted. */
  readonly isRehearsal?: boolean;
}

export class ExtensionCaller {
  readonly health: ExtensionHealth;
  readonly #deps: ExtensionCallerDeps;
  #sent = 0;

  constructor(deps: ExtensionCallerDeps) {
    this.#deps = deps;
    this.health = new ExtensionHealth((endpoint, to, reason) => {
      deps.metrics.breakers.of(endpoint).set(BREAKER_GAUGE[to]);
      deps.log.info('extension_breaker_moved', { source: endpoint, state: to, detail_code: reason });
    });
  }

  async ask(call: ExtensionCall): Promise<ExtensionAnswer> {
    const answer = await this.#tries(call);
    if (call.isRehearsal === true) return answer;
    this.#deps.metrics.calls.of(call.message.extension_id, answer.kind === 'passed' ? 'ok' : answer.kind).add();
    return answer;
  }

  async #tries(call: ExtensionCall): Promise<ExtensionAnswer> {
    const { timers } = this.#deps;
    const retries = Math.min(RETRY_MAX, call.retry);
    for (let tried = 0; ; tried++) {
      const leftMs = call.deadlineMs - timers.clock.nowMs();
      const timeoutMs = Math.min(Math.max(CALL_MS.min, Math.min(CALL_MS.max, call.timeoutMs)), leftMs);
      if (timeoutMs < CALL_MS.min) return failed('deadline_exceeded', 'too little time is left for extensions');
      // eslint-disable-next-line no-await-in-loop -- tries come one after the other
      const answer = await this.#guarded(call, timeoutMs);
      const mayRepeat = answer.kind === 'failed' && answer.retryable && REPEATED.has(answer.code) && tried < retries;
      if (!mayRepeat || call.signal?.aborted === true) return answer;
      // eslint-disable-next-line no-await-in-loop -- as above
      await timers.sleep(RETRY_WAIT_MS * 2 ** tried);
    }
  }

  /** One call of one endpoint, which its breaker may refuse. */
  async #guarded(call: ExtensionCall, timeoutMs: number): Promise<ExtensionAnswer> {
    const { clock } = this.#deps.timers;
    const sentMs = clock.nowMs();
    const endpoint = call.endpoint();
    if (call.isRehearsal === true) return this.#call(call, endpoint, timeoutMs);
    const key = String(this.#sent++);
    if (!this.health.admits(endpoint.id, { key, nowMs: sentMs, deadlineMs: sentMs + timeoutMs })) {
      return failed('extension_unavailable', `the breaker of ${call.message.extension_id} is open`);
    }
    const answer = await this.#call(call, endpoint, timeoutMs);
    // One that we stopped says nothing of the extension; its permit expires.
    if (call.signal?.aborted === true) return answer;
    this.health.ended(endpoint.id, { key, nowMs: clock.nowMs(), sentMs, isFailure: answer.kind === 'failed' });
    return answer;
  }

  async #call(call: ExtensionCall, { to, version }: ExtensionEndpoint, timeoutMs: number): Promise<ExtensionAnswer> {
    const { trace_id: traceId = '-', tenant_id: tenantId, type, extension_id: id } = call.message;
    const message: ExtensionRequest = { ...call.message, deadline_ms: Math.floor(timeoutMs) };
    if (version !== undefined) message.extension_version = version;
    const { signal } = call;
    const correlation = { traceId, tenantId };
    try {
      const reply = await this.#deps.bus.request(to, message, {
        timeoutMs,
        correlation,
        ...(signal === undefined ? {} : { signal }),
      });
      const large = tooLarge(reply);
      return large === undefined ? readReply(type, reply) : failed('extension_error', `${id}: ${large} is too large`);
    } catch (thrown) {
      return unanswered(BeamlineError.from(thrown), id);
    }
  }
}

const BOUNDS = [
  ['payload', MESSAGE_BYTES_MAX],
  ['metadata', OBJECT_BYTES_MAX],
  ['context', OBJECT_BYTES_MAX],
  ['details', OBJECT_BYTES_MAX],
] as const;

/** The first part of the reply above its bound. */
const tooLarge = (reply: ExtensionReply): string | undefined =>
  BOUNDS.find(([part, max]) => reply[part] !== undefined && bytesOf(reply[part]) > max)?.[0];

/** Of the value as JSON. */
export const bytesOf = (value: unknown): number => Buffer.byteLength(JSON.stringify(value) ?? '');

function unanswered({ code, message }: BeamlineError, id: string): ExtensionAnswer {
  if (code === 'timeout') return failed('extension_timeout', `${id} did not answer in time`, true);
  if (code === 'unavailable') return failed('extension_unavailable', `nobody serves ${id}`, true);
  return failed('extension_error', `${id}: ${message}`);
}

/** An answer of our own making. */
export const failed = (code: ErrorCode, message: string, retryable = false): ExtensionAnswer => ({
  kind: 'failed',
  code,
  message,
  retryable,
});
