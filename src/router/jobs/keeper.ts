// The jobs that this router looks after: each is looked at when something is due for it, at most so many at a time.
// K1. Nothing is lost when it is forgotten here: the record says what is due, and a sweep finds it.
// K2. One job is looked at once at a time.
import { LiveMap } from '../../core/live-map.ts';
import type { Timer, Timers } from '../../core/timers.ts';
import type { Telemetry } from '../../telemetry/telemetry.ts';
import type { JobRef } from './job-store.ts';

const PARALLEL_MAX = 64;
/** Jobs that wait in memory; the others are found by a sweep. */
const KEPT_MAX = 20_000;
/** After a look that failed, for example without the bus. */
const AGAIN_MS = 5_000;

export interface Look extends JobRef {
  /** What another router has had for less than this is left to it. */
  readonly patienceMs: number;
  /** Since when it is open, from a sweep. */
  readonly openMs?: number;
}

export interface KeeperDeps {
  readonly timers: Timers;
  readonly telemetry: Telemetry;
  readonly onLook: (look: Look) => Promise<void>;
}

export class Keeper implements AsyncDisposable {
  readonly #deps: KeeperDeps;
  readonly #timers = new LiveMap<{ readonly timer: Timer; readonly dueMs: number }>();
  readonly #line = new Map<string, Look>();
  readonly #running = new Set<string>();
  #isClosed = false;
  #whenIdle: (() => void) | undefined;

  constructor(deps: KeeperDeps) {
    this.#deps = deps;
  }

  knows(assignmentId: string): boolean {
    return this.#timers.has(assignmentId) || this.#line.has(assignmentId) || this.#running.has(assignmentId);
  }

  /** Looks at the job soon. */
  look(job: JobRef & Partial<Look>): void {
    if (this.#isClosed) return;
    this.#cancel(job.assignmentId);
    this.#line.set(job.assignmentId, { ...job, patienceMs: job.patienceMs ?? 0 });
    this.#run();
  }

  /** Looks at the job at a moment of the epoch, or earlier if it is to be looked at earlier anyway. */
  wakeAt({ tenantId, assignmentId }: JobRef, epochMs: number): void {
    const { timers } = this.#deps;
    const dueMs = timers.clock.nowMs() + Math.max(0, epochMs - timers.clock.epochMs());
    if ((this.#timers.get(assignmentId)?.dueMs ?? Infinity) <= dueMs) return;
    this.#cancel(assignmentId);
    if (this.#isClosed || this.#timers.size >= KEPT_MAX) return;
    const wake = (): void => {
      this.#timers.delete(assignmentId);
      this.look({ tenantId, assignmentId });
    };
    this.#timers.set(assignmentId, { timer: timers.at(dueMs, wake), dueMs });
  }

  forget({ assignmentId }: JobRef): void {
    this.#cancel(assignmentId);
    this.#line.delete(assignmentId);
  }

  /** Stops looking and waits for the looks that run. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    for (const { timer } of this.#timers.values()) timer.cancel();
    this.#timers.clear();
    this.#line.clear();
    if (this.#running.size === 0) return;
    await new Promise<void>((resolve) => {
      this.#whenIdle = resolve;
    });
  }

  #run(): void {
    for (const [assignmentId, look] of this.#line) {
      if (this.#running.size >= PARALLEL_MAX) return;
      if (this.#running.has(assignmentId)) continue;
      this.#line.delete(assignmentId);
      this.#running.add(assignmentId);
      void this.#one(look);
    }
  }

  async #one(look: Look): Promise<void> {
    try {
      await this.#deps.onLook(look);
    } catch (fault) {
      const { tenantId: tenant_id, assignmentId: assignment_id } = look;
      this.#deps.telemetry.log.warn('job_look_failed', { tenant_id, assignment_id, fault });
      this.wakeAt(look, this.#deps.timers.clock.epochMs() + AGAIN_MS);
    } finally {
      this.#running.delete(look.assignmentId);
      if (this.#running.size === 0) this.#whenIdle?.();
      if (!this.#isClosed) this.#run();
    }
  }

  #cancel(assignmentId: string): void {
    this.#timers.get(assignmentId)?.timer.cancel();
    this.#timers.delete(assignmentId);
  }
}
