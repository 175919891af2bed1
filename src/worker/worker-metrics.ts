// The gauges of a worker, read when a page is rendered, and how long work waits for a place (worker 15).
import type { BusState } from '../bus/bus.ts';
import { OVERLOAD_LEVELS } from '../contracts/assignment.ts';
import type { SlotClass } from '../contracts/slot-class.ts';
import { FAST_SECONDS, type Metrics } from '../telemetry/metrics.ts';
import type { OverloadLevel } from './overload.ts';
import type { OnWait, Slots } from './slots.ts';

const CLASSES = ['io', 'cpu'] as const satisfies readonly SlotClass[];
const LABELS = ['class', 'mode'] as const;

export interface Gauged {
  readonly slots: Readonly<Record<SlotClass, Slots>>;
  readonly bus: { readonly state: BusState };
  readonly level: () => OverloadLevel;
}

export function gaugeWorker(metrics: Metrics, { slots, bus, level }: Gauged): void {
  const queued = metrics.gauge({
    name: 'worker_queue_depth',
    help: 'Calls and jobs that wait for a place.',
    labels: LABELS,
  });
  const active = metrics.gauge({ name: 'worker_slots_active', help: 'Places that are taken.', labels: LABELS });
  const most = metrics.gauge({
    name: 'worker_slots',
    help: 'Most places: of calls all of the class, of jobs the share that they may hold of the same.',
    labels: LABELS,
  });
  const overload = metrics
    .gauge({ name: 'worker_overload_level', help: '0 healthy, 1 degraded, 2 overloaded, 3 critical.' })
    .of();
  const connected = metrics.gauge({ name: 'worker_bus_connected', help: '1 while the bus is connected.' }).of();
  metrics.beforeRender(() => {
    for (const name of CLASSES) {
      const of = slots[name];
      queued.of(name, 'call').set(of.queuedCalls);
      queued.of(name, 'job').set(of.queuedJobs);
      active.of(name, 'call').set(of.active - of.activeJobs);
      active.of(name, 'job').set(of.activeJobs);
      most.of(name, 'call').set(of.limit);
      most.of(name, 'job').set(of.jobsMax);
    }
    overload.set(OVERLOAD_LEVELS.indexOf(level()));
    connected.set(bus.state === 'connected' ? 1 : 0);
  });
}

/** Of one class; a place that was free counts as no wait. */
export function waitsOf(metrics: Metrics, name: SlotClass): OnWait {
  const waits = metrics.histogram(
    { name: 'worker_queue_wait_seconds', help: 'From the line to a place.', labels: LABELS },
    FAST_SECONDS,
  );
  const calls = waits.of(name, 'call');
  const jobs = waits.of(name, 'job');
  return (isJob, waitedMs) => (isJob ? jobs : calls).observe(waitedMs / 1_000);
}
