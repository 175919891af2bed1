// The counters of one route, resolved once per method and status: the request path only adds.
import type { Counter, Histogram } from '../telemetry/metrics.ts';
import type { EdgeMetrics } from './edge-metrics.ts';

interface OfMethod {
  readonly seconds: Histogram;
  readonly byStatus: Map<number, Counter>;
}

export class RouteCounters {
  /** The template, or `unrouted`. */
  readonly route: string;
  readonly #metrics: EdgeMetrics;
  readonly #methods = new Map<string, OfMethod>();

  constructor(metrics: EdgeMetrics, route: string) {
    this.#metrics = metrics;
    this.route = route;
  }

  observe(method: string, status: number, seconds: number): void {
    const own = this.#methods.get(method) ?? this.#declare(method);
    const counter = own.byStatus.get(status) ?? this.#counter(own, method, status);
    counter.add();
    own.seconds.observe(seconds);
  }

  #declare(method: string): OfMethod {
    const own = { seconds: this.#metrics.durationSeconds.of(method, this.route), byStatus: new Map<number, Counter>() };
    this.#methods.set(method, own);
    return own;
  }

  #counter(own: OfMethod, method: string, status: number): Counter {
    const counter = this.#metrics.requests.of(method, this.route, String(status));
    own.byStatus.set(status, counter);
    return counter;
  }
}
