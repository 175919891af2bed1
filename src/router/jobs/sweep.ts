// Looks at the open jobs from time to time, and takes what nobody else moves: what a router that died has left, what did
// not fit into memory, and entries that were left behind.
// W1. It reads the `open` entries and the records of those that this router does not know, never the whole bucket.
import type { Timer, Timers } from '../../core/timers.ts';
import type { Telemetry } from '../../telemetry/telemetry.ts';
import type { JobStore, OpenJob } from './job-store.ts';
import type { JobPlaces } from './job-places.ts';
import type { Keeper } from './keeper.ts';
import type { Outstanding } from './outstanding.ts';
import type { Slots } from './slots.ts';

/** Jobs that one look takes. */
const ADOPTED_MAX = 20_000;

export interface SweepDeps {
  readonly timers: Timers;
  readonly telemetry: Telemetry;
  readonly sweepMs: number;
  readonly store: JobStore;
  readonly keeper: Keeper;
  readonly slots: Slots;
  readonly places: JobPlaces;
  readonly outstanding: Outstanding;
  /** In line or on its way. */
  readonly isDispatching: (assignmentId: string) => boolean;
}

export class Sweep implements AsyncDisposable {
  readonly #deps: SweepDeps;
  #timer: Timer | undefined;
  #running: Promise<void> = Promise.resolve();
  /** What is open when a router starts has nobody else, as far as it knows. */
  #isFirst = true;
  #from = 0;

  constructor(deps: SweepDeps) {
    this.#deps = deps;
  }

  /** Looks now, and then again and again. A look that fails is made up for by the next one. */
  start(): Promise<void> {
    this.#running = this.#look()
      .catch((fault: unknown) => this.#deps.telemetry.log.warn('job_sweep_failed', { fault }))
      .finally(() => {
        this.#timer = this.#deps.timers.after(this.#deps.sweepMs, () => void this.start());
      });
    return this.#running;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#timer?.cancel();
    await this.#running;
    this.#timer?.cancel();
  }

  async #look(): Promise<void> {
    const { store, keeper, slots, places, outstanding, isDispatching, sweepMs } = this.#deps;
    const open = await store.openJobs();
    const patienceMs = this.#isFirst ? 0 : sweepMs;
    this.#isFirst = false;
    outstanding.recount(open.map(({ tenantId }) => tenantId));
    const ids = new Set(open.map(({ assignmentId }) => assignmentId));
    slots.keepOnly(ids);
    places.keepOnly(ids);
    const strange = open.filter(({ assignmentId }) => !keeper.knows(assignmentId) && !isDispatching(assignmentId));
    for (const job of this.#some(strange)) keeper.look({ ...job, patienceMs, openMs: job.atMs });
  }

  /** Another part each time, so that none waits for the others. */
  #some(jobs: readonly OpenJob[]): readonly OpenJob[] {
    if (jobs.length <= ADOPTED_MAX) return jobs;
    const from = this.#from % jobs.length;
    this.#from = from + ADOPTED_MAX;
    return [...jobs.slice(from), ...jobs.slice(0, from)].slice(0, ADOPTED_MAX);
  }
}
