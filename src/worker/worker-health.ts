// Whether work may be sent to a worker, and what it does now (worker 15). From memory.
import type { SlotClass } from '../contracts/slot-class.ts';
import type { BusState } from '../bus/bus.ts';
import { CLOCK_SKEW_MS } from '../contracts/limits.ts';
import { type Check, type Checks, mustHold, shouldHold } from '../core/health.ts';
import type { FetchHold } from './jobs/job-fetch.ts';
import type { Outbox } from './outbox.ts';
import type { OverloadLevel } from './overload.ts';
import type { WorkerSettings } from './settings.ts';
import type { Slots } from './slots.ts';

/** The loop turns each second; one that did not for this long held everything up. */
const STALLED_MS = 5_000;

export interface WorkerHealth {
  readonly settings: Pick<WorkerSettings, 'id' | 'pool'>;
  readonly bus: { readonly state: BusState };
  readonly fetch: { readonly isBound: boolean; readonly holds: readonly FetchHold[] };
  readonly outbox: Pick<Outbox, 'isFull' | 'isBroken' | 'size'> | undefined;
  readonly load: { readonly level: OverloadLevel; readonly silentMs: number };
  readonly slots: Readonly<Record<SlotClass, Slots>>;
  readonly providers: readonly string[];
  readonly clockSkewMs: () => number;
}

export const workerChecks = ({ bus, fetch, outbox, load, clockSkewMs }: WorkerHealth): Checks => ({
  bus: mustHold(bus.state === 'connected', bus.state),
  consumer: consumerCheck(fetch),
  ...(outbox === undefined ? {} : { outbox: mustHold(!outbox.isFull, outbox.isBroken ? 'cannot be written' : 'full') }),
  load: shouldHold(load.level === 'healthy', load.level),
  clock: mustHold(clockSkewMs() <= CLOCK_SKEW_MS, 'too far from the clock of the broker'),
  loop: mustHold(load.silentMs < STALLED_MS, 'stalled'),
});

/** A worker lets go of its consumer by itself while it has too much to do. */
function consumerCheck({ isBound, holds }: WorkerHealth['fetch']): Check {
  if (holds.length === 0) return mustHold(isBound, 'not bound');
  const isOwnWill = holds.every((hold) => hold === 'overload');
  return { status: isOwnWill ? 'warn' : 'fail', message: `held: ${holds.join(', ')}` };
}

export const workerState = ({ settings, slots, outbox, load, providers }: WorkerHealth): object => ({
  worker_id: settings.id,
  pool: settings.pool,
  overload: load.level,
  slots: { io: useOf(slots.io), cpu: useOf(slots.cpu) },
  outbox_records: outbox?.size ?? 0,
  providers,
});

const useOf = ({ active, activeJobs, limit, jobsMax, queuedCalls, queuedJobs }: Slots) => ({
  active,
  active_jobs: activeJobs,
  limit,
  jobs_max: jobsMax,
  queued_calls: queuedCalls,
  queued_jobs: queuedJobs,
});
