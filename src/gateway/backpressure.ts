// Whether requests are taken at all: stage 10 of the pipeline (gateway 3, 8).
// A request reads one field and one count. Routers are asked beside the path, by one timer; while nobody answers, the
// count alone decides.
import type { BeamlineError } from '../core/errors.ts';
import type { Check } from '../core/health.ts';
import type { Timer, Timers } from '../core/timers.ts';
import type { Log } from '../telemetry/log.ts';
import type { Call } from './call.ts';
import type { EdgeMetrics } from './edge-metrics.ts';
import { overloaded } from './overload.ts';
import type { AskRouterLoad } from './router-load.ts';
import { isUnknown, type Level, nextLevel, NORMAL } from './sampled-level.ts';
import type { GatewaySettings } from './settings.ts';

const WORDS = ['normal', 'warning', 'active', 'unknown'] as const;
const ACTIVE = 2;
const UNKNOWN = 3;
const WARNING_SHARE = 0.8;

export interface BackpressureDeps {
  readonly timers: Timers;
  readonly log: Log;
  readonly metrics: Pick<EdgeMetrics, 'backpressure' | 'shed'>;
  readonly settings: GatewaySettings['backpressure'];
  readonly exchanges: { readonly active: number };
  /** Absent: nobody is asked. */
  readonly askRouterLoad?: AskRouterLoad | undefined;
}

export class Backpressure implements Disposable {
  readonly #deps: BackpressureDeps;
  #routers = NORMAL;
  #isActive = false;
  #timer: Timer | undefined;

  constructor(deps: BackpressureDeps) {
    this.#deps = deps;
    if (deps.askRouterLoad !== undefined) this.#arm(deps.askRouterLoad);
  }

  /** All routers say that nothing more may come: what would ask one of them is refused. */
  get isActive(): boolean {
    return this.#isActive;
  }

  /** Throws `service_overloaded` for an interactive request that finds no room. */
  admit(call: Call): void {
    if (this.#isActive) throw this.refusal(call);
    if (this.#deps.exchanges.active >= this.#deps.settings.max_in_flight) throw this.#refused(call, 'in_flight');
  }

  /** Of a call that would ask the routers. */
  refusal(call: Call): BeamlineError {
    return this.#refused(call, 'router');
  }

  /** For the page of health; it makes nobody unready. */
  check(): Check {
    const level = Math.max(this.#routers.level, this.#inFlight);
    if (level > 0) return { status: 'warn', message: WORDS[level] ?? 'active' };
    return { status: 'ok', message: isUnknown(this.#routers) ? 'unknown' : 'normal' };
  }

  /** Before the metrics are read. */
  show(): void {
    const { backpressure } = this.#deps.metrics;
    backpressure.of('router').set(this.#word);
    backpressure.of('in_flight').set(this.#inFlight);
  }

  [Symbol.dispose](): void {
    this.#timer?.cancel();
  }

  get #word(): number {
    return isUnknown(this.#routers) ? UNKNOWN : this.#routers.level;
  }

  get #inFlight(): Level {
    const { exchanges, settings } = this.#deps;
    if (exchanges.active >= settings.max_in_flight) return 2;
    return exchanges.active >= settings.max_in_flight * WARNING_SHARE ? 1 : 0;
  }

  #arm(ask: AskRouterLoad): void {
    this.#timer = this.#deps.timers.after(this.#deps.settings.sample_ms, () => {
      this.#arm(ask);
      void ask().then((sample) => this.#heard(sample));
    });
  }

  #heard(sample: Level | undefined): void {
    const before = this.#word;
    this.#routers = nextLevel(this.#routers, sample);
    this.#isActive = this.#routers.level === ACTIVE;
    const word = this.#word;
    if (word === before) return;
    this.#deps.log[word === 0 ? 'info' : 'warn']('gateway_backpressure', { source: 'router', state: WORDS[word] });
  }

  #refused(call: Call, reason: 'router' | 'in_flight'): BeamlineError {
    this.#deps.metrics.shed.of(reason, call.tenantId).add();
    return overloaded(call.requestId);
  }
}
