// Lets go of usage events that the database holds: the stream refuses when it is full, and its age limit is far too long for that.
// T1. Nothing that the consumer has not settled is let go where this process gave an event back: another ledger may have it.
// T2. Where other ledgers read too, nor what was folded only a minute ago: one may hold an event between those that this one had.
// T3. Where none does, what is folded goes soon: the stream is in the memory of this process, and in its journal.
import type { Bus } from '../bus/bus.ts';
import { ledgerUsage, usageStream } from '../contracts/streams.ts';
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
/** Of the only ledger, between two looks: a seventh of what a stream in memory holds, which counts an event as 3.6 KB at most. */
const ALONE_COUNT = 10_000;

interface Mark {
  readonly atMs: number;
  readonly seq: number;
}

export interface StreamTrimDeps {
  readonly bus: Bus;
  readonly timers: Timers;
  readonly log: Log;
  /** No other ledger reads the stream. */
  readonly isAlone: boolean;
}

export class StreamTrim implements Disposable {
  readonly #deps: StreamTrimDeps;
  #marks: readonly Mark[] = [];
  #folded = 0;
  #lookedAt = 0;
  #lowestRefused = Number.POSITIVE_INFINITY;
  #timer: Timer;

  constructor(deps: StreamTrimDeps) {
    this.#deps = deps;
    this.#timer = this.#next();
  }

  folded(seq: number): void {
    this.#folded = Math.max(this.#folded, seq);
    if (this.#deps.isAlone && this.#folded - this.#lookedAt >= ALONE_COUNT) void this.trim();
  }

  /** It comes again, and must be there until it is settled. */
  refused(seq: number): void {
    this.#lowestRefused = Math.min(this.#lowestRefused, seq);
  }

  /** Lets go of what need not be kept; never rejects. */
  async trim(): Promise<void> {
    const { bus, log } = this.#deps;
    this.#lookedAt = this.#folded;
    try {
      const below = await this.#below();
      if (below > 1) await bus.trim(usageStream, below);
    } catch (fault) {
      // Tried again soon.
      if (BeamlineError.from(fault).code !== 'unavailable') log.error('usage_trim_failed', { fault });
    }
  }

  [Symbol.dispose](): void {
    this.#timer.cancel();
  }

  async #below(): Promise<number> {
    const { bus, isAlone } = this.#deps;
    const below = isAlone ? this.#folded + 1 : this.#old();
    if (!isAlone && this.#lowestRefused > below) return below;
    const { settledSeq } = await bus.progress(usageStream, ledgerUsage);
    if (settledSeq >= this.#lowestRefused) this.#lowestRefused = Number.POSITIVE_INFINITY;
    return Math.min(below, settledSeq + 1);
  }

  /** What was folded an hour ago, or a minute ago if there is much. */
  #old(): number {
    const nowMs = this.#deps.timers.clock.nowMs();
    this.#marks = [...this.#marks, { atMs: nowMs, seq: this.#folded }].filter(({ atMs }) => atMs > nowMs - 2 * KEEP_MS);
    return Math.max(this.#at(nowMs - KEEP_MS), Math.min(this.#at(nowMs - SETTLED_MS), this.#folded - KEEP_COUNT));
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
