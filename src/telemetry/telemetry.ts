// The facade that roles get: a log and metrics.
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';

export interface Telemetry {
  readonly log: Log;
  readonly metrics: Metrics;
}
