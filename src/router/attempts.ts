// Owns every attempt of one request, from the first push to its outcome.
// A1. After the first chunk has reached the caller no other attempt is started, whichever attempt it is of.
// A2. Attempt n+1 starts only after attempt n reported its end, or was cancelled.
// A3. A worker that is lost, full or unreachable costs no attempt of the policy: the same target is tried again at once,
//     at most `WORKER_TRIES_MAX` times; only then the policy decides.
// A4. If no attempt is left, exactly one `error` frame leaves here.
// A5. An attempt holds its place at the provider from before its push until it is over; a repeat of A3 keeps it.
import { tryPublish } from '../bus/try-publish.ts';
import { type Address, addressIn, atEach } from '../contracts/contract.ts';
import { type ExecAssignment, type ExecAssignmentAck, execCall, type PostOrder } from '../contracts/assignment.ts';
import type { CancelReason } from '../contracts/cancel.ts';
import { frames } from '../contracts/frames.ts';
import type { Correlation } from '../contracts/headers.ts';
import type { AttemptOutcome } from '../contracts/outcome.ts';
import { BeamlineError, type ErrorCode } from '../core/errors.ts';
import { answerCode } from '../core/execution-errors.ts';
import type { Timer } from '../core/timers.ts';
import { decide } from '../policy/decide.ts';
import { expectationsOf, expectedCost } from '../policy/expectations.ts';
import type { Facts, Live } from '../policy/facts.ts';
import { begun, type History, moved, repeated, retried } from '../policy/history.ts';
import { nextStep, type Step } from '../policy/next-step.ts';
import type { Target } from '../policy/policy.ts';
import { REASONS } from '../policy/reasons.ts';
import type { Failure } from '../policy/status-words.ts';
import { failureOf, isOfWorkers, statedFailure, WORKER_TRIES_MAX } from './attempt-failure.ts';
import { AttemptLimits } from './attempt-limits.ts';
import type { AttemptsDeps, First, Whole } from './attempts-deps.ts';
import { errorFrameOf, type Head, sendCancel, sendError } from './attempt-messages.ts';
import type { Ended } from './decision-log.ts';
import { addedTags, assignmentOf, attemptMs, type Ordered } from './assignment-of.ts';
import type { Hold } from './live-state.ts';
import { postOrdersFor } from './post-orders.ts';
import type { RetryBudget } from './retry-budgets.ts';
import type { Unreported } from './unreported-attempts.ts';

export const callTo = atEach(execCall, {});

type NextTry = Exclude<Step, { kind: 'end' }>;

type Phase =
  | { readonly kind: 'pushed'; readonly workerId: string | undefined }
  | { readonly kind: 'waiting'; readonly go: () => void; readonly atMs: number }
  | { readonly kind: 'given_up' }
  | { readonly kind: 'over' };

export class Attempts {
  readonly ordered: Ordered;
  /** Of the attempt that ended last: what its worker counted, and how it ended. */
  outputTokens: number | undefined;
  last: Ended | undefined;
  readonly #deps: AttemptsDeps;
  readonly #whole: Whole;
  readonly #facts: Facts;
  readonly #deliverTo: Address<typeof frames>;
  readonly #correlation: Correlation;
  readonly #budget: RetryBudget | undefined;
  /** Undefined for most policies. */
  readonly #limits: AttemptLimits | undefined;
  #history: History;
  #hold: Hold | undefined;
  #chosen: First;
  #phase: Phase = { kind: 'pushed', workerId: undefined };
  #isCommitted = false;
  /** What a worker has and has not told the end of. */
  #taken: ExecAssignment | undefined;
  #workerTries = 0;
  #frames = 0;
  /** Of the last push, on the monotonic clock. */
  #sentMs = 0;
  #timer: Timer;

  /** Throws `invalid_request` for a `deliver_to` that is not a subject of frames. Nothing is pushed before `begin`. */
  constructor(deps: AttemptsDeps, of: Whole) {
    this.#deps = deps;
    this.#whole = of;
    this.ordered = of.ordered;
    this.#facts = of.facts;
    this.#chosen = of.first;
    const { request } = of.ordered;
    this.#deliverTo = addressIn(frames, request.deliver_to ?? '');
    this.#correlation = { traceId: request.trace_id ?? '-', tenantId: request.tenant_id };
    this.#budget = deps.live.budget(request.tenant_id, of.ordered.policy);
    this.#limits = AttemptLimits.of(of.ordered.policy, of.facts.stream);
    this.#history = begun(of.first.target);
    this.#timer = this.#arm();
  }

  /** Sends the first attempt; false if its provider admits nobody now: then nothing was sent, and this is over. */
  begin(): boolean {
    if (!this.#take(this.#chosen.target)) {
      this.#over();
      return false;
    }
    this.#budget?.first(this.#deps.timers.clock.nowMs());
    this.#push();
    return true;
  }

  outcome(outcome: AttemptOutcome): void {
    if (this.#phase.kind === 'over') return;
    const isCurrent = outcome.attempt === this.#history.attempt;
    this.#isCommitted ||= outcome.committed || outcome.state === 'succeeded';
    if (isCurrent) this.#told(outcome);
    // It was given up already, so its end changes nothing; but what its caller has read nobody repeats (A1).
    if (this.#phase.kind !== 'pushed') return this.#isCommitted ? this.#over() : undefined;
    if (!isCurrent) return;
    switch (outcome.state) {
      case 'committed':
        return;
      case 'succeeded':
      case 'cancelled':
        return this.#over();
      case 'failed':
      case 'timed_out':
        return this.#failed(failureOf(outcome, this.#isCommitted), outcome.error?.message ?? 'the attempt failed');
    }
  }

  /** What is counted of an attempt, whatever follows from it. */
  #told(outcome: AttemptOutcome): void {
    this.outputTokens = outcome.output_tokens;
    if (outcome.state !== 'committed') this.#taken = undefined;
    if (outcome.state !== 'committed') this.#whole.budgets?.ended(this.#tookMicroUsd(outcome), outcome.output_tokens);
    if (this.#phase.kind === 'pushed' || outcome.state === 'succeeded') {
      this.last = outcome;
      this.#deps.decisions?.ended(this.#facts, outcome);
    }
    if (this.#chosen.reason === 'canary') this.#deps.live.canaryEnded(this.ordered.policy, outcome);
  }

  /** Ends without a word: this router stops, and the gateway asks another one. */
  forget(): void {
    this.last = undefined;
    this.#over();
  }

  /** Ends without a word: the gateway wants no more, and has told the worker so. */
  cancelled(reason: CancelReason, deliveredTokens?: number): void {
    this.#unheard(reason === 'deadline' ? 'timeout' : 'cancelled', deliveredTokens);
    if (reason === 'deadline') this.#ended('timed_out', 'CANCELLED_BY_TIMEOUT');
    else this.#ended('cancelled', 'CANCELLED_BY_USER');
    this.#over();
  }

  workerLost(workerId: string): void {
    if (this.#phase.kind !== 'pushed' || this.#phase.workerId !== workerId) return;
    // Nothing follows a committed attempt, and the gateway hears the silence by itself.
    this.#gaveUp(statedFailure('WORKER_LOST'), 'the worker was lost', this.#isCommitted ? undefined : 'superseded');
  }

  #push(): void {
    const { bus, settings, timers } = this.#deps;
    const { attempt } = this.#history;
    if (this.#chosen.model === undefined) {
      return this.#end('invalid_request', 'neither the request nor the policy names a model', undefined);
    }
    const post = this.#post();
    if (post instanceof BeamlineError) return this.#end(post.code, post.message, undefined);
    const assignment = assignmentOf(this.ordered, {
      ...this.#chosen,
      attempt,
      timeLeftMs: this.#timeLeftMs(),
      post,
    });
    this.#unheard('error');
    this.#whole.budgets?.sent(this.#costOf(this.#chosen.target));
    this.#phase = { kind: 'pushed', workerId: undefined };
    this.#sentMs = timers.clock.nowMs();
    this.#limits?.pushed(this.#sentMs);
    if (this.#limits !== undefined) this.#rearm();
    bus
      .request(callTo(this.#chosen.target.pool), assignment, {
        timeoutMs: settings.accept_wait_ms,
        correlation: this.#correlation,
      })
      .then(
        (ack) => this.#acknowledged(assignment, ack),
        (fault: unknown) => this.#unacknowledged(attempt, BeamlineError.from(fault)),
      );
  }

  /** What the worker is to ask about the output of this attempt. */
  #post(): PostOrder[] | undefined | BeamlineError {
    const { policy } = this.ordered;
    if (policy.post === undefined) return undefined;
    const to = { attempt: this.#history.attempt, provider: this.#chosen.target.name };
    return postOrdersFor(policy, this.#facts, to, this.#now(), this.#deps.extensions.registry);
  }

  #acknowledged(assignment: ExecAssignment, ack: ExecAssignmentAck): void {
    if (this.#phase.kind !== 'pushed' || assignment.attempt !== this.#history.attempt) return;
    if (ack.status === 'accepted') {
      this.#phase = { kind: 'pushed', workerId: ack.worker_id };
      this.#taken = assignment;
      this.#limits?.accepted(this.#deps.timers.clock.nowMs());
      if (this.#limits !== undefined) this.#rearm();
      return;
    }
    const isInvalid = ack.reason === 'invalid_request' || ack.reason === 'unsupported_version';
    if (!isInvalid) return this.#gaveUp(statedFailure('WORKER_UNAVAILABLE'), 'no worker took the request');
    this.#gaveUp(statedFailure('INVALID_INPUT'), 'the worker refused the request');
  }

  #unacknowledged(attempt: number, error: BeamlineError): void {
    if (this.#phase.kind !== 'pushed' || attempt !== this.#history.attempt || this.#isCommitted) return;
    if (error.code === 'payload_too_large' || error.code === 'internal') {
      return this.#end(error.code, error.message, undefined);
    }
    const isSilent = error.code === 'timeout';
    this.#gaveUp(statedFailure('WORKER_UNAVAILABLE'), 'no worker is there', isSilent ? 'superseded' : undefined);
  }

  /** Nobody else tells how the attempt has ended; a worker that may still run it is told to stop. */
  #gaveUp(failure: Failure, message: string, cancelAs?: CancelReason): void {
    this.#ended(failure.class === 'timeout' ? 'timed_out' : 'failed', failure.code);
    // A worker in this process answers a cancel before this returns: that must not be the end of the request.
    this.#phase = { kind: 'given_up' };
    if (cancelAs !== undefined)
      sendCancel(this.#deps, this.ordered, this.#history.attempt, cancelAs, this.#correlation);
    this.#failed(failure, message);
  }

  /** Writes down what this router knows of the end of the attempt that is out. */
  #ended(state: 'failed' | 'timed_out' | 'cancelled', code: string): void {
    const { attempt, current } = this.#history;
    const latency_ms = Math.round(this.#deps.timers.clock.nowMs() - this.#sentMs);
    this.last = { attempt, provider_id: current.name, state, error: { code }, latency_ms };
    if (this.#phase.kind === 'pushed') this.#deps.decisions?.ended(this.#facts, this.last);
  }

  /** Writes down an attempt that no decision made. */
  #followed({ code }: Failure, why?: string): void {
    const { target, model, reason } = this.#chosen;
    const { attempt } = this.#history;
    const next = { attempt, provider_id: target.name, model, reason, why, after: code };
    this.#deps.decisions?.followed(this.ordered.policy, this.#facts, next);
  }

  #failed(failure: Failure, message: string): void {
    if (failure.committed || this.#isCommitted) return this.#over();
    if (isOfWorkers(failure) && this.#workerTries < WORKER_TRIES_MAX && this.#timeLeftMs() > 0) {
      // Whoever took it may have spent: then the repeat is held for anew.
      if (this.#taken === undefined) return this.#repeat(failure);
      return this.#afford(this.#chosen, (isHeld) => {
        if (isHeld) return this.#repeat(failure);
        this.#letGo();
        this.#follow(failure, message);
      });
    }
    this.#letGo();
    this.#follow(failure, message);
  }

  #repeat(failure: Failure): void {
    this.#workerTries++;
    this.#history = repeated(this.#history);
    this.#followed(failure);
    this.#push();
  }

  #follow(failure: Failure, message: string): void {
    const { policy, request } = this.ordered;
    const live = this.#deps.live.now(request.tenant_id, policy, this.#whole.budgets);
    const step = nextStep(policy, this.#facts, this.#history, failure, this.#timeLeftMs(), live);
    this.#deps.telemetry.log.debug('attempt_failed', {
      request_id: this.ordered.request.request_id,
      assignment_id: this.ordered.assignmentId,
      attempt: this.#history.attempt,
      code: failure.code,
      state: step.kind,
    });
    if (step.kind === 'end') return this.#end(step.code, message, failure);
    if (!this.#mayRetry()) return this.#exhausted(failure, message);
    this.#wait(step.waitMs, () => this.#go(step, failure, message));
  }

  /** After the wait. What was possible before it may no longer be: then it is asked again what follows. */
  #go(step: NextTry, failure: Failure, message: string): void {
    if (!this.#mayRetry()) return this.#exhausted(failure, message);
    switch (step.kind) {
      case 'again':
        return this.#afford(this.#chosen, (isHeld) => {
          if (!isHeld || !this.#take(step.target)) return this.#follow(failure, message);
          this.#history = retried(this.#history, step.item);
          this.#chosen = { ...this.#chosen, reason: step.reason, priority: REASONS.retry.priority };
          this.#followed(failure);
          this.#retry();
        });
      case 'to': {
        const { target, reason } = step;
        return this.#afford({ target }, (isHeld) => {
          if (!isHeld || !this.#take(target)) return this.#follow(failure, message);
          const { priority } = REASONS[reason];
          const expected = expectationsOf(target, this.#facts, this.#now());
          this.#move({ target, model: target.model ?? this.#facts.model, reason, priority, ...expected }, reason);
          this.#followed(failure, step.reason === 'escalated' ? step.why : undefined);
          this.#retry();
        });
      }
      case 'redraw': {
        const { targets, fallbacks } = this.ordered.policy;
        return this.#draw(failure, message, targets.length + fallbacks.length);
      }
    }
  }

  /** Decides until a provider admits the attempt and the budgets bear it, at most once per candidate (policy 6, step 13). */
  #draw(failure: Failure, message: string, left: number): void {
    const { policy, request } = this.ordered;
    const snapshot = this.#deps.live.after(request.tenant_id, policy, this.#history, failure, this.#whole.budgets);
    const verdict = left > 0 ? decide(policy, this.#facts, snapshot, false) : undefined;
    if (verdict !== undefined) this.#deps.decisions?.decided(policy, this.#facts, snapshot, verdict);
    if (verdict === undefined || verdict.kind === 'none') {
      return this.#end(answerCode(failure.code, failure.detailCode), message, failure);
    }
    this.#afford(verdict, (isHeld) => {
      if (!isHeld || !this.#take(verdict.target)) return this.#draw(failure, message, left - 1);
      this.#move(verdict, verdict.reason === 'failover' ? 'failover' : 'fallback');
      this.#retry();
    });
  }

  /** Holds what the attempt may cost, then goes on: at once unless the lease of a budget is short. */
  #afford(chosen: Pick<First, 'target' | 'tags'>, go: (isHeld: boolean) => void): void {
    const { budgets } = this.#whole;
    if (budgets === undefined) return go(true);
    const { request, marks = chosen } = this.ordered;
    const held = budgets.hold(chosen.target, this.#costOf(chosen.target), addedTags(request, marks));
    if (typeof held === 'boolean') return go(held);
    const waiting: Phase = { kind: 'waiting', go: () => undefined, atMs: Number.POSITIVE_INFINITY };
    this.#phase = waiting;
    this.#rearm();
    const goOn = (isHeld: boolean): void => {
      if (this.#phase !== waiting) return;
      this.#phase = { kind: 'pushed', workerId: undefined };
      go(isHeld);
    };
    held.then(goOn, (thrown: unknown) => {
      const { code, message } = BeamlineError.from(thrown);
      if (this.#phase === waiting) this.#end(code, message, undefined);
    });
  }

  /** Undefined for a model without a price. */
  #costOf(target: Target, outputTokens = this.#facts.maxOutputTokens): number | undefined {
    if (this.#whole.budgets === undefined) return undefined;
    return expectedCost(target, { ...this.#facts, maxOutputTokens: outputTokens }, this.#now());
  }

  /** Valid in this turn only. */
  #now(): Live {
    const { policy, request } = this.ordered;
    return this.#deps.live.now(request.tenant_id, policy);
  }

  /** By the output that its worker counted; what is not known stays as it was estimated. */
  #tookMicroUsd({ output_tokens: outputTokens }: AttemptOutcome): number | undefined {
    return outputTokens === undefined ? undefined : this.#costOf(this.#chosen.target, outputTokens);
  }

  #move(chosen: First, reason: 'fallback' | 'failover' | 'escalated'): void {
    this.#chosen = chosen;
    this.#workerTries = 0;
    this.#history = moved(this.#history, chosen.target, reason);
    this.#deps.bindings.follow(this.ordered.policy, this.#facts, chosen.target.name);
  }

  #retry(): void {
    this.#budget?.spend(this.#deps.timers.clock.nowMs());
    this.#push();
  }

  #mayRetry(): boolean {
    return this.#budget?.allows(this.#deps.timers.clock.nowMs()) ?? false;
  }

  #take(target: Target): boolean {
    const { live, timers } = this.#deps;
    const { request, policy, assignmentId } = this.ordered;
    const hold: Hold = {
      tenantId: request.tenant_id,
      policy,
      provider: target.name,
      assignmentId,
      deadlineMs: timers.clock.nowMs() + attemptMs(policy, this.#timeLeftMs()),
    };
    if (!live.hold(hold)) return false;
    this.#hold = hold;
    return true;
  }

  #letGo(): void {
    if (this.#hold !== undefined) this.#deps.live.letGo(this.#hold);
    this.#hold = undefined;
  }

  /** The wait is really waited; heartbeats keep the gateway's silence from running out. */
  #wait(waitMs: number, go: () => void): void {
    if (waitMs <= 0) return go();
    this.#phase = { kind: 'waiting', go, atMs: this.#deps.timers.clock.nowMs() + waitMs };
    this.#rearm();
  }

  #exhausted(failure: Failure, message: string): void {
    this.#end(answerCode(failure.code, failure.detailCode), message, failure, { retry_budget_exhausted: true });
  }

  #end(
    code: ErrorCode,
    message: string,
    failure: Failure | undefined,
    details?: Readonly<Record<string, unknown>>,
  ): void {
    const frame = errorFrameOf(this.#head(), { code, message, failure, details });
    sendError(this.#deps, this.#deliverTo, frame, this.ordered, this.#correlation);
    this.#over();
  }

  #over(): void {
    if (this.#phase.kind === 'over') return;
    this.#phase = { kind: 'over' };
    this.#timer.cancel();
    this.#unheard(this.#timeLeftMs() <= 0 ? 'timeout' : 'error');
    this.#letGo();
    this.#whole.onOver(this);
  }

  #unheard(status: Unreported['status'], outputTokens = 0): void {
    const { inputTokens = 0 } = this.#facts;
    if (this.#taken !== undefined) this.#deps.unreported.add(this.#taken, { status, inputTokens, outputTokens });
    this.#taken = undefined;
  }

  #head(): Head {
    const { assignmentId: assignment_id } = this.ordered;
    return { assignment_id, attempt: this.#history.attempt, seq: this.#frames++, origin: 'router' };
  }

  #timeLeftMs(): number {
    return this.#whole.deadlineMs - this.#deps.timers.clock.nowMs();
  }

  #rearm(): void {
    this.#timer.cancel();
    this.#timer = this.#arm();
  }

  #arm(): Timer {
    const { timers, settings } = this.#deps;
    const dueMs =
      this.#phase.kind === 'waiting'
        ? Math.min(this.#phase.atMs, timers.clock.nowMs() + settings.heartbeat_ms)
        : (this.#limits?.dueMs(this.#isCommitted) ?? this.#whole.deadlineMs);
    return timers.at(Math.min(dueMs, this.#whole.deadlineMs), () => this.#wake());
  }

  #wake(): void {
    // At the deadline the gateway answers by itself and the worker ends by its own clock.
    if (this.#timeLeftMs() <= 0) {
      this.#ended('timed_out', 'CANCELLED_BY_TIMEOUT');
      return this.#over();
    }
    const nowMs = this.#deps.timers.clock.nowMs();
    if (this.#phase.kind !== 'waiting') return this.#look(nowMs);
    const { go, atMs } = this.#phase;
    if (nowMs >= atMs) {
      this.#phase = { kind: 'pushed', workerId: undefined };
      this.#timer = this.#arm();
      return go();
    }
    tryPublish(this.#deps.bus, this.#deliverTo, { type: 'heartbeat', ...this.#head() }, this.#correlation);
    this.#timer = this.#arm();
  }

  /** A worker that lives and does not end its attempt in time is told to, and the policy decides what follows. */
  #look(nowMs: number): void {
    const failure = this.#limits?.failureAt(nowMs, this.#isCommitted);
    if (failure === undefined) return this.#rearm();
    this.#gaveUp(failure, 'the attempt took too long', 'deadline');
  }
}
