// One interactive attempt, from acceptance to its one end.
// C1. Frames: `start`, chunks, then exactly one `end`, or `error` once a chunk has left; nothing after it.
// C2. A failure before the first chunk sends no terminal frame: the router decides what comes next.
// C3. A prefix without content is held and leaves with the first content, so it does not commit.
// C4. A frame that the bus does not take fails the call like any other fault: before it commits, or with an `error`.
// C5. Whatever ends the attempt closes the upstream socket and reports once.
import { type Address, addressIn } from '../contracts/contract.ts';
import type { ExecAssignment } from '../contracts/assignment.ts';
import type { CancelReason } from '../contracts/cancel.ts';
import type { Usage } from '../contracts/fields.ts';
import { type EndFrame, frames, type StreamFrame } from '../contracts/frames.ts';
import type { Correlation } from '../contracts/headers.ts';
import { ANSWER_BYTES_MAX, TEXT_CHARS_MAX } from '../contracts/limits.ts';
import { type CrashPoints, noCrash } from '../core/crash-point.ts';
import { answerCode, type ExecutionFailure } from '../core/execution-errors.ts';
import type { Timer, Timers } from '../core/timers.ts';
import type { ChatChunk } from '../dialect/openai-chat.ts';
import type { ChatEnd, ChatSink, Consumed, ProviderSide, RunningCall, TokenUsage } from '../provider/provider.ts';
import { answerParts, fitsFrame } from './answer-parts.ts';
import { type AttemptEnd, type AttemptFacts, outcomeOf, resultOf } from './attempt-messages.ts';
import { type CostOf, estimateTokens, mayBeCharged, meter } from './metering.ts';
import { postProcessed } from './post-processed.ts';
import type { PostProcessors } from './post-processors.ts';
import type { Reporter } from './reporter.ts';
import type { WorkerSettings } from './settings.ts';
import type { SlotWaiter } from './slots.ts';

/** Events without content that are held before the first content. */
const HELD_MAX = 64;

export interface CallDeps {
  readonly reporter: Reporter;
  readonly timers: Timers;
  readonly costOf: CostOf;
  readonly settings: WorkerSettings;
  readonly posts: PostProcessors;
  readonly crash?: CrashPoints;
  /** Called once, at the end; `hadSlot` tells whether a slot comes back. */
  readonly onEnd: (call: Call, end: AttemptEnd, hadSlot: boolean) => void;
}

/** The provider that runs the call, and its own name of the model. */
export interface CallTarget {
  readonly provider: ProviderSide;
  readonly upstreamModel: string;
}

type Phase =
  | { readonly kind: 'waiting' }
  | { readonly kind: 'running'; readonly upstream: RunningCall | undefined }
  | { readonly kind: 'ended' };

export class Call implements ChatSink, SlotWaiter {
  readonly assignment: ExecAssignment;
  readonly attempt: number;
  readonly #deps: CallDeps;
  readonly #target: CallTarget;
  readonly #crash: CrashPoints;
  /** Undefined for a shadow, which nobody hears. */
  readonly #deliverTo: Address<typeof frames> | undefined;
  readonly #correlation: Correlation;
  readonly receivedMs: number;
  readonly #deadlineMs: number;
  #phase: Phase = { kind: 'waiting' };
  #timer: Timer;
  #held: string[] = [];
  #seq = 0;
  #lastFrameMs: number;
  #isCommitted = false;
  #firstContentMs: number | undefined;
  #startedMs: number | undefined;
  #outputChars = 0;
  /** The whole answer, once it is there: it is billed, whether or not it gets through. */
  #answer: Consumed | undefined;

  /** Throws `invalid_request` for a `deliver_to` that is not a subject of frames. */
  constructor(deps: CallDeps, assignment: ExecAssignment, target: CallTarget) {
    this.#deps = deps;
    this.#crash = deps.crash ?? noCrash;
    this.#target = target;
    this.assignment = assignment;
    this.attempt = assignment.attempt ?? 1;
    this.#deliverTo = assignment.shadow === true ? undefined : addressIn(frames, assignment.deliver_to ?? '');
    this.#correlation = {
      traceId: assignment.correlation?.trace_id ?? '-',
      tenantId: assignment.tenant_id,
    };
    this.receivedMs = deps.timers.clock.nowMs();
    this.#lastFrameMs = this.receivedMs;
    this.#deadlineMs = this.receivedMs + assignment.options.deadline_ms;
    this.#timer = this.#arm();
  }

  get tenantId(): string {
    return this.assignment.tenant_id;
  }

  get weight(): number | undefined {
    return this.assignment.tenant_weight;
  }

  get priority(): number | undefined {
    return this.assignment.options.priority;
  }

  get isJob(): boolean {
    return false;
  }

  /** When the provider was asked; undefined while it was not. */
  get startedMs(): number | undefined {
    return this.#startedMs;
  }

  /** Milliseconds from the delivery to the first content; undefined while there is none. */
  get firstContentMs(): number | undefined {
    return this.#firstContentMs;
  }

  /** The slot is taken: from here on the provider may charge. */
  run(): void {
    const { executor, job, stream = false, limits, post } = this.assignment;
    const { settings, timers } = this.#deps;
    this.#phase = { kind: 'running', upstream: undefined };
    const start: StreamFrame = {
      type: 'start',
      assignment_id: this.assignment.assignment_id,
      attempt: this.attempt,
      seq: this.#seq++,
      provider_id: executor.provider_id,
      model: executor.model ?? '-',
      worker_id: settings.id,
      created_ms: timers.clock.epochMs(),
    };
    this.#send(start);
    if (this.#hasEnded) return;
    const call = {
      callId: `${this.assignment.assignment_id}:${this.attempt}`,
      order: this.assignment,
      model: this.#target.upstreamModel,
      body: job.payload ?? {},
      stream,
      firstChunkMs: limits?.first_chunk_ms ?? settings.first_chunk_ms,
      idleMs: limits?.idle_ms ?? settings.idle_ms,
    };
    this.#startedMs = timers.clock.nowMs();
    const { provider } = this.#target;
    const asked = post === undefined ? provider : postProcessed(provider, this.assignment, stream, this.#deps);
    const upstream = asked.chat(call, this);
    if (this.#phase.kind === 'running') this.#phase = { kind: 'running', upstream };
    this.#crash(7);
  }

  /** The wait in the line was too long: the router pushes elsewhere. */
  refuse(): void {
    this.#finish({
      state: 'failed',
      failure: { code: 'SYSTEM_OVERLOAD', message: 'no free slot in time' },
      usage: undefined,
    });
  }

  chunk(raw: string, chunk: ChatChunk): void {
    if (this.#phase.kind === 'ended') return;
    this.#outputChars += chunk.chars;
    if (!fitsFrame(raw)) return this.fail(tooLarge('an event of a stream fits into one message'));
    if (!this.#isCommitted) {
      if (!chunk.hasContent && this.#held.length < HELD_MAX) {
        this.#held.push(raw);
        return;
      }
      this.#commit();
      if (this.#hasEnded) return;
    } else this.#crash(8);
    const { assignment_id } = this.assignment;
    const frame: StreamFrame = { type: 'chunk', assignment_id, attempt: this.attempt, seq: this.#seq++, raw };
    if (chunk.isUsageOnly) frame.usage_only = true;
    this.#send(frame);
  }

  end(end: ChatEnd): void {
    if (this.#phase.kind === 'ended') return;
    this.#answer = end;
    const large = answerParts(end.raw);
    if (large !== undefined && Buffer.byteLength(end.raw ?? '') > ANSWER_BYTES_MAX) {
      return this.fail(tooLarge(`an answer holds at most ${ANSWER_BYTES_MAX} bytes`));
    }
    if (!this.#isCommitted && (large !== undefined || this.#held.length > 0)) this.#commit();
    for (const part of large?.parts ?? []) {
      if (this.#hasEnded) return;
      this.#send({ type: 'chunk', ...this.#head(), part });
    }
    if (this.#hasEnded) return;
    const usage = this.#usageOf(end);
    const frame: EndFrame = {
      type: 'end',
      assignment_id: this.assignment.assignment_id,
      attempt: this.attempt,
      seq: this.#seq++,
      finish_reason: end.finishReason,
      usage,
      total_cost_micro_usd: usage.cost_micro_usd + (this.assignment.prior_cost_micro_usd ?? 0),
    };
    if (large !== undefined) Object.assign(frame, large.sum);
    else if (end.raw !== undefined) frame.raw = end.raw;
    this.#finish({ state: 'succeeded', usage, finishReason: end.finishReason }, frame);
  }

  fail(failure: ExecutionFailure): void {
    this.#failWith('failed', failure);
  }

  /** The gateway or a router wants no more of it: nothing is sent, what was consumed is settled. */
  cancel(reason: CancelReason, deliveredTokens: number): void {
    if (this.#phase.kind === 'ended') return;
    this.#outputChars = Math.max(this.#outputChars, deliveredTokens * 4);
    const failure: ExecutionFailure = {
      code: 'CANCELLED_BY_USER',
      message: 'cancelled',
      detailCode: reason,
    };
    this.#finish({ state: 'cancelled', failure, usage: this.#consumed() ?? this.#estimate() });
  }

  /** This worker stops: before the first chunk the router may try another one. */
  abandon(): void {
    this.#failWith('failed', {
      code: 'WORKER_UNAVAILABLE',
      message: 'the worker is shutting down',
    });
  }

  #failWith(state: 'failed' | 'timed_out', cause: ExecutionFailure): void {
    if (this.#phase.kind === 'ended') return;
    const usage = this.#consumedBy(cause);
    if (!this.#isCommitted) return this.#finish({ state, failure: cause, usage });
    const failure = state === 'failed' && cause.code !== 'CONTENT_BLOCKED' ? interrupted(cause) : cause;
    const frame: StreamFrame = {
      type: 'error',
      ...this.#head(),
      error: {
        code: answerCode(failure.code, failure.detailCode),
        message: failure.message.slice(0, TEXT_CHARS_MAX),
        retryable: false,
        ...(cause.detailCode === undefined ? {} : { detail_code: cause.detailCode }),
      },
      committed: true,
      ...(usage === undefined ? {} : { usage }),
    };
    this.#finish({ state, failure, usage }, frame);
  }

  /** A frame that could not leave ends the call. */
  get #hasEnded(): boolean {
    return this.#phase.kind === 'ended';
  }

  #finish(end: AttemptEnd, frame?: StreamFrame): void {
    if (this.#phase.kind === 'ended') return;
    const hadSlot = this.#phase.kind === 'running';
    if (this.#phase.kind === 'running' && end.state !== 'succeeded') this.#phase.upstream?.abort();
    this.#phase = { kind: 'ended' };
    this.#timer.cancel();
    const facts = this.#facts();
    const result = hadSlot ? resultOf(facts, end) : undefined;
    this.#deps.reporter.end({ frame, to: this.#deliverTo, outcome: outcomeOf(facts, end), result }, this.#correlation);
    this.#deps.onEnd(this, end, hadSlot);
  }

  #commit(): void {
    this.#isCommitted = true;
    this.#firstContentMs = Math.round(this.#deps.timers.clock.nowMs() - this.receivedMs);
    const held = this.#held;
    this.#held = [];
    for (const raw of held) {
      if (this.#hasEnded) return;
      this.#send({ type: 'chunk', ...this.#head(), raw });
    }
    if (this.#hasEnded) return;
    this.#deps.reporter.outcome(outcomeOf(this.#facts(), { state: 'committed' }), this.#correlation);
  }

  #send(frame: StreamFrame): void {
    this.#lastFrameMs = this.#deps.timers.clock.nowMs();
    if (this.#deliverTo === undefined) return;
    const correlation = frame.seq === 0 ? this.#correlation : undefined;
    const fault = this.#deps.reporter.frame(this.#deliverTo, frame, correlation);
    if (fault === undefined) return;
    // The next frame takes its number: what did not leave is no gap.
    this.#seq = frame.seq;
    const isTooLarge = fault.code === 'payload_too_large';
    this.fail(
      isTooLarge
        ? tooLarge('the bus takes no frame of this size')
        : { code: 'WORKER_LOST', message: 'the bus refused a frame' },
    );
  }

  #head(): { assignment_id: string; attempt: number; seq: number } {
    return {
      assignment_id: this.assignment.assignment_id,
      attempt: this.attempt,
      seq: this.#seq++,
    };
  }

  #facts(): AttemptFacts {
    const { clock } = this.#deps.timers;
    return {
      assignment: this.assignment,
      attempt: this.attempt,
      workerId: this.#deps.settings.id,
      isCommitted: this.#isCommitted,
      latencyMs: Math.round(clock.nowMs() - this.receivedMs),
      firstContentMs: this.#firstContentMs,
      epochMs: clock.epochMs(),
    };
  }

  #consumedBy(cause: ExecutionFailure): Usage | undefined {
    const consumed = this.#consumed();
    if (consumed !== undefined) return consumed;
    return this.#outputChars > 0 || mayBeCharged(cause) ? this.#estimate() : undefined;
  }

  /** Of an answer that the provider gave in full, though it did not get through. */
  #consumed(): Usage | undefined {
    const upstream = this.#phase.kind === 'running' ? this.#phase.upstream : undefined;
    const consumed = this.#answer ?? upstream?.consumed?.();
    return consumed === undefined ? undefined : this.#usageOf(consumed);
  }

  #usageOf({ usage, outputChars }: Consumed): Usage {
    return this.#usage(usage ?? estimateTokens(this.assignment.job.payload, outputChars), usage === undefined);
  }

  /** Nothing, if the provider was not asked. */
  #estimate(): Usage | undefined {
    if (this.#startedMs === undefined) return undefined;
    return this.#usage(estimateTokens(this.assignment.job.payload, this.#outputChars), true);
  }

  #usage(tokens: TokenUsage, isEstimated: boolean): Usage {
    const { provider_id: providerId, model = '-' } = this.assignment.executor;
    return meter(this.#deps.costOf, { providerId, model, tokens, isEstimated });
  }

  #arm(): Timer {
    const heartbeatMs = this.#lastFrameMs + this.#deps.settings.frame_heartbeat_ms;
    return this.#deps.timers.at(Math.min(this.#deadlineMs, heartbeatMs), () => this.#wake());
  }

  #wake(): void {
    const nowMs = this.#deps.timers.clock.nowMs();
    if (nowMs >= this.#deadlineMs) {
      return this.#failWith('timed_out', {
        code: 'CANCELLED_BY_TIMEOUT',
        message: 'the deadline has passed',
      });
    }
    if (nowMs >= this.#lastFrameMs + this.#deps.settings.frame_heartbeat_ms) {
      this.#send({ type: 'heartbeat', ...this.#head() });
    }
    if (this.#phase.kind !== 'ended') this.#timer = this.#arm();
  }
}

const tooLarge = (message: string): ExecutionFailure => ({ code: 'OUTPUT_TOO_LARGE', message });

const interrupted = (cause: ExecutionFailure): ExecutionFailure => ({
  ...cause,
  code: 'STREAM_INTERRUPTED',
  detailCode: cause.code,
});
