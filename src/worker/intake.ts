// Accepts or refuses assignments, and keeps the calls that run.
// N1. An assignment and attempt is started at most once here; a repeat is refused as `duplicate`.
// N2. Accepted means: it ends with an outcome, whatever happens to slot, provider or deadline.
import type { ExecAssignment, ExecAssignmentAck, RefusalReason } from '../contracts/assignment.ts';
import type { Cancel } from '../contracts/cancel.ts';
import { afterOrHurried } from '../core/hurry.ts';
import { LiveMap } from '../core/live-map.ts';
import { RecentNumbers } from '../core/recent-numbers.ts';
import type { ProviderSide } from '../provider/provider.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import type { AttemptEnd } from './attempt-messages.ts';
import { attemptCounters } from './attempt-metrics.ts';
import { Call, type CallDeps, type CallTarget } from './call.ts';
import type { CancelMemory } from './cancel-memory.ts';
import { logRefusal } from './log-refusal.ts';
import type { OverloadLevel } from './overload.ts';
import type { ProviderMetrics } from './provider-metrics.ts';
import { isModelTask, type ModelTask, PROVIDER_SIDES, type ProviderTarget } from './provider-sides.ts';
import type { Slots } from './slots.ts';

/** Finished attempts that are still known, so that a repeat of one is refused. */
const FINISHED_MAX = 10_000;

export interface IntakeDeps extends Omit<CallDeps, 'onEnd'> {
  readonly telemetry: Telemetry;
  /** The provider that runs an assignment, or undefined when this worker does not have it. */
  readonly target: (providerId: string, model: string) => ProviderTarget | undefined;
  /** Shared with the jobs of this worker. */
  readonly slots: Slots;
  readonly cancelled: CancelMemory;
  readonly providerMetrics: ProviderMetrics;
  readonly level: () => OverloadLevel;
  /** Whether results can still be kept; false refuses new calls. */
  readonly hasOutboxRoom: () => boolean;
}

export class Intake {
  readonly #deps: IntakeDeps;
  readonly #callDeps: CallDeps;
  /** By assignment: at most one attempt of it runs here. */
  readonly #calls = new LiveMap<Call>();
  /** The highest attempt of an assignment that has ended here. */
  readonly #finished = new RecentNumbers(FINISHED_MAX);
  readonly #metrics: ReturnType<typeof declareMetrics>;
  #isDraining = false;
  #whenIdle: (() => void) | undefined;

  constructor(deps: IntakeDeps) {
    this.#deps = deps;
    this.#metrics = declareMetrics(deps.telemetry);
    this.#callDeps = {
      ...deps,
      onEnd: (call, end, hadSlot) => this.#ended(call, end, hadSlot),
    };
  }

  get running(): number {
    return this.#calls.size;
  }

  accept(assignment: ExecAssignment): ExecAssignmentAck {
    const { executor, job } = assignment;
    const found = this.#deps.target(executor.provider_id, executor.model ?? '');
    const side = found === undefined || !isModelTask(job.type) ? undefined : PROVIDER_SIDES[job.type](found.provider);
    const refusal = this.#refusal(assignment, found, side);
    if (refusal !== undefined) {
      this.#metrics.rejections.of(refusal).add();
      return { ...this.#ack(assignment, 'rejected'), reason: refusal };
    }
    if (found !== undefined && side !== undefined) this.#start(assignment, { ...found, provider: side });
    return this.#ack(assignment, 'accepted');
  }

  cancel({ assignment_id: assignmentId, tenant_id: tenantId, attempt, reason, delivered }: Cancel): void {
    const call = this.#calls.get(assignmentId);
    if (call === undefined) {
      // What comes after the end needs no memory; what comes before the start does.
      const isOver = attempt !== undefined && attempt <= (this.#finished.get(assignmentId) ?? 0);
      if (!isOver) this.#deps.cancelled.remember(assignmentId, attempt);
      return;
    }
    if (call.assignment.tenant_id !== tenantId || (attempt !== undefined && attempt !== call.attempt)) return;
    this.#metrics.cancels.of(reason).add();
    call.cancel(reason, delivered?.output_tokens ?? 0);
  }

  /** Takes nothing new, refuses the line, and resolves when the last running call has ended or was abandoned. */
  async drain(abandonAfterMs: number, hurry?: AbortSignal): Promise<{ readonly abandoned: number }> {
    this.#isDraining = true;
    this.#deps.slots.clear();
    // Nobody waits for a copy.
    for (const call of this.#calls.values()) if (call.assignment.shadow === true) call.cancel('shutdown', 0);
    let abandoned = 0;
    if (this.#calls.size === 0) return { abandoned };
    const timer = afterOrHurried(this.#deps.timers, abandonAfterMs, hurry, () => {
      abandoned = this.#calls.size;
      for (const call of this.#calls.values()) call.abandon();
    });
    await new Promise<void>((resolve) => {
      this.#whenIdle = resolve;
    });
    timer.cancel();
    return { abandoned };
  }

  #refusal(
    assignment: ExecAssignment,
    found: ProviderTarget | undefined,
    side: ProviderSide | undefined,
  ): RefusalReason | undefined {
    const { assignment_id: id, attempt = 1 } = assignment;
    if (this.#isDraining) return 'draining';
    if (attempt <= (this.#calls.get(id)?.attempt ?? this.#finished.get(id) ?? 0)) return 'duplicate';
    if (!isModelTask(assignment.job.type)) return 'unknown_job_type';
    if (found === undefined) return 'unsupported_provider';
    // Translation between dialects is not built: only a provider of the caller's own dialect can serve it.
    if (side === undefined || assignment.dialect !== side.dialect) return 'invalid_request';
    if (assignment.job.payload === undefined) return 'invalid_request';
    if (!this.#hasRoomFor(assignment)) return 'queue_full';
    if (this.#deps.cancelled.has(id, attempt)) return 'duplicate';
    return undefined;
  }

  /** A shadow takes a free place or none, and none at all while this worker is short of them. */
  #hasRoomFor({ tenant_id: tenantId, shadow }: ExecAssignment): boolean {
    const level = this.#deps.level();
    if (level === 'critical' || !this.#deps.hasOutboxRoom()) return false;
    if (shadow === true) return level !== 'overloaded' && this.#deps.slots.hasRoomFor(tenantId, false);
    return this.#deps.slots.hasRoomFor(tenantId, level !== 'overloaded');
  }

  #start(assignment: ExecAssignment, target: CallTarget): void {
    const call = new Call(this.#callDeps, assignment, target);
    // A router starts attempt n+1 only after the end of attempt n, or after it told that one to stop.
    const older = this.#calls.get(assignment.assignment_id);
    older?.cancel('superseded', 0);
    this.#calls.set(assignment.assignment_id, call);
    const { call_wait_ms: waitMs } = this.#deps.settings.queue;
    if (!this.#deps.slots.enter(call, Math.min(waitMs, assignment.options.deadline_ms / 2))) call.refuse();
  }

  #ended(call: Call, end: AttemptEnd, hadSlot: boolean): void {
    const { assignment_id: id } = call.assignment;
    if (this.#calls.get(id) === call) this.#calls.delete(id);
    this.#finished.replace(id, call.attempt);
    this.#count(call, end);
    logRefusal(this.#deps.telemetry.log, call.assignment, end);
    if (hadSlot) this.#deps.slots.release(call);
    // However it ended, it gets no place any more.
    else this.#deps.slots.leave(call);
    if (this.#calls.size === 0) this.#whenIdle?.();
  }

  #count({ assignment, receivedMs, startedMs, firstContentMs }: Call, end: AttemptEnd): void {
    const nowMs = this.#deps.timers.clock.nowMs();
    const { type } = assignment.job;
    if (isModelTask(type)) this.#metrics.ended[type](end, (nowMs - receivedMs) / 1_000);
    if (startedMs === undefined) return;
    const { provider_id: provider, model = '-' } = assignment.executor;
    this.#deps.providerMetrics.ended({
      provider,
      model,
      state: end.state,
      usage: end.usage,
      ranMs: nowMs - startedMs,
      firstChunkMs: firstContentMs === undefined ? undefined : Math.max(0, receivedMs + firstContentMs - startedMs),
    });
  }

  #ack(assignment: ExecAssignment, status: ExecAssignmentAck['status']): ExecAssignmentAck {
    return {
      version: '1',
      assignment_id: assignment.assignment_id,
      status,
      attempt: assignment.attempt ?? 1,
      worker_id: this.#deps.settings.id,
      queue_depth: this.#deps.slots.queued,
      overload_status: this.#deps.level(),
    };
  }
}

const declareMetrics = (telemetry: Telemetry) => {
  const { metrics } = telemetry;
  return {
    ended: {
      'ai.chat': attemptCounters(telemetry, 'ai.chat', 'call'),
      'ai.embed': attemptCounters(telemetry, 'ai.embed', 'call'),
    } satisfies Record<ModelTask, unknown>,
    rejections: metrics.counter({ name: 'worker_rejections_total', help: 'Assignments refused.', labels: ['reason'] }),
    cancels: metrics.counter({ name: 'worker_cancels_total', help: 'Calls cancelled.', labels: ['reason'] }),
  };
};
