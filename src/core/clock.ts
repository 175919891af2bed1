// The only file that knows the time. Deadlines use the monotonic clock; messages carry the epoch.

export interface Clock {
  /** Milliseconds on a monotonic clock with an arbitrary start. */
  nowMs(): number;
  /** Milliseconds since the Unix epoch, an integer. */
  epochMs(): number;
}

// The global is an accessor: it is asked once.
const { performance } = globalThis;

export const systemClock: Clock = {
  nowMs: () => performance.now(),
  epochMs: () => Date.now(),
};

/** A clock moved by hand. */
export class ManualClock implements Clock {
  #nowMs = 0;
  #startEpochMs: number;

  constructor(startEpochMs = 0) {
    this.#startEpochMs = startEpochMs;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  epochMs(): number {
    return this.#startEpochMs + this.#nowMs;
  }

  advance(ms: number): void {
    this.#nowMs += ms;
  }

  /** Somebody sets the wall clock; the monotonic one goes on. */
  set(epochMs: number): void {
    this.#startEpochMs = epochMs - this.#nowMs;
  }
}
