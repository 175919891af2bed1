// The workers that this router has heard, the ones that fell silent, and what that says of their pools.
// F1. A router that hears no worker at all knows nothing, and says of no pool that it cannot work: a fresh router can
//     serve at once, and one whose ear was cut off goes on.
import type { WorkerHeartbeat } from '../contracts/heartbeat.ts';
import type { SlotClass } from '../contracts/slot-class.ts';
import type { Timer, Timers } from '../core/timers.ts';
import { type FleetRoom, type Member, Pools } from './pools.ts';

/** Workers that are remembered; more would be a fault of the sender. */
const WORKERS_MAX = 10_000;

interface Heard {
  heardMs: number;
  member: Member | undefined;
}

export class Fleet implements Disposable {
  readonly #timers: Timers;
  readonly #lostMs: number;
  readonly #onLost: (workerId: string) => void;
  readonly #heard = new Map<string, Heard>();
  readonly #pools = new Pools();
  /** From when on pools are missed that were never heard of: by then each of their workers must have spoken. */
  #missesFromMs = Infinity;
  #timer: Timer | undefined;

  /** `onLost` hears each worker that was silent for `lostMs`, once. */
  constructor(timers: Timers, lostMs: number, onLost: (workerId: string) => void) {
    this.#timers = timers;
    this.#lostMs = lostMs;
    this.#onLost = onLost;
  }

  get size(): number {
    return this.#heard.size;
  }

  heard(beat: WorkerHeartbeat): void {
    const nowMs = this.#timers.clock.nowMs();
    const known = this.#heard.get(beat.worker_id);
    if (known === undefined && this.#heard.size >= WORKERS_MAX) return;
    if (this.#missesFromMs === Infinity) this.#missesFromMs = nowMs + this.#lostMs;
    const member = this.#pools.replace(known?.member, beat);
    if (beat.status === 'stopped') {
      this.#heard.delete(beat.worker_id);
      return;
    }
    if (known === undefined) this.#heard.set(beat.worker_id, { heardMs: nowMs, member });
    else Object.assign(known, { heardMs: nowMs, member });
    this.#timer ??= this.#arm();
  }

  /** False if no live worker of the pool takes interactive work (policy 4, filter 7). */
  hasCapacity(pool: string, nowMs: number): boolean {
    if (this.#missesFromMs === Infinity || this.#pools.takesWork(pool)) return true;
    return !this.#pools.isKnown(pool) && nowMs < this.#missesFromMs;
  }

  /** Whether it would have been heard by now, were it there. */
  isSilent(workerId: string, nowMs: number): boolean {
    return nowMs >= this.#missesFromMs && !this.#heard.has(workerId);
  }

  /** Share of its weight that a target of the pool keeps. */
  factor(pool: string): number {
    return this.#pools.factor(pool);
  }

  /** Attempts of the class that the pool's workers can run at once; 0 if nobody knows. */
  slots(pool: string, slotClass: SlotClass): number {
    return this.#pools.slots(pool, slotClass);
  }

  /** Of all pools, by the last heartbeats. */
  room(): FleetRoom {
    return this.#pools.room();
  }

  [Symbol.dispose](): void {
    this.#timer?.cancel();
  }

  #arm(): Timer {
    return this.#timers.after(this.#lostMs / 4, () => this.#sweep());
  }

  #sweep(): void {
    const oldestMs = this.#timers.clock.nowMs() - this.#lostMs;
    const lost: string[] = [];
    for (const [workerId, { heardMs, member }] of this.#heard) {
      if (heardMs > oldestMs) continue;
      this.#heard.delete(workerId);
      this.#pools.remove(member);
      lost.push(workerId);
    }
    if (lost.length > 0 && this.#heard.size === 0) this.#missesFromMs = Infinity;
    this.#timer = this.#heard.size > 0 ? this.#arm() : undefined;
    for (const workerId of lost) this.#onLost(workerId);
  }
}
