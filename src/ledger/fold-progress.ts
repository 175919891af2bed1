// How far the tables are with everything that was reported, wherever it waits: in the stream of results, with a router, in
// the stream of usage, with this ledger or another one.
// W1. Every result that was stored before `untilMs` has its row. A cut is taken: how long both streams are now. When all
//     results up to it are settled, their events are in the stream of usage, and when those are settled, in the tables.
// W2. While a stream cannot be asked, or anything before the cut waits, the moment stands still.
// What a worker could not store yet is in neither: whoever holds a lease waits some seconds longer for it.
import type { Bus, Progress } from '../bus/bus.ts';
import { ledgerUsage, resultStream, routerResults, usageStream } from '../contracts/streams.ts';
import { BeamlineError } from '../core/errors.ts';
import type { Timer, Timers } from '../core/timers.ts';
import type { Log } from '../telemetry/log.ts';

const LOOK_MS = 1_000;

/** `seq` of the stream that is waited for, as long as it was when the cut came to it. */
interface Cut {
  readonly atMs: number;
  readonly stream: 'results' | 'usage';
  readonly seq: number;
}

export interface FoldProgressDeps {
  readonly bus: Bus;
  readonly timers: Timers;
  readonly log: Log;
}

export class FoldProgress implements Disposable {
  readonly #deps: FoldProgressDeps;
  #cut: Cut | undefined;
  #untilMs: number | undefined;
  #oldestAtMs: number | undefined;
  #timer: Timer | undefined;
  #isClosed = false;
  #isFailing = false;

  constructor(deps: FoldProgressDeps) {
    this.#deps = deps;
  }

  /** Epoch moment; undefined while nobody could say. */
  get untilMs(): number | undefined {
    return this.#untilMs;
  }

  /** Age of the oldest event that is stored and not folded. */
  get lagMs(): number {
    return this.#oldestAtMs === undefined ? 0 : Math.max(0, this.#deps.timers.clock.epochMs() - this.#oldestAtMs);
  }

  /** Looks now, and then again and again. */
  async start(): Promise<void> {
    await this.look().catch((fault: unknown) => this.#failed(fault));
    if (!this.#isClosed) this.#timer = this.#deps.timers.after(LOOK_MS, () => void this.start());
  }

  /** Once. Throws `unavailable`. */
  async look(): Promise<void> {
    const { bus, timers } = this.#deps;
    const atMs = timers.clock.epochMs();
    const results = await bus.progress(resultStream, routerResults).catch(nothingStored);
    // After it, so that the events of all results that are settled are in what it tells.
    const usage = await bus.progress(usageStream, ledgerUsage);
    this.#isFailing = false;
    this.#oldestAtMs = usage.oldestAtMs;
    this.#reached(results, usage);
    if (this.#cut !== undefined) return;
    this.#cut = { atMs, stream: 'results', seq: results.lastSeq };
    this.#reached(results, usage);
  }

  [Symbol.dispose](): void {
    this.#isClosed = true;
    this.#timer?.cancel();
  }

  #reached(results: Progress, usage: Progress): void {
    if (this.#cut?.stream === 'results' && results.settledSeq >= this.#cut.seq) {
      this.#cut = { atMs: this.#cut.atMs, stream: 'usage', seq: usage.lastSeq };
    }
    if (this.#cut?.stream === 'usage' && usage.settledSeq >= this.#cut.seq) {
      this.#untilMs = this.#cut.atMs;
      this.#cut = undefined;
    }
  }

  #failed(fault: unknown): void {
    if (!this.#isFailing) this.#deps.log.warn('fold_progress_unknown', { fault });
    this.#isFailing = true;
  }
}

/** No router has started yet. */
function nothingStored(fault: unknown): Progress {
  if (fault instanceof BeamlineError && fault.details['reason'] === 'no_stream') {
    return { lastSeq: 0, settledSeq: 0, oldestAtMs: undefined };
  }
  throw fault;
}
