// Looks at a worker's load once a second and tells when its level changes (worker 8).
import { totalmem } from 'node:os';
import { LoopLag } from '../core/loop-lag.ts';
import type { Timer, Timers } from '../core/timers.ts';
import { levelOf, type Load, nextLoad, noLoad, type OverloadLevel } from './overload.ts';

const EVERY_MS = 1_000;

/** What a machine does to a worker; a test plays it by hand. */
export interface Measured extends Disposable {
  lagMs(): number;
  /** Resident memory as a share of what the process may have. */
  memoryShare(): number;
}

export function measure(timers: Timers): Measured {
  const lag = new LoopLag(timers);
  const constrained = process.constrainedMemory();
  const total = totalmem();
  // Without a limit of its own a process has the machine's.
  const limit = constrained > 0 && constrained < total ? constrained : total;
  return {
    lagMs: () => lag.p99Ms,
    memoryShare: () => process.memoryUsage.rss() / limit,
    [Symbol.dispose]: () => lag[Symbol.dispose](),
  };
}

export interface OverloadWatchDeps {
  readonly timers: Timers;
  readonly measured: Measured;
  /** Of the fullest class. */
  readonly queueShare: () => number;
}

type OnLook = (level: OverloadLevel, isChanged: boolean) => void;

export class OverloadWatch implements Disposable {
  readonly #deps: OverloadWatchDeps;
  #load: Load = noLoad;
  #timer: Timer | undefined;
  #lookedMs: number;

  constructor(deps: OverloadWatchDeps) {
    this.#deps = deps;
    this.#lookedMs = deps.timers.clock.nowMs();
  }

  /** Since the event loop last turned; within a second or so while nothing holds it up. */
  get silentMs(): number {
    return this.#deps.timers.clock.nowMs() - this.#lookedMs;
  }

  get level(): OverloadLevel {
    return levelOf(this.#load);
  }

  /** Calls back after each look. */
  begin(onLook: OnLook): void {
    this.#timer = this.#deps.timers.after(EVERY_MS, () => this.#look(onLook));
  }

  [Symbol.dispose](): void {
    this.#timer?.cancel();
    this.#deps.measured[Symbol.dispose]();
  }

  #look(onLook: OnLook): void {
    const { measured, queueShare } = this.#deps;
    this.begin(onLook);
    this.#lookedMs = this.#deps.timers.clock.nowMs();
    const before = this.#load.level;
    const sample = { queueShare: queueShare(), lagMs: measured.lagMs(), memoryShare: measured.memoryShare() };
    this.#load = nextLoad(this.#load, sample);
    onLook(this.level, this.#load.level !== before);
  }
}
