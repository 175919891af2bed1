// One circuit breaker (policy 8): a state machine that is told the time and holds no timer.
// B1. An open one is half-open from the moment that its time is over, whenever somebody looks.
// B2. Results of attempts that were sent before the last transition are ignored, unless the attempt holds a permit.
// B3. A permit ends with its attempt or at the attempt's deadline, so none can leak; an ended one says nothing.
// Without settings it counts and does not open by itself: nobody relies on it yet. All times are of one monotonic clock.
import type { BreakerSettings } from './breaker-settings.ts';
import { SlidingCounts } from './sliding-counts.ts';

export type BreakerState = 'closed' | 'half_open' | 'open';
/** What an administrator wants: the rules above, or one state until `auto`. */
export type BreakerMode = 'auto' | 'force_open' | 'force_closed';

export type BreakerReason =
  | 'failure_threshold_exceeded'
  | 'error_rate_threshold_exceeded'
  | 'latency_threshold_exceeded'
  | 'timeout_elapsed'
  | 'success_threshold_met'
  | 'half_open_failure'
  | 'forced';

/** How one attempt ended. */
export interface BreakerResult {
  /** Names the attempt, as its permit does. */
  readonly key: string;
  readonly nowMs: number;
  readonly sentMs: number;
  readonly isFailure: boolean;
  /** Of a success: to the first chunk for streams, else in all. */
  readonly latencyMs: number;
}

/** Attempts whose permit ended before they did, and that are remembered. */
const LAPSED_MAX = 100;

const SAMPLES = 0;
const FAILURES = 1;
const SLOW = 2;
const KINDS = 3;
/** Of a breaker without settings: the default of policy 2. */
const WINDOW_SECONDS = 60;

export class Breaker {
  readonly #onMove: (to: BreakerState, reason: BreakerReason) => void;
  readonly #window = new SlidingCounts(KINDS, WINDOW_SECONDS);
  #settings: BreakerSettings | undefined;
  #state: BreakerState = 'closed';
  #sinceMs = -Infinity;
  #mode: BreakerMode = 'auto';
  /** Consecutive failures while closed, and successes while half-open. */
  #run = 0;
  /** When the permit of an attempt ends; undefined while none is given. */
  #permits: Map<string, number> | undefined;
  /** Attempts that went on after their permit had ended; undefined while there is none. */
  #lapsed: Set<string> | undefined;

  constructor(onMove: (to: BreakerState, reason: BreakerReason) => void) {
    this.#onMove = onMove;
  }

  get mode(): BreakerMode {
    return this.#mode;
  }

  state(nowMs: number): BreakerState {
    if (this.#state === 'open') this.#elapse(nowMs);
    return this.#state;
  }

  /** Share of failures in the window, 0 to 1. */
  errorRate(nowMs: number): number {
    const samples = this.#window.sum(SAMPLES, nowMs);
    return samples === 0 ? 0 : this.#window.sum(FAILURES, nowMs) / samples;
  }

  /** Goes on with these settings; what was counted may open it at once. Costs nothing if they are the same object. */
  configure(settings: BreakerSettings, nowMs: number): void {
    if (settings === this.#settings) return;
    this.#settings = settings;
    this.#window.resize(settings.windowSeconds, nowMs);
    this.#trip(nowMs);
  }

  /** Whether it would admit no attempt now. */
  refuses(nowMs: number): boolean {
    if (this.#state === 'closed') return false;
    const state = this.state(nowMs);
    return state === 'open' || (state === 'half_open' && this.#free(nowMs) <= 0);
  }

  /** Admits the attempt, with a permit until its deadline if the breaker is half-open; false: not now. */
  admit(key: string, nowMs: number, deadlineMs: number): boolean {
    if (this.refuses(nowMs)) return false;
    if (this.#state !== 'half_open') return true;
    (this.#permits ??= new Map()).set(key, deadlineMs);
    this.#lapsed?.delete(key);
    return true;
  }

  /** The attempt ended in a way that says nothing of the provider; nor does what is heard of it later. */
  release(key: string): void {
    if (this.#permits?.delete(key) !== true) return;
    const lapsed = (this.#lapsed ??= new Set());
    const [oldest] = lapsed;
    if (oldest !== undefined && lapsed.size >= LAPSED_MAX) lapsed.delete(oldest);
    lapsed.add(key);
  }

  record({ key, nowMs, sentMs, isFailure, latencyMs }: BreakerResult): void {
    if (this.#state === 'open') this.#elapse(nowMs);
    const permitMs = this.#permits?.get(key);
    const isProbe = permitMs !== undefined && permitMs > nowMs;
    if (isProbe) this.#permits?.delete(key);
    else this.release(key);
    if (this.#lapsed?.delete(key) === true) return;
    if (!isProbe && sentMs < this.#sinceMs) return;
    this.#window.add(SAMPLES, nowMs);
    if (isFailure) this.#window.add(FAILURES, nowMs);
    else if (this.#isSlow(latencyMs)) this.#window.add(SLOW, nowMs);
    if (this.#state === 'closed') {
      this.#run = isFailure ? this.#run + 1 : 0;
      this.#trip(nowMs);
    } else if (this.#state === 'half_open') this.#probed(isFailure, nowMs);
  }

  force(mode: BreakerMode, nowMs: number): void {
    this.state(nowMs);
    this.#mode = mode;
    if (mode === 'auto') {
      // What was due while it was held happens now, not in the past.
      if (this.#state === 'open' && nowMs >= this.#dueMs()) this.#move('half_open', 'timeout_elapsed', nowMs);
      return this.#trip(nowMs);
    }
    const to = mode === 'force_open' ? 'open' : 'closed';
    if (to !== this.#state) this.#move(to, 'forced', nowMs);
  }

  #probed(isFailure: boolean, nowMs: number): void {
    if (isFailure) return this.#move('open', 'half_open_failure', nowMs);
    this.#run++;
    if (this.#run >= (this.#settings?.successThreshold ?? 1)) this.#move('closed', 'success_threshold_met', nowMs);
  }

  #elapse(nowMs: number): void {
    const dueMs = this.#dueMs();
    if (this.#mode === 'auto' && nowMs >= dueMs) this.#move('half_open', 'timeout_elapsed', dueMs);
  }

  #dueMs(): number {
    return this.#sinceMs + (this.#settings?.openMs ?? 0);
  }

  #isSlow(latencyMs: number): boolean {
    const limitMs = this.#settings?.latencyMs ?? 0;
    return limitMs > 0 && latencyMs > limitMs;
  }

  /** Opens a closed one if what was counted is a reason to. */
  #trip(nowMs: number): void {
    if (this.#state !== 'closed' || this.#mode !== 'auto' || this.#settings === undefined) return;
    const reason = this.#fault(this.#settings, nowMs);
    if (reason !== undefined) this.#move('open', reason, nowMs);
  }

  #fault(settings: BreakerSettings, nowMs: number): BreakerReason | undefined {
    if (this.#run >= settings.failureThreshold) return 'failure_threshold_exceeded';
    const samples = this.#window.sum(SAMPLES, nowMs);
    if (samples < settings.samplesMin) return undefined;
    const failures = this.#window.sum(FAILURES, nowMs);
    if (failures > 0 && failures / samples >= settings.errorRate) return 'error_rate_threshold_exceeded';
    if (settings.latencyMs === 0) return undefined;
    // The p95 is above the limit if fewer than 95 of 100 answers are within it.
    const answers = samples - failures;
    const within = answers - this.#window.sum(SLOW, nowMs);
    return answers >= settings.samplesMin && within * 100 < answers * 95 ? 'latency_threshold_exceeded' : undefined;
  }

  /** Permits that can be given; those whose time is over are taken back first. */
  #free(nowMs: number): number {
    const max = this.#settings?.halfOpenMax ?? 1;
    if (this.#permits === undefined) return max;
    if (this.#permits.size >= max) {
      for (const [key, untilMs] of this.#permits) if (untilMs <= nowMs) this.release(key);
    }
    return max - this.#permits.size;
  }

  #move(to: BreakerState, reason: BreakerReason, atMs: number): void {
    this.#state = to;
    this.#sinceMs = atMs;
    this.#run = 0;
    this.#permits = undefined;
    this.#lapsed = undefined;
    this.#window.clear();
    this.#onMove(to, reason);
  }
}
