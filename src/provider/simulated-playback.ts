// Plays the moments of a simulated answer: at once where nothing waits, with one entry of the wheel where something does.
import type { Timer, Timers } from '../core/timers.ts';
import type { SimulatedStep } from './simulated-answer.ts';

/** Steps are played in order until the last one or `stop`. */
export class SimulatedPlayback {
  readonly #timers: Timers;
  readonly #steps: readonly SimulatedStep[];
  readonly #onStep: (step: SimulatedStep) => void;
  readonly #startMs: number;
  #next = 0;
  #timer: Timer | undefined;

  constructor(timers: Timers, steps: readonly SimulatedStep[], onStep: (step: SimulatedStep) => void) {
    this.#timers = timers;
    this.#steps = steps;
    this.#onStep = onStep;
    this.#startMs = timers.clock.nowMs();
  }

  run(): void {
    let passedMs = 0;
    for (let step = this.#steps[this.#next]; step !== undefined; step = this.#steps[this.#next]) {
      if (step.atMs > passedMs) passedMs = this.#timers.clock.nowMs() - this.#startMs;
      if (step.atMs > passedMs) {
        this.#timer = this.#timers.at(this.#startMs + step.atMs, () => this.run());
        return;
      }
      this.#next++;
      this.#onStep(step);
    }
  }

  stop(): void {
    this.#next = this.#steps.length;
    this.#timer?.cancel();
  }
}
