// How hard a router has it, from one look to the next (contracts 4.12): quick to say so, slow to take it back. Pure.
import type { RouterLoad } from '../contracts/backpressure.ts';

export type Load = RouterLoad['metrics'];
export type Thresholds = RouterLoad['thresholds'];
export type PressureLevel = Exclude<RouterLoad['status'], 'unknown'>;

/** One look, once a second. */
export interface Sample {
  readonly load: Load;
  /** There are workers, and all their lines are full. */
  readonly isFull: boolean;
}

/** Calm looks that each signal is away from being taken back; 0 for one that is not over its threshold. */
export interface Pressure {
  readonly queue: number;
  readonly latency: number;
  readonly inFlight: number;
  readonly lag: number;
  readonly workers: number;
}

export const NO_PRESSURE: Pressure = { queue: 0, latency: 0, inFlight: 0, lag: 0, workers: 0 };

/** A signal is taken back after so many looks in a row below this share of its threshold. */
const CALM_LOOKS = 3;
const CALM_SHARE = 0.5;
const RETRY_MAX_S = 30;
const RETRY_STEP = 10;

export function nextPressure(before: Pressure, sample: Sample, thresholds: Thresholds): Pressure {
  const shares = sharesOf(sample, thresholds);
  return {
    queue: next(before.queue, shares.queue),
    latency: next(before.latency, shares.latency),
    inFlight: next(before.inFlight, shares.inFlight),
    lag: next(before.lag, shares.lag),
    workers: next(before.workers, shares.workers),
  };
}

function next(left: number, share: number): number {
  if (share > 1) return CALM_LOOKS;
  if (left === 0) return 0;
  return share < CALM_SHARE ? left - 1 : CALM_LOOKS;
}

/** Above 1 where a threshold is passed. */
const sharesOf = ({ load, isFull }: Sample, thresholds: Thresholds): Pressure => ({
  queue: load.pending_messages / thresholds.queue_overload,
  latency: load.latency_p95_ms / thresholds.latency_overload_ms,
  inFlight: load.inflight_messages / thresholds.inflight_overload,
  lag: load.event_loop_lag_ms / thresholds.event_loop_lag_ms,
  workers: isFull && load.worker_slots_free === 0 ? 2 : 0,
});

export function levelOf(pressure: Pressure): PressureLevel {
  if (pressure.inFlight > 0 || pressure.workers > 0) return 'active';
  const over = [pressure.queue, pressure.latency, pressure.lag].filter((left) => left > 0).length;
  return over === 0 ? 'inactive' : over === 1 ? 'warning' : 'active';
}

/** Seconds after which it is worth to come back to a router that is active: one at its threshold, ten at twice that. */
export function retryAfterSeconds(sample: Sample, thresholds: Thresholds): number {
  const worst = Math.max(...Object.values(sharesOf(sample, thresholds)));
  return Math.min(RETRY_MAX_S, Math.max(1, Math.ceil((worst - 1) * RETRY_STEP)));
}
