// Whether the database takes writes in time (worker 15): what is folded shows it, and while nothing is folded a row that is
// written as it is.
import type { Timer, Timers } from '../core/timers.ts';
import type { SqlStore } from '../store/sql.ts';
import type { Log } from '../telemetry/log.ts';

/** Between the last proof and the next write. */
const EVERY_MS = 5_000;
/** A write that takes longer is none (worker 15). */
const WRITE_MAX_MS = 1_000;
const WRITE = 'UPDATE schema_migrations SET applied_at = applied_at WHERE id = 1';

export interface ProbeDeps {
  readonly store: SqlStore;
  readonly timers: Timers;
  readonly log: Log;
  /** The tables are there. */
  readonly isThere: () => boolean;
}

export class DatabaseProbe implements AsyncDisposable {
  readonly #deps: ProbeDeps;
  #timer: Timer | undefined;
  #writing: Promise<void> | undefined;
  #writingSinceMs = 0;
  #provedMs: number;
  #fault: string | undefined;
  #isClosed = false;

  constructor(deps: ProbeDeps) {
    this.#deps = deps;
    this.#provedMs = deps.timers.clock.nowMs();
    this.#arm();
  }

  /** A commit went through. */
  proved(): void {
    this.#provedMs = this.#deps.timers.clock.nowMs();
    this.#fault = undefined;
  }

  /** What is wrong with writes; undefined while they go through. */
  get fault(): string | undefined {
    if (this.#fault !== undefined || this.#writing === undefined) return this.#fault;
    const isLate = this.#deps.timers.clock.nowMs() - this.#writingSinceMs > WRITE_MAX_MS;
    return isLate ? SLOW : undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    this.#timer?.cancel();
    await this.#writing;
  }

  #arm(): void {
    if (!this.#isClosed) this.#timer = this.#deps.timers.after(WRITE_MAX_MS, () => this.#look());
  }

  #look(): void {
    this.#arm();
    const { timers, isThere } = this.#deps;
    const isProved = this.#fault === undefined && timers.clock.nowMs() - this.#provedMs < EVERY_MS;
    if (isProved || this.#writing !== undefined || !isThere()) return;
    this.#writingSinceMs = timers.clock.nowMs();
    this.#writing = this.#write().finally(() => {
      this.#writing = undefined;
    });
  }

  async #write(): Promise<void> {
    const { store, timers, log } = this.#deps;
    try {
      await store.run(WRITE);
      if (timers.clock.nowMs() - this.#writingSinceMs > WRITE_MAX_MS) this.#fault = SLOW;
      else this.proved();
    } catch (fault) {
      if (this.#fault !== REFUSED) log.warn('ledger_write_probe_failed', { fault });
      this.#fault = REFUSED;
    }
  }
}

const SLOW = 'does not write within a second';
const REFUSED = 'takes no writes';
