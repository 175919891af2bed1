// One attempt at a job in this process, from its delivery to its one end.
// J1. It ends once: with a result, or given back to the stream, or acknowledged without work.
// J2. A place is held from `run` until the block has unwound, or was abandoned CANCEL_GRACE after it was told to stop.
// J3. The effect of a block begins only after its mark (attempt-markers.ts), and only while nobody wants it to end.
// J4. A mark that can be made may be one that was taken away: what may have run elsewhere meanwhile reads the record again.
import type { Delivery } from '../../bus/bus.ts';
import type { ExecAssignment } from '../../contracts/assignment.ts';
import type { Usage } from '../../contracts/fields.ts';
import { CANCEL_GRACE_MS, CLOCK_SKEW_MS, INLINE_BYTES_MAX, OUTPUT_DEPTH_MAX } from '../../contracts/limits.ts';
import type { CrashPoints } from '../../core/crash-point.ts';
import type { ExecutionFailure } from '../../core/execution-errors.ts';
import { nestsAtMost } from '../../core/json-guard.ts';
import type { Timer, Timers } from '../../core/timers.ts';
import type { Log, LogFields } from '../../telemetry/log.ts';
import type { AttemptEnd } from '../attempt-messages.ts';
import {
  type Block,
  type BlockContext,
  BlockFailure,
  type BlockResult,
  type BlockUsage,
  type Effect,
} from '../blocks/block.ts';
import type { Slots, SlotWaiter } from '../slots.ts';
import { type AttemptKey, attemptKeyOf, type AttemptMarkers } from './attempt-markers.ts';
import type { Left } from './finished-marks.ts';
import { type JobBlobs, keptOutput } from './job-blobs.ts';
import { idempotencyKeyOf } from './job-order-check.ts';
import { isDoneWith, type Standing } from './job-record.ts';

/** No mark of an assignment that is so young has been taken away: that takes twice as long, and clocks may differ. */
const YOUNG_MS = 2_500;

/** A result that is stored has been taken by then, as a rule. */
const RESULT_MS = 10_000;

/**
 * How a delivery is done with: `given_back` is delivered again, `dropped` needs no work any more, `given_up` only if it
 * was begun.
 */
export type RunEnd =
  | { readonly kind: 'reported'; readonly end: AttemptEnd }
  | { readonly kind: 'given_back'; readonly delayMs: number }
  | { readonly kind: 'unavailable'; readonly fault: unknown }
  | { readonly kind: 'dropped' | 'given_up' };

export interface JobRunDeps {
  readonly timers: Timers;
  readonly log: Log;
  readonly markers: AttemptMarkers;
  readonly standing: (key: AttemptKey) => Promise<Standing>;
  readonly crash: CrashPoints;
  /** Where large outputs go; absent: they are refused. */
  readonly blobs?: JobBlobs | undefined;
  /** Called once, at the end. */
  readonly onEnd: (run: JobRun, end: RunEnd) => void;
}

/** The block that runs it, and its input, which the block has accepted. */
export interface JobWork {
  readonly block: Block;
  readonly input: unknown;
  readonly effect: Effect;
  readonly slots: Slots;
}

interface Failed {
  readonly state: 'cancelled' | 'timed_out' | 'failed';
  readonly failure: ExecutionFailure;
}
type Cut = Failed | { readonly state: 'given_back' };

type Phase =
  | { readonly kind: 'checking' }
  | { readonly kind: 'waiting'; readonly work: JobWork }
  | { readonly kind: 'running'; readonly work: JobWork; readonly abort: AbortController }
  | { readonly kind: 'ended' };

export class JobRun implements SlotWaiter {
  readonly assignment: ExecAssignment;
  readonly key: AttemptKey;
  readonly isJob = true;
  readonly receivedMs: number;
  /** The newest delivery of it: that one is acknowledged. */
  delivery: Delivery<ExecAssignment>;
  readonly #deps: JobRunDeps;
  readonly #deadlineMs: number;
  readonly #deadline: Timer;
  #phase: Phase = { kind: 'checking' };
  /** Why it must end, once somebody said so. */
  #cut: Cut | undefined;
  #grace: Timer | undefined;
  #hasMarker = false;
  #startedMs: number | undefined;

  constructor(deps: JobRunDeps, delivery: Delivery<ExecAssignment>) {
    const { message } = delivery;
    this.#deps = deps;
    this.delivery = delivery;
    this.assignment = message;
    this.key = attemptKeyOf(message);
    this.receivedMs = deps.timers.clock.nowMs();
    this.#deadlineMs = this.receivedMs + message.options.deadline_ms;
    this.#deadline = deps.timers.at(this.#deadlineMs, () => this.#cutBy(TIMED_OUT));
  }

  get tenantId(): string {
    return this.key.tenantId;
  }

  get weight(): number | undefined {
    return this.assignment.tenant_weight;
  }

  get priority(): number | undefined {
    return this.assignment.options.priority;
  }

  /** For a line of the log. */
  get logged(): LogFields {
    const { tenantId, assignmentId, attempt } = this.key;
    return { tenant_id: tenantId, assignment_id: assignmentId, attempt };
  }

  get hasEnded(): boolean {
    return this.#phase.kind === 'ended';
  }

  get isRunning(): boolean {
    return this.#phase.kind === 'running';
  }

  /** Whether a mark of it stands in the bucket. */
  get hasMarker(): boolean {
    return this.#hasMarker;
  }

  /** Another process began it. */
  markFound(): void {
    this.#hasMarker = true;
  }

  /** What it may have left behind in the bucket of marks. */
  get left(): Left {
    return { hasMarker: this.#hasMarker, wasGivenBack: this.delivery.count > 1 };
  }

  /** Waits for a place; what was decided about it meanwhile comes first. */
  enter(work: JobWork): void {
    if (this.#phase.kind !== 'checking') return;
    this.#phase = { kind: 'waiting', work };
    work.slots.enter(this);
  }

  /** The place is taken. */
  run(): void {
    if (this.#phase.kind !== 'waiting') return;
    const { work } = this.#phase;
    const abort = new AbortController();
    this.#phase = { kind: 'running', work, abort };
    void this.#execute(work, abort.signal).then((end) => this.#over(end));
  }

  /** Nobody will run it here any more. */
  refuse(): void {
    this.finish({ kind: 'given_back', delayMs: 0 });
  }

  cancel(reason: string): void {
    this.#cutBy({
      state: 'cancelled',
      failure: { code: 'CANCELLED_BY_USER', message: 'cancelled', detailCode: reason },
    });
  }

  /** This worker stops: what has begun an external effect is lost, anything else may run elsewhere. */
  abandon(): void {
    const isExternal = this.#phase.kind === 'running' && this.#phase.work.effect === 'external';
    this.#cutBy(isExternal ? LOST : { state: 'given_back' });
  }

  /** Ends what does not run. */
  finish(end: RunEnd): void {
    if (this.#phase.kind === 'waiting') this.#phase.work.slots.leave(this);
    if (this.#phase.kind !== 'running') this.#over(end);
  }

  /** When its block was begun; undefined while it was not. */
  get startedMs(): number | undefined {
    return this.#startedMs;
  }

  get isExpired(): boolean {
    const { expires_at_ms: expiresMs } = this.assignment;
    return expiresMs !== undefined && this.#deps.timers.clock.epochMs() > expiresMs + CLOCK_SKEW_MS;
  }

  get #mayHaveRunElsewhere(): boolean {
    // A broker that was killed may have forgotten that it delivered it before.
    const { count, storedAtMs } = this.delivery;
    return count > 1 || this.#deps.timers.clock.epochMs() - storedAtMs > YOUNG_MS;
  }

  #cutBy(cut: Cut): void {
    if (this.#phase.kind === 'ended' || this.#cut !== undefined) return;
    this.#cut = cut;
    if (this.#phase.kind !== 'running') return this.finish(endOf(cut, undefined));
    const { timers } = this.#deps;
    this.#grace = timers.after(CANCEL_GRACE_MS, () => this.#over(endOf(cut, undefined)));
    const failure = cut.state === 'given_back' ? STOPPING : cut.failure;
    this.#phase.abort.abort(new BlockFailure(failure.code, failure.message, failure));
  }

  async #execute({ block, input, effect }: JobWork, signal: AbortSignal): Promise<RunEnd> {
    if (this.isExpired) return EXPIRED;
    if (effect === 'external') {
      try {
        const found = await this.#deps.markers.start(this.key);
        this.#hasMarker = true;
        if (found === 'done') return await this.#doneElsewhere(block, input);
        if (found === 'started' && this.#mayHaveRunElsewhere && isDoneWith(await this.#deps.standing(this.key))) {
          return { kind: 'dropped' };
        }
        if (found === 'lost') return reported(LOST, estimateOf(block, input, this.assignment));
      } catch (fault) {
        return { kind: 'unavailable', fault };
      }
      this.#deps.crash(2);
    }
    if (this.#cut !== undefined) return endOf(this.#cut, undefined);
    this.#startedMs = this.#deps.timers.clock.nowMs();
    try {
      const result = await block.execute(input, this.#context(signal));
      this.#deps.crash(3);
      return await this.#ended(block, result, signal);
    } catch (thrown) {
      return this.#failed(block, thrown);
    }
  }

  /**
   * Its mark was closed after the result was stored. What was stored later than the mark was sent by a router that
   * misses the result, and has waited for it: nobody else can tell it any more.
   */
  async #doneElsewhere(block: Block, input: unknown): Promise<RunEnd> {
    const { markers, standing, timers } = this.#deps;
    const { storedAtMs } = this.delivery;
    if (storedAtMs <= ((await markers.writtenMs(this.key)) ?? Infinity)) return { kind: 'dropped' };
    if (isDoneWith(await standing(this.key))) return { kind: 'dropped' };
    if (timers.clock.epochMs() - storedAtMs < RESULT_MS) return { kind: 'given_back', delayMs: RESULT_MS };
    return reported(LOST, estimateOf(block, input, this.assignment));
  }

  async #ended(block: Block, { output, usage, finishReason }: BlockResult, signal: AbortSignal): Promise<RunEnd> {
    const consumed = usageOf(this.assignment, usage);
    if (this.#cut !== undefined) return endOf(this.#cut, consumed);
    if (!block.output.check(output)) {
      this.#deps.log.error('block_output_invalid', { operation: block.type, fault: block.output.fault(output) });
      return reported(
        { state: 'failed', failure: { code: 'INTERNAL_ERROR', message: 'the block made something else than it says' } },
        consumed,
      );
    }
    const end = { state: 'succeeded' as const, usage: consumed, finishReason };
    const text = textOf(output);
    if (text === undefined) return reported(TOO_DEEP, consumed);
    const fits = Buffer.byteLength(text) <= INLINE_BYTES_MAX && nestsAtMost(output, OUTPUT_DEPTH_MAX);
    if (fits) return { kind: 'reported', end: { ...end, output } };
    const { blobs, timers } = this.#deps;
    try {
      const outputRef = await keptOutput(text, this.key, { blobs, timers, signal });
      return this.#cut === undefined ? { kind: 'reported', end: { ...end, outputRef } } : endOf(this.#cut, consumed);
    } catch (thrown) {
      return this.#failed(block, thrown, consumed);
    }
  }

  /** What was consumed is billed, though nobody sees what came of it. */
  #failed(block: Block, thrown: unknown, spent?: Usage): RunEnd {
    const isOwn = thrown instanceof BlockFailure;
    const consumed = spent ?? usageOf(this.assignment, isOwn ? thrown.usage : undefined);
    if (this.#cut !== undefined) return endOf(this.#cut, consumed);
    if (isOwn) return reported({ state: 'failed', failure: thrown.failure }, consumed);
    this.#deps.log.error('block_failed', { operation: block.type, fault: thrown });
    return reported({ state: 'failed', failure: { code: 'INTERNAL_ERROR', message: 'an unexpected fault' } }, consumed);
  }

  #context(signal: AbortSignal): BlockContext {
    const { tenantId, assignmentId, attempt } = this.key;
    return {
      tenantId,
      assignmentId,
      attempt,
      idempotencyKey: idempotencyKeyOf(this.assignment),
      scopes: this.assignment.scopes ?? [],
      signal,
      deadlineMs: this.#deadlineMs,
      approval: this.assignment.approval,
      assignment: this.assignment,
      timers: this.#deps.timers,
      log: this.#deps.log,
    };
  }

  #over(end: RunEnd): void {
    if (this.#phase.kind === 'ended') return;
    const held = this.#phase.kind === 'running' ? this.#phase.work.slots : undefined;
    this.#phase = { kind: 'ended' };
    this.#deadline.cancel();
    this.#grace?.cancel();
    held?.release(this);
    this.#deps.onEnd(this, end);
  }
}

const TIMED_OUT: Failed = {
  state: 'timed_out',
  failure: { code: 'CANCELLED_BY_TIMEOUT', message: 'the deadline has passed' },
};
export const LOST: Failed = {
  state: 'failed',
  failure: { code: 'WORKER_LOST', message: 'the worker ended while the attempt was running' },
};
const TOO_DEEP: Failed = {
  state: 'failed',
  failure: { code: 'OUTPUT_TOO_LARGE', message: 'the output is nested too deep to be written' },
};
const STOPPING: ExecutionFailure = { code: 'WORKER_UNAVAILABLE', message: 'the worker is shutting down' };

/** Empty for a block without an output; undefined for one that cannot be written. */
function textOf(output: unknown): string | undefined {
  try {
    return JSON.stringify(output) ?? '';
  } catch {
    return undefined;
  }
}

const reported = (cut: Failed, usage: Usage | undefined): RunEnd => ({
  kind: 'reported',
  end: { ...cut, usage },
});

const endOf = (cut: Cut, usage: Usage | undefined): RunEnd =>
  cut.state === 'given_back' ? { kind: 'given_back', delayMs: 0 } : reported(cut, usage);

/** It was not started in time. */
export const EXPIRED: RunEnd = {
  kind: 'reported',
  end: {
    state: 'timed_out',
    failure: { code: 'CANCELLED_BY_TIMEOUT', message: 'the job expired before it was started', detailCode: 'expired' },
    usage: undefined,
  },
};

/** What began in a process that died: it may have left the machine, so it is billed; nobody knows how far it came. */
export function estimateOf(block: Block, input: unknown, order: ExecAssignment): Usage | undefined {
  const usage = block.estimate?.(input, order);
  return usageOf(order, usage === undefined ? undefined : { ...usage, estimated: true });
}

/** What a block said that it consumed, as the wire tells it: what has no price is marked. */
function usageOf({ executor, job }: ExecAssignment, usage: BlockUsage | undefined): Usage | undefined {
  if (usage === undefined) return undefined;
  const isUnpriced = usage.cost_micro_usd === undefined;
  return {
    model: executor.model ?? job.type,
    input_tokens: 0,
    output_tokens: 0,
    cost_micro_usd: 0,
    ...usage,
    ...(isUnpriced ? { unpriced: true } : {}),
  };
}
