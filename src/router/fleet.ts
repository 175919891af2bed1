// The workers that this router has heard, and the ones that fell silent.
import type { WorkerHeartbeat } from '../contracts/heartbeat.ts';
import type { Timer, Timers } from '../core/timers.ts';

/** Workers that are remembered; more would be a fault of the sender. */
const WORKERS_MAX = 10_000;

export class Fleet implements Disposable {
  readonly #timers: Timers;
  readonly #lostMs: number;
  readonly #onLost: (workerId: string) => void;
  readonly #heardMs = new Map<string, number>();
  #timer: Timer | undefined;

  /** `onLost` hears each worker that was silent for `lostMs`, once. */
  constructor(timers: Timers, lostMs: number, onLost: (workerId: string) => void) {
    this.#timers = timers;
    this.#lostMs = lostMs;
    this.#onLost = onLost;
  }

  get size(): number {
    return this.#heardMs.size;
  }

  heard(beat: WorkerHeartbeat): void {
    if (beat.status === 'stopped') {
      this.#heardMs.delete(beat.worker_id);
      return;
    }
    if (this.#heardMs.size >= WORKERS_MAX && !this.#heardMs.has(beat.worker_id)) return;
    this.#heardMs.set(beat.worker_id, this.#timers.clock.nowMs());
    this.#timer ??= this.#arm();
  }

  [Symbol.dispose](): void {
    this.#timer?.cancel();
  }

  #arm(): Timer {
    return this.#timers.after(this.#lostMs / 4, () => this.#sweep());
  }

  #sweep(): void {
    const oldestMs = this.#timers.clock.nowMs() - this.#lostMs;
    for (const [workerId, heardMs] of this.#heardMs) {
      if (heardMs > oldestMs) continue;
      this.#heardMs.delete(workerId);
      this.#onLost(workerId);
    }
    this.#timer = this.#heardMs.size > 0 ? this.#arm() : undefined;
  }
}
