// Lets go of usage events that the database holds: the stream refuses when it is full, and its age limit is far too long for that.
// T1. Nothing above the lowest event that this process gave back is let go, nor what was folded only a minute ago: another
//     ledger may hold an event between those that this one had.
import type { Bus } from '../bus/bus.ts';
import { usageStream } from '../contracts/streams.ts';
import { BeamlineError } from '../core/errors.ts';
import type { Timer, Timers } from '../core/timers.ts';
import type { Log } from '../telemetry/log.ts';

const EVERY_MS = 30_000;
/** Twice the ack wait of the consumer. */
const SETTLED_MS = 60_000;
/** Kept for whoever wants to look at them. */
const KEEP_MS = 3_600_000;
/** Or fewer: at 700 bytes an event this is a third of the stream's limit. */
const KEEP_COUNT = 500_000;

interface Mark {
  readonly atMs: number;
  readonly seq: number;
}

export class StreamTrim implements Disposable {
  readonly #deps: { readonly bus: Bus; readonly timers: Timers; readonly log: Log };
  #marks: readonly Mark[] = [];
  #folded = 0;
  #lowestRefused = Number.POSITIVE_INFINITY;
  #timer: Timer;

  constructor(deps: { readonly bus: Bus; readonly timers: Timers; readonly log: Log }) {
    this.#deps = deps;
    this.#timer = this.#next();
  }

  folded(seq: number): void {
    this.#folded = Math.max(this.#folded, seq);
  }

  /** It comes again, and must be there until it is settled; that is not followed, so nothing above it is let go any more. */
  refused(seq: number): void {
    this.#lowestRefused = Math.min(this.#lowestRefused, seq);
  }

  /** Lets go of what is old enough; the timer calls it. */
  async trim(): Promise<void> {
    const { bus, timers, log } = this.#deps;
    const nowMs = timers.clock.nowMs();
    this.#marks = [...this.#marks, { atMs: nowMs, seq: this.#folded }].filter(({ atMs }) => atMs > nowMs - 2 * KEEP_MS);
    const below = Math.min(
      Math.max(this.#at(nowMs - KEEP_MS), Math.min(this.#at(nowMs - SETTLED_MS), this.#folded - KEEP_COUNT)),
      this.#lowestRefused,
    );
    if (below <= 1) return;
    try {
      await bus.trim(usageStream, below);
    } catch (fault) {
      // Tried again soon.
      if (BeamlineError.from(fault).code !== 'unavailable') log.error('usage_trim_failed', { fault });
    }
  }

  [Symbol.dispose](): void {
    this.#timer.cancel();
  }

  /** The highest sequence that was folded by then. */
  #at(ms: number): number {
    return this.#marks.findLast(({ atMs }) => atMs <= ms)?.seq ?? 0;
  }

  #next(): Timer {
    return this.#deps.timers.after(EVERY_MS, () => {
      this.#timer = this.#next();
      void this.trim();
    });
  }
}
