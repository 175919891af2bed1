// Ends attempts and jobs: the state by compare-and-set first, then what follows from it. Each step can be repeated.
// E1. A job leaves the open ones only after its terminal state is stored.
// E2. A worker is told to stop only what the state says is out.
import type { Bus } from '../../bus/bus.ts';
import { tryPublish } from '../../bus/try-publish.ts';
import { cancel, type CancelReason } from '../../contracts/cancel.ts';
import { at } from '../../contracts/contract.ts';
import { isTerminal, type JobFailure, type JobState } from '../../contracts/job.ts';
import { DEADLINE_MIN_MS } from '../../contracts/limits.ts';
import type { Timers } from '../../core/timers.ts';
import type { Telemetry } from '../../telemetry/telemetry.ts';
import { statedFailure } from '../attempt-failure.ts';
import type { Approvals } from './approvals.ts';
import type { HeardEnd } from './heard-end.ts';
import { APPROVAL, dueOf } from './job-due.ts';
import { failureTold } from './job-follow.ts';
import type { JobMetrics } from './job-metrics.ts';
import type { JobPlaces } from './job-places.ts';
import type { Planner } from './job-plan.ts';
import {
  addedLate,
  attemptOut,
  begun,
  cancelAsked,
  ended,
  given,
  type Next,
  published,
  type PublishedAttempt,
  type TerminalStatus,
} from './job-state.ts';
import type { Changed, FoundJob, JobRef, JobStore } from './job-store.ts';
import type { Keeper } from './keeper.ts';
import type { Outstanding } from './outstanding.ts';
import type { Slots } from './slots.ts';

export interface EndingsDeps {
  readonly bus: Bus;
  readonly timers: Timers;
  readonly telemetry: Telemetry;
  readonly store: JobStore;
  readonly approvals: Approvals;
  readonly planner: Planner;
  readonly keeper: Keeper;
  readonly slots: Slots;
  readonly places: JobPlaces;
  readonly outstanding: Outstanding;
  readonly metrics: JobMetrics;
  /** A job failed because every worker that had it was lost. */
  readonly onPoison: (job: FoundJob) => Promise<void>;
}

const cancelTo = at(cancel);

export class Endings {
  readonly #deps: EndingsDeps;

  constructor(deps: EndingsDeps) {
    this.#deps = deps;
  }

  /** A worker told how the attempt ended; false for a job that is not there. Throws `unavailable`. */
  async attemptEnded(ref: JobRef, heard: HeardEnd): Promise<boolean> {
    this.#deps.places.ended(ref.assignmentId, heard.attempt);
    const error = heard.failure === undefined ? undefined : failureTold(heard.failure, heard.message);
    let isLate = false;
    const changed = await this.#deps.store.change(ref, (found) => {
      const { state: known = begun(found.request) } = found;
      const of = this.#unwritten(known, heard);
      const nowMs = this.#nowMs();
      isLate = isTerminal(known.status);
      if (isLate) {
        const end = { ...heard, attempt: known.attempt + 1, error };
        return of === undefined ? undefined : addedLate(known, { of, end }, nowMs);
      }
      // Its router died, or was slower than the worker.
      const state = (of === undefined ? undefined : published(known, of, nowMs)) ?? known;
      const end = { ...heard, attempt: heard.attempt ?? state.attempt, error };
      return ended(state, end, this.#next({ ...found, state }, heard), nowMs);
    });
    this.#recorded(changed, heard);
    if (changed !== undefined) await this.settle(ref, { ...changed, isChanged: changed.isChanged && !isLate });
    return changed !== undefined;
  }

  /** Nobody told how the attempt ended. */
  async lose(ref: JobRef): Promise<void> {
    const changed = await this.#deps.store.change(ref, (found) => {
      const { request, state } = found;
      const out = state === undefined ? undefined : attemptOut(state);
      if (state === undefined || out === undefined) return undefined;
      if (dueOf(request, state, this.#nowMs()).kind !== 'lose') return undefined;
      this.#deps.places.ended(ref.assignmentId, out.attempt);
      const failure = statedFailure('WORKER_LOST');
      const message = 'no result came in time';
      const isUnclaimed = out.status === 'published';
      const next = this.#followed(found, { failure, message, isUnclaimed }, 'failed');
      const error = failureTold(failure, message);
      return ended(state, { attempt: out.attempt, status: 'lost', error }, next, this.#nowMs());
    });
    if (changed === undefined) return;
    this.#recorded(changed);
    const last = changed.state?.attempts.at(-1);
    if (changed.isChanged && last !== undefined) this.stop(ref, last.attempt, 'superseded');
    await this.settle(ref, changed);
  }

  /** The time of the job is over. */
  async expire(ref: JobRef): Promise<void> {
    const failure = statedFailure('CANCELLED_BY_TIMEOUT');
    await this.give(ref, 'timed_out', failureTold(failure, 'the time of the job is over', 'deadline_exceeded'));
  }

  /** Ends a job that no attempt can help. */
  async give(ref: JobRef, status: TerminalStatus, error: JobFailure): Promise<void> {
    let out: number | undefined;
    const changed = await this.#deps.store.change(ref, ({ request, state = begun(request) }) => {
      out = attemptOut(state)?.attempt;
      return given(state, status, error, this.#nowMs());
    });
    if (changed?.isChanged === true && out !== undefined) {
      this.#recorded(changed);
      this.stop(ref, out, 'deadline');
    }
    if (changed !== undefined) await this.settle(ref, changed);
  }

  /** Somebody wants no result; undefined for a job that is not there. */
  async cancel(ref: JobRef): Promise<Changed | undefined> {
    const changed = await this.#deps.store.change(ref, ({ request, state = begun(request) }) =>
      cancelAsked(state, 'client_cancel', this.#nowMs()),
    );
    if (changed === undefined) return undefined;
    const out = changed.state === undefined ? undefined : attemptOut(changed.state);
    if (out !== undefined) this.stop(ref, out.attempt, 'client_cancel');
    await this.settle(ref, changed);
    return changed;
  }

  /** What follows from a state that was stored, by this step or by one that died after it. */
  async settle(ref: JobRef, changed: Changed): Promise<void> {
    const { store, keeper, slots, places, outstanding, metrics, approvals, onPoison } = this.#deps;
    const { state, request, isChanged } = changed;
    if (state === undefined) return;
    if (attemptOut(state) === undefined) {
      slots.free(ref.assignmentId);
      places.leave(ref.assignmentId);
    }
    if (isTerminal(state.status)) places.waitNoMore(ref.assignmentId);
    if (!isTerminal(state.status)) {
      if (state.next_at_ms === undefined) return;
      if (state.next_at_ms <= this.#nowMs()) keeper.look(ref);
      else keeper.wakeAt(ref, state.next_at_ms);
      return;
    }
    if (isChanged) {
      metrics.ended(state);
      outstanding.closed(ref.tenantId);
      this.#told(state);
    }
    if (request.request.task.type === APPROVAL && state.status !== 'succeeded') await approvals.cancel(ref);
    if (state.status === 'failed' && state.error?.error_code === 'WORKER_LOST') await onPoison(changed);
    await store.close(ref);
    keeper.forget(ref);
  }

  /** Tells whoever runs the attempt to stop. Without a connection nobody hears it, and the deadline does the same. */
  stop({ tenantId, assignmentId }: JobRef, attempt: number, reason: CancelReason): void {
    const { bus, telemetry } = this.#deps;
    const message = {
      version: '2' as const,
      tenant_id: tenantId,
      assignment_id: assignmentId,
      attempt,
      requested_at_ms: this.#nowMs(),
      reason,
    };
    const fault = tryPublish(bus, cancelTo, message, { tenantId, traceId: '-' });
    if (fault !== undefined) {
      telemetry.log.warn('job_cancel_not_sent', { tenant_id: tenantId, assignment_id: assignmentId, fault });
    }
  }

  /** The attempt that the result is of, where the state does not have it yet. */
  #unwritten(state: JobState, { attempt: heard, providerId, model }: HeardEnd): PublishedAttempt | undefined {
    const attempt = state.attempt + 1;
    if (heard !== attempt && !(heard === undefined && state.attempt === 0)) return undefined;
    return {
      attempt,
      providerId,
      model,
      pool: 'default',
      reason: 'unwritten',
      storedSeq: undefined,
      dueAtMs: this.#nowMs(),
      policy: undefined,
      history: undefined,
    };
  }

  #next(found: FoundJob, heard: HeardEnd): Next {
    const { failure, message, status } = heard;
    if (failure === undefined) return { kind: 'over', status: 'succeeded' };
    const isLate = found.request.expires_at_ms - this.#nowMs() < DEADLINE_MIN_MS;
    if (status === 'cancelled') {
      return { kind: 'over', status: isLate ? 'timed_out' : 'cancelled', error: failureTold(failure, message) };
    }
    return this.#followed(found, { failure, message }, status === 'timed_out' && isLate ? 'timed_out' : 'failed');
  }

  #followed(found: FoundJob, failed: Parameters<Planner['follow']>[1], otherwise: 'failed' | 'timed_out'): Next {
    const follow = this.#deps.planner.follow(found, failed);
    if (follow.kind === 'over') return { kind: 'over', status: otherwise, error: follow.error };
    return { kind: 'retry', atMs: Math.ceil(this.#nowMs() + follow.waitMs), history: follow.kept };
  }

  /** The attempt that ended is the last one. */
  #recorded(changed: Changed | undefined, heard?: HeardEnd): void {
    const last = changed?.state?.attempts.at(-1);
    if (changed?.isChanged === true && last !== undefined) this.#deps.planner.ended(changed.request, last, heard);
  }

  #told({ tenant_id, assignment_id, attempt, status, error }: JobState): void {
    const { log } = this.#deps.telemetry;
    log.info('job_ended', { tenant_id, assignment_id, attempt, state: status, code: error?.code });
  }

  #nowMs = (): number => this.#deps.timers.clock.epochMs();
}
