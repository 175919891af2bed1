// Sends the heartbeat: on time, and at once when something changed or the bus is back.
import { availableParallelism } from 'node:os';
import type { Bus } from '../bus/bus.ts';
import { tryPublish } from '../bus/try-publish.ts';
import { at } from '../contracts/contract.ts';
import { workerHeartbeat, type WorkerHeartbeat } from '../contracts/heartbeat.ts';
import type { Timer, Timers } from '../core/timers.ts';
import type { Log } from '../telemetry/log.ts';
import type { WorkerStatus } from './heartbeat.ts';

export interface Beats {
  /** Tells the load of now. */
  beat(): void;
  /** Tells it if the status is no longer what was told. */
  look(): void;
  say(ending: 'draining' | 'stopped'): void;
  stop(): void;
}

export function startBeats(
  deps: {
    readonly bus: Bus;
    readonly timers: Timers;
    readonly log: Log;
    readonly everyMs: number;
    /** The status while it takes work. */
    readonly serving: () => WorkerStatus;
  },
  heartbeat: (status: WorkerStatus, cpuShare: number) => WorkerHeartbeat,
): Beats {
  const { bus, timers, log, everyMs, serving } = deps;
  const to = at(workerHeartbeat);
  let status = serving;
  let told: WorkerStatus | undefined;
  let used = process.cpuUsage();
  let sinceMs = timers.clock.nowMs();
  let timer: Timer | undefined;

  const beat = (): void => {
    timer?.cancel();
    const nowMs = timers.clock.nowMs();
    const { user, system } = process.cpuUsage(used);
    const cpuShare = (user + system) / 1000 / Math.max(1, nowMs - sinceMs) / availableParallelism();
    used = process.cpuUsage();
    sinceMs = nowMs;
    timer = timers.after(everyMs, beat);
    if (bus.state !== 'connected') return;
    told = status();
    const fault = tryPublish(bus, to, heartbeat(told, cpuShare));
    if (fault !== undefined) log.warn('heartbeat_not_sent', { state: told, fault });
  };
  const reconnected = bus.onState((state) => {
    if (state === 'connected') beat();
  });
  beat();
  return {
    beat,
    look() {
      if (status() !== told) beat();
    },
    say(ending) {
      status = () => ending;
      beat();
    },
    stop() {
      this.say('stopped');
      reconnected[Symbol.dispose]();
      timer?.cancel();
    },
  };
}
