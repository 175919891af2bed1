// Hears that a worker has an attempt of a job, and writes it if the attempt still runs a moment later: a short job costs
// no write for it. A hint: what is not heard, or not written in time, is only shown late.
import type { Bus, Subscription } from '../../bus/bus.ts';
import { type ExecAssignmentAck, execAssignAck } from '../../contracts/assignment.ts';
import { at } from '../../contracts/contract.ts';
import { isJobAssignment } from '../../contracts/job.ts';
import { DEADLINE_MAX_MS } from '../../contracts/limits.ts';
import { LiveMap } from '../../core/live-map.ts';
import type { Timer, Timers } from '../../core/timers.ts';
import type { Telemetry } from '../../telemetry/telemetry.ts';
import { keptIn } from './job-history.ts';
import { accepted } from './job-state.ts';
import type { JobRef, JobStore } from './job-store.ts';
import type { Keeper } from './keeper.ts';

const STILL_MS = 250;
const PENDING_MAX = 10_000;
/** After the time of the attempt its result may still be on its way, from a worker that lost its link for a while. */
const RESULT_MS = 60_000;

export interface AcksDeps {
  readonly bus: Bus;
  readonly timers: Timers;
  readonly telemetry: Telemetry;
  readonly store: JobStore;
  readonly keeper: Keeper;
}

export class Acks implements AsyncDisposable {
  readonly #deps: AcksDeps;
  readonly #pending = new LiveMap<Timer>();
  readonly #subscription: Subscription;

  constructor(deps: AcksDeps) {
    this.#deps = deps;
    this.#subscription = deps.bus.subscribe(at(execAssignAck), { queue: 'router' }, (ack) => this.#heard(ack));
  }

  /** The attempt has ended: nothing is left to write. */
  ended(assignmentId: string): void {
    this.#pending.get(assignmentId)?.cancel();
    this.#pending.delete(assignmentId);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#subscription.drain();
    for (const timer of this.#pending.values()) timer.cancel();
    this.#pending.clear();
  }

  /** A result follows a refusal. */
  #heard(ack: ExecAssignmentAck): void {
    const { status, tenant_id: tenantId, assignment_id: assignmentId } = ack;
    if (status !== 'accepted' || tenantId === undefined || !isJobAssignment(assignmentId)) return;
    if (this.#pending.size >= PENDING_MAX) return;
    this.ended(assignmentId);
    const write = (): void => {
      this.#pending.delete(assignmentId);
      this.#write({ tenantId, assignmentId }, ack).catch((fault: unknown) =>
        this.#deps.telemetry.log.warn('job_ack_not_written', { assignment_id: assignmentId, fault }),
      );
    };
    this.#pending.set(assignmentId, this.#deps.timers.after(STILL_MS, write));
  }

  async #write(ref: JobRef, { attempt = 1, worker_id: workerId }: ExecAssignmentAck): Promise<void> {
    const { store, keeper, timers } = this.#deps;
    const changed = await store.change(ref, ({ state, request }) => {
      if (state === undefined) return undefined;
      const nowMs = timers.clock.epochMs();
      const attemptMs = keptIn(state)?.deadline_ms ?? DEADLINE_MAX_MS;
      const dueAtMs = Math.min(request.expires_at_ms, nowMs + attemptMs + RESULT_MS);
      return accepted(state, { attempt, workerId, dueAtMs }, nowMs);
    });
    // It is due at another moment now.
    if (changed?.isChanged === true) keeper.look(ref);
  }
}
