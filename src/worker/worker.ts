// The worker role: takes calls from its pool, runs them at providers, and says what became of them.
import { availableParallelism } from 'node:os';
import type { Bus } from '../bus/bus.ts';
import { at } from '../contracts/contract.ts';
import { cancel } from '../contracts/cancel.ts';
import { execCall } from '../contracts/assignment.ts';
import { workerHeartbeat } from '../contracts/heartbeat.ts';
import { resultStream } from '../contracts/streams.ts';
import type { Role } from '../core/role.ts';
import type { Timer, Timers } from '../core/timers.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import { heartbeatOf, type WorkerStatus } from './heartbeat.ts';
import { Intake, type IntakeDeps } from './intake.ts';
import { Reporter } from './reporter.ts';
import type { WorkerSettings } from './settings.ts';

/** Part of the shutdown time that is kept for flushing after the calls were abandoned. */
const FLUSH_MS = 1_000;

/** Routers send nothing to a worker that is critical, so it says soon when it is no longer. */
const CRITICAL_BEAT_MS = 250;

export interface WorkerDeps extends Omit<IntakeDeps, 'reporter'> {
  readonly bus: Bus;
  readonly timers: Timers;
  readonly telemetry: Telemetry;
  readonly settings: WorkerSettings;
  /** Ids of the providers that this worker serves, for the heartbeat. */
  readonly providers: readonly string[];
}

export async function startWorker(deps: WorkerDeps): Promise<Role> {
  const { bus, settings } = deps;
  const log = deps.telemetry.log.for('worker');
  const reporter = new Reporter(bus, { ...deps.telemetry, log });
  const intake = new Intake({ ...deps, reporter });
  await bus.ensureStream(resultStream);

  const cancels = bus.subscribe(at(cancel), {}, (message) => intake.cancel(message));
  const calls = bus.serve(
    at(execCall, { pool: settings.pool }),
    // A router waits for a refusal, to try elsewhere; after an acceptance it waits for the outcome.
    { queue: 'worker', urgencyOf: ({ status }) => (status === 'accepted' ? 'batched' : 'now') },
    (assignment) => intake.accept(assignment),
  );
  const beats = startHeartbeats(deps, intake);
  log.info('worker_ready', { worker_id: settings.id });

  return {
    name: 'worker',
    async [Symbol.asyncDispose]() {
      beats.say('draining');
      await calls.drain();
      const { abandoned } = await intake.drain(Math.max(0, settings.shutdown.timeout_ms - FLUSH_MS));
      if (abandoned > 0) log.warn('calls_abandoned', { worker_id: settings.id, count: abandoned });
      await reporter.flush();
      beats.stop();
      await cancels.drain();
    },
  };
}

function startHeartbeats(deps: WorkerDeps, intake: Intake): { say(status: WorkerStatus): void; stop(): void } {
  const { bus, timers, settings, providers } = deps;
  const to = at(workerHeartbeat);
  let status: WorkerStatus = 'ready';
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
    const { slots } = intake;
    const heartbeat = heartbeatOf(status, { settings, slots, providers, cpuShare, clock: timers.clock });
    const isCritical = heartbeat.overload_status === 'critical';
    timer = timers.after(isCritical ? Math.min(CRITICAL_BEAT_MS, settings.heartbeat_ms) : settings.heartbeat_ms, beat);
    if (bus.state === 'connected') bus.publish(to, heartbeat);
  };
  const reconnected = bus.onState((state) => {
    if (state === 'connected') beat();
  });
  beat();
  return {
    say(next) {
      status = next;
      beat();
    },
    stop() {
      this.say('stopped');
      reconnected[Symbol.dispose]();
      timer?.cancel();
    },
  };
}
