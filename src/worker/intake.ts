// Accepts or refuses assignments, and keeps the calls that run.
// N1. An assignment and attempt is started at most once here; a repeat is refused as `duplicate`.
// N2. Accepted means: it ends with an outcome, whatever happens to slot, provider or deadline.
import type { ExecAssignment, ExecAssignmentAck, RefusalReason } from '../contracts/assignment.ts';
import type { Cancel } from '../contracts/cancel.ts';
import { LiveMap } from '../core/live-map.ts';
import { Recent } from '../core/recent.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import type { AttemptEnd } from './attempt-messages.ts';
import { Call, type CallDeps, type CallTarget } from './call.ts';
import { CancelMemory } from './cancel-memory.ts';
import { Slots } from './slots.ts';

/** Finished attempts that are still known, so that a repeat of one is refused. */
const FINISHED_MAX = 10_000;

export interface IntakeDeps extends Omit<CallDeps, 'onEnd'> {
  readonly telemetry: Telemetry;
  /** The provider that runs an assignment, or undefined when this worker does not have it. */
  readonly target: (providerId: string, model: string) => CallTarget | undefined;
}

const keyOf = (assignmentId: string, attempt: number): string => `${assignmentId}:${attempt}`;

export class Intake {
  readonly slots: Slots;
  readonly #deps: IntakeDeps;
  readonly #callDeps: CallDeps;
  readonly #calls = new LiveMap<string, Call>();
  readonly #finished = new Recent<true>(FINISHED_MAX);
  readonly #cancelled: CancelMemory;
  readonly #metrics: ReturnType<typeof declareMetrics>;
  #isDraining = false;
  #whenIdle: (() => void) | undefined;

  constructor(deps: IntakeDeps) {
    this.#deps = deps;
    const { settings, timers, reporter, costOf } = deps;
    this.slots = new Slots(settings.slots.io, settings.queue.max, timers);
    this.#cancelled = new CancelMemory(timers.clock);
    this.#metrics = declareMetrics(deps.telemetry);
    this.#callDeps = {
      reporter,
      timers,
      costOf,
      settings,
      onEnd: (call, end, hadSlot) => this.#ended(call, end, hadSlot),
    };
  }

  get running(): number {
    return this.#calls.size;
  }

  accept(assignment: ExecAssignment): ExecAssignmentAck {
    const attempt = assignment.attempt ?? 1;
    const key = keyOf(assignment.assignment_id, attempt);
    const target = this.#deps.target(assignment.executor.provider_id, assignment.executor.model ?? '');
    const refusal = this.#refusal(assignment, key, target);
    if (refusal !== undefined) {
      this.#metrics.rejections.of(refusal).add();
      return { ...this.#ack(assignment, attempt), status: 'rejected', reason: refusal };
    }
    if (target !== undefined) this.#start(assignment, key, target);
    return { ...this.#ack(assignment, attempt), status: 'accepted' };
  }

  cancel(cancel: Cancel): void {
    const key = keyOf(cancel.assignment_id, cancel.attempt ?? 0);
    const calls =
      cancel.attempt === undefined
        ? this.#calls.values().filter((call) => call.assignment.assignment_id === cancel.assignment_id)
        : [this.#calls.get(key)];
    let found = false;
    for (const call of calls) {
      if (call === undefined || call.assignment.tenant_id !== cancel.tenant_id) continue;
      found = true;
      this.slots.leave(call);
      this.#metrics.cancels.of(cancel.reason).add();
      call.cancel(cancel.reason, cancel.delivered?.output_tokens ?? 0);
    }
    if (!found && !this.#finished.has(key)) this.#cancelled.remember(key);
  }

  /** Takes nothing new, refuses the line, and resolves when the last running call has ended or was abandoned. */
  async drain(abandonAfterMs: number): Promise<{ readonly abandoned: number }> {
    this.#isDraining = true;
    this.slots.clear();
    let abandoned = 0;
    if (this.#calls.size === 0) return { abandoned };
    const timer = this.#deps.timers.after(abandonAfterMs, () => {
      abandoned = this.#calls.size;
      for (const call of this.#calls.values()) call.abandon();
    });
    await new Promise<void>((resolve) => {
      this.#whenIdle = resolve;
    });
    timer.cancel();
    return { abandoned };
  }

  #refusal(assignment: ExecAssignment, key: string, target: CallTarget | undefined): RefusalReason | undefined {
    if (this.#isDraining) return 'draining';
    if (this.#calls.has(key) || this.#finished.has(key)) return 'duplicate';
    if (assignment.job.type !== 'ai.chat') return 'unknown_job_type';
    if (target === undefined) return 'unsupported_provider';
    // Translation between dialects is not built: only a provider of the caller's own dialect can serve it.
    if (assignment.dialect !== target.provider.dialect || assignment.job.payload === undefined)
      return 'invalid_request';
    if (this.slots.isFull) return 'queue_full';
    if (this.#wasCancelled(assignment.assignment_id, key)) return 'duplicate';
    return undefined;
  }

  #wasCancelled(assignmentId: string, key: string): boolean {
    return this.#cancelled.take(key) || this.#cancelled.take(keyOf(assignmentId, 0));
  }

  #start(assignment: ExecAssignment, key: string, target: CallTarget): void {
    const call = new Call(this.#callDeps, assignment, target);
    this.#calls.set(key, call);
    const { call_wait_ms: waitMs } = this.#deps.settings.queue;
    if (!this.slots.enter(call, Math.min(waitMs, assignment.options.deadline_ms / 2))) call.refuse();
  }

  #ended(call: Call, end: AttemptEnd, hadSlot: boolean): void {
    const key = keyOf(call.assignment.assignment_id, call.attempt);
    this.#calls.delete(key);
    this.#finished.set(key, true);
    this.#metrics.attempts.of('ai.chat', 'call', end.state).add();
    if (hadSlot) this.slots.release();
    if (this.#calls.size === 0) this.#whenIdle?.();
  }

  #ack(assignment: ExecAssignment, attempt: number): Omit<ExecAssignmentAck, 'status'> {
    return {
      version: '1',
      assignment_id: assignment.assignment_id,
      attempt,
      worker_id: this.#deps.settings.id,
      queue_depth: this.slots.queued,
    };
  }
}

const declareMetrics = ({ metrics }: Telemetry) => ({
  attempts: metrics.counter({
    name: 'worker_attempts_total',
    help: 'Attempts that ended, by how.',
    labels: ['type', 'mode', 'status'],
  }),
  rejections: metrics.counter({
    name: 'worker_rejections_total',
    help: 'Assignments refused.',
    labels: ['reason'],
  }),
  cancels: metrics.counter({
    name: 'worker_cancels_total',
    help: 'Calls cancelled.',
    labels: ['reason'],
  }),
});
