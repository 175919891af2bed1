// Attempts that ended, counted by how.
import type { Telemetry } from '../telemetry/telemetry.ts';
import type { AttemptEnd } from './attempt-messages.ts';

type Ended = (state: AttemptEnd['state']) => void;

/** Of one job type, known before the first attempt: an addition each. */
export function attemptCounters({ metrics }: Telemetry, type: string, mode: 'call' | 'job'): Ended {
  const attempts = metrics.counter({
    name: 'worker_attempts_total',
    help: 'Attempts that ended, by how.',
    labels: ['type', 'mode', 'status'],
  });
  const counters = {
    succeeded: attempts.of(type, mode, 'succeeded'),
    failed: attempts.of(type, mode, 'failed'),
    timed_out: attempts.of(type, mode, 'timed_out'),
    cancelled: attempts.of(type, mode, 'cancelled'),
  };
  return (state) => counters[state].add();
}
