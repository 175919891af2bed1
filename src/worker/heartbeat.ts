// The worker's sign of life: registration, load and status in one message.
import { OVERLOAD_LEVELS, type ExecAssignment } from '../contracts/assignment.ts';
import type { WorkerHeartbeat } from '../contracts/heartbeat.ts';
import type { Clock } from '../core/clock.ts';
import type { WorkerSettings } from './settings.ts';
import type { Slots } from './slots.ts';

export type WorkerStatus = WorkerHeartbeat['status'];
type Overload = NonNullable<WorkerHeartbeat['overload_status']>;

/** By queue use: from 0.5 degraded, 0.8 overloaded, 1.0 critical (contracts 4.6). */
const LEVELS: readonly (readonly [number, Overload])[] = [
  [1, OVERLOAD_LEVELS[3]],
  [0.8, OVERLOAD_LEVELS[2]],
  [0.5, OVERLOAD_LEVELS[1]],
];

export const overloadOf = (queued: number, queueMax: number): Overload =>
  LEVELS.find(([from]) => queueMax > 0 && queued / queueMax >= from)?.[1] ?? OVERLOAD_LEVELS[0];

export function heartbeatOf(
  status: WorkerStatus,
  worker: {
    readonly settings: WorkerSettings;
    readonly slots: Slots;
    readonly providers: readonly string[];
    readonly cpuShare: number;
    readonly clock: Clock;
  },
): WorkerHeartbeat {
  const { settings, slots } = worker;
  return {
    version: '1',
    worker_id: settings.id,
    timestamp: new Date(worker.clock.epochMs()).toISOString(),
    status,
    resources: {
      cpu: Math.min(1, worker.cpuShare),
      gpu: 0,
      mem_bytes: process.memoryUsage.rss(),
      jobs_in_flight: slots.active,
    },
    pool: settings.pool,
    slots: { io: { active: slots.active, limit: slots.limit, queued: slots.queued } },
    overload_status: overloadOf(slots.queued, settings.queue.max),
    job_types: ['ai.chat'] satisfies ExecAssignment['job']['type'][],
    providers: [...worker.providers],
    protocol_versions: ['1'],
  };
}
