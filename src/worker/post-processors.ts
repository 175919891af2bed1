// Asks the post-processors of a work order about an output, one after the other (policy 10.2).
// Q1. A required one that fails ends the attempt; after an optional one that fails the output is what it was.
import type { Bus } from '../bus/bus.ts';
import { ExtensionCaller, failed } from '../bus/extension-caller.ts';
import type { ExecAssignment, PostOrder } from '../contracts/assignment.ts';
import { at } from '../contracts/contract.ts';
import { type ExtensionAnswer, type ExtensionRequest, extensionPost } from '../contracts/extension.ts';
import { TEXT_CHARS_MAX } from '../contracts/limits.ts';
import type { ExecutionFailure } from '../core/execution-errors.ts';
import type { Timers } from '../core/timers.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';

export type Output = Readonly<Record<string, unknown>>;

export interface PostRun {
  readonly assignment: ExecAssignment;
  readonly items: readonly PostOrder[];
  /** On the monotonic clock. */
  readonly deadlineMs: number;
  readonly signal: AbortSignal;
  /** Whether a replacement is still an answer of its format. */
  readonly accepts: (output: Output) => boolean;
}

const SUBJECT = /^beamline\.ext\.post\.([a-z0-9_-]{1,128})\.v1$/;

export class PostProcessors {
  readonly #telemetry: Telemetry;
  readonly #timers: Timers;
  readonly #caller: ExtensionCaller;

  constructor(deps: { readonly bus: Bus; readonly timers: Timers; readonly telemetry: Telemetry }) {
    this.#telemetry = deps.telemetry;
    this.#timers = deps.timers;
    const { metrics, log } = deps.telemetry;
    const breakers = metrics.gauge({
      name: 'worker_extension_breaker_state',
      help: 'State of the breaker of a post-processor: 0 closed, 1 half-open, 2 open.',
      labels: ['endpoint'],
    });
    const calls = metrics.counter({
      name: 'worker_extension_calls_total',
      help: 'Calls of post-processors, by what came of them.',
      labels: ['extension', 'result'],
    });
    this.#caller = new ExtensionCaller({ ...deps, log, metrics: { calls, breakers } });
  }

  /** Closes the breakers of the extension, and forgets what was counted against it. */
  reset(extensionId: string): void {
    this.#caller.health.reset(extensionId, this.#timers.clock.nowMs());
  }

  /** What they left of the output, which is the very object if none of them changed it; or why it may not leave. */
  async run(
    output: Output,
    run: PostRun,
  ): Promise<{ readonly output: Output } | { readonly failure: ExecutionFailure }> {
    let current = output;
    for (const item of run.items) {
      // eslint-disable-next-line no-await-in-loop -- each sees what the one before it left
      const answer = await this.#ask(current, item, run);
      if (answer.kind === 'passed') current = answer.changes.payload ?? current;
      else if (item.mode === 'required') return { failure: failureOf(item, answer) };
      else this.#passedOver(item, answer, run.assignment);
    }
    return { output: current };
  }

  async #ask(output: Output, item: PostOrder, run: PostRun): Promise<ExtensionAnswer> {
    const { id, version, subject } = item;
    const endpoint = SUBJECT.exec(subject)?.[1];
    if (endpoint === undefined) return failed('extension_not_found', `${id} has no subject of a post-processor`);
    const { deadlineMs, signal } = run;
    const answer = await this.#caller.ask({
      message: messageOf(output, item, run.assignment),
      endpoint: () => ({ id: endpoint, version, to: at(extensionPost, { id: endpoint }) }),
      timeoutMs: item.timeout_ms,
      retry: item.retry,
      deadlineMs,
      signal,
    });
    if (answer.kind !== 'passed' || answer.changes.payload === undefined) return answer;
    if (run.accepts(answer.changes.payload)) return answer;
    return failed('extension_error', `${id} left no answer of the format`);
  }

  #passedOver(
    { id }: PostOrder,
    answer: ExtensionAnswer,
    { request_id, tenant_id, assignment_id }: ExecAssignment,
  ): void {
    const code = answer.kind === 'failed' ? answer.code : answer.kind;
    const correlation = { request_id, tenant_id, assignment_id };
    this.#telemetry.log.warn('post_processor_passed_over', { ...correlation, source: id, code });
  }
}

function messageOf(
  payload: Output,
  { id, config }: PostOrder,
  assignment: ExecAssignment,
): Omit<ExtensionRequest, 'deadline_ms' | 'extension_version'> {
  const { decision, correlation, executor, request_id, tenant_id } = assignment;
  return {
    version: '1',
    type: 'post',
    extension_id: id,
    tenant_id,
    policy_id: decision?.policy_id ?? 'default',
    ...(decision?.policy_revision === undefined ? {} : { policy_revision: decision.policy_revision }),
    config,
    payload,
    metadata: {},
    context: {
      provider_id: executor.provider_id,
      ...(executor.model === undefined ? {} : { model: executor.model }),
    },
    request_id,
    ...(correlation?.trace_id === undefined ? {} : { trace_id: correlation.trace_id }),
  };
}

/** Its own words go to the caller, as those of a validator do. */
function failureOf({ id }: PostOrder, answer: Exclude<ExtensionAnswer, { kind: 'passed' }>): ExecutionFailure {
  const message = answer.kind === 'failed' ? answer.message : answer.reason;
  return {
    code: 'POST_PROCESSOR_FAILED',
    message: `the post-processor ${id} failed: ${message}`.slice(0, TEXT_CHARS_MAX),
    detailCode: answer.kind === 'failed' && OWN_CODES.has(answer.code) ? answer.code : 'extension_error',
  };
}

const OWN_CODES: ReadonlySet<string> = new Set([
  'deadline_exceeded',
  'extension_not_found',
  'extension_timeout',
  'extension_unavailable',
]);
