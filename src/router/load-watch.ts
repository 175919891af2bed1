// Looks at the load of a router once a second, and tells in a gauge and in the log when its level changes.
import { LoopLag } from '../core/loop-lag.ts';
import type { Timer, Timers } from '../core/timers.ts';
import type { Gauge } from '../telemetry/metrics.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import type { FleetRoom } from './pools.ts';
import { levelOf, nextPressure, NO_PRESSURE, type PressureLevel, type Sample, type Thresholds } from './pressure.ts';
import type { ServedDecides } from './serve-decide.ts';

const LOOK_MS = 1_000;
/** Of the attempts that a router may own; above all of them it refuses. */
const IN_FLIGHT_SHARE = 0.9;
const THRESHOLDS = { queue_overload: 1_000, latency_overload_ms: 5_000, event_loop_lag_ms: 200 };
const GAUGE = { inactive: 0, warning: 1, active: 2 } as const;
const SEVERITY = { inactive: 'info', warning: 'warn', active: 'warn' } as const;

export interface LoadWatchDeps {
  readonly timers: Timers;
  readonly telemetry: Telemetry;
  readonly settings: { readonly id: string; readonly in_flight_max: number };
  readonly fleet: { room(): FleetRoom };
  readonly inFlight: { readonly size: number };
  readonly decides: Pick<ServedDecides, 'pending' | 'takeP95Ms'>;
}

export class LoadWatch implements Disposable {
  readonly thresholds: Thresholds;
  readonly #deps: LoadWatchDeps;
  readonly #lag: LoopLag;
  readonly #gauge: Gauge;
  #sample: Sample;
  #pressure = NO_PRESSURE;
  #timer: Timer;

  constructor(deps: LoadWatchDeps) {
    const { timers, telemetry, settings } = deps;
    this.#deps = deps;
    this.#lag = new LoopLag(timers);
    this.thresholds = {
      ...THRESHOLDS,
      inflight_overload: Math.max(1, Math.floor(settings.in_flight_max * IN_FLIGHT_SHARE)),
    };
    this.#gauge = telemetry.metrics
      .gauge({
        name: 'router_backpressure_state',
        help: 'How loaded the router is: 0 inactive, 1 warning, 2 active.',
      })
      .of();
    this.#sample = this.#measured();
    this.#timer = timers.after(LOOK_MS, this.#look);
  }

  /** What the last look found. */
  get sample(): Sample {
    return this.#sample;
  }

  get level(): PressureLevel {
    return levelOf(this.#pressure);
  }

  [Symbol.dispose](): void {
    this.#timer.cancel();
    this.#lag[Symbol.dispose]();
  }

  readonly #look = (): void => {
    const { timers, telemetry } = this.#deps;
    this.#timer = timers.after(LOOK_MS, this.#look);
    const before = this.level;
    this.#sample = this.#measured();
    this.#pressure = nextPressure(this.#pressure, this.#sample, this.thresholds);
    this.#gauge.set(GAUGE[this.level]);
    if (this.level !== before) telemetry.log[SEVERITY[this.level]]('router_backpressure', { state: this.level });
  };

  #measured(): Sample {
    const { fleet, inFlight, decides } = this.#deps;
    const { slotsFree, isFull } = fleet.room();
    const load = {
      pending_messages: decides.pending,
      latency_p95_ms: Math.round(decides.takeP95Ms()),
      inflight_messages: inFlight.size,
      event_loop_lag_ms: Math.round(this.#lag.p99Ms),
      worker_slots_free: slotsFree,
    };
    return { load, isFull };
  }
}
