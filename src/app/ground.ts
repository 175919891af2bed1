// What every role of a process stands on: its configuration, one clock, one timer wheel, one log and one set of metrics.
import type { Config } from '../config/schema.ts';
import { systemClock } from '../core/clock.ts';
import { Timers } from '../core/timers.ts';
import { type LogSink, openLog } from '../telemetry/log.ts';
import { Metrics } from '../telemetry/metrics.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';

export interface Ground {
  readonly config: Config;
  readonly timers: Timers;
  readonly telemetry: Telemetry;
  /** Aborted when the end of the process is to wait for nobody. */
  readonly hurry?: AbortSignal | undefined;
}

export function openGround(config: Config, sink: LogSink, hurry?: AbortSignal): Ground {
  const telemetry: Telemetry = { log: openLog(config.log_level, sink), metrics: new Metrics() };
  const onFault = (fault: unknown): void => telemetry.log.error('timer_failed', { fault });
  return { config, telemetry, hurry, timers: new Timers(systemClock, { onFault }) };
}
