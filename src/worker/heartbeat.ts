// The worker's sign of life: registration, load and status in one message.
import type { WorkerHeartbeat } from '../contracts/heartbeat.ts';
import { CLOCK_SKEW_MS } from '../contracts/limits.ts';
import type { SlotClass } from '../contracts/slot-class.ts';
import type { Clock } from '../core/clock.ts';
import type { OverloadLevel } from './overload.ts';
import type { WorkerSettings } from './settings.ts';
import type { Slots } from './slots.ts';

export type WorkerStatus = WorkerHeartbeat['status'];

/** Of a worker that takes work: how it does, and whether it has a place. */
export function servingStatus(level: OverloadLevel, { active, limit }: Slots): WorkerStatus {
  if (level !== 'healthy') return 'degraded';
  return active >= limit ? 'busy' : 'ready';
}

const useOf = ({ active, limit, queued }: Slots) => ({ active, limit, queued });

export function heartbeatOf(
  status: WorkerStatus,
  worker: {
    readonly settings: WorkerSettings;
    readonly slots: Readonly<Record<SlotClass, Slots>>;
    readonly level: OverloadLevel;
    readonly jobTypes: readonly string[];
    readonly providers: readonly string[];
    readonly cpuShare: number;
    readonly clockSkewMs: () => number;
    readonly clock: Clock;
  },
): WorkerHeartbeat {
  const { settings, slots } = worker;
  const skewMs = worker.clockSkewMs();
  return {
    version: '1',
    worker_id: settings.id,
    timestamp: new Date(worker.clock.epochMs()).toISOString(),
    status,
    resources: {
      cpu: Math.min(1, worker.cpuShare),
      gpu: 0,
      mem_bytes: process.memoryUsage.rss(),
      jobs_in_flight: slots.io.active + slots.cpu.active,
    },
    pool: settings.pool,
    slots: { io: useOf(slots.io), cpu: useOf(slots.cpu) },
    overload_status: worker.level,
    job_types: [...worker.jobTypes],
    providers: [...worker.providers],
    protocol_versions: ['1'],
    ...(skewMs > CLOCK_SKEW_MS ? { metadata: { clock_skew_ms: skewMs } } : {}),
  };
}
