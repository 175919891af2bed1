// Attempts that ended, counted and timed by how.
import { executionRow } from '../core/execution-errors.ts';
import { ATTEMPT_SECONDS } from '../telemetry/metrics.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import type { AttemptEnd } from './attempt-messages.ts';

/** `seconds` from the delivery to the end. */
type Ended = (end: AttemptEnd, seconds: number) => void;

/** Of one job type, known before the first attempt: some additions each. */
export function attemptCounters({ metrics }: Telemetry, type: string, mode: 'call' | 'job'): Ended {
  const labels = ['type', 'mode', 'status'] as const;
  const attempts = metrics.counter({
    name: 'worker_attempts_total',
    help: 'Attempts that ended, by how.',
    labels,
  });
  const times = metrics.histogram(
    { name: 'worker_attempt_seconds', help: 'Of an attempt, from its delivery to its end.', labels },
    ATTEMPT_SECONDS,
  );
  const errors = metrics.counter({
    name: 'worker_errors_total',
    help: 'Attempts that did not succeed, by their execution code.',
    labels: ['type', 'code', 'class'],
  });
  const of = (status: AttemptEnd['state']) => ({
    count: attempts.of(type, mode, status),
    seconds: times.of(type, mode, status),
  });
  const states = {
    succeeded: of('succeeded'),
    failed: of('failed'),
    timed_out: of('timed_out'),
    cancelled: of('cancelled'),
  };
  return (end, seconds) => {
    const state = states[end.state];
    state.count.add();
    state.seconds.observe(seconds);
    if (end.state !== 'succeeded') errors.of(type, end.failure.code, executionRow(end.failure.code).class).add();
  };
}
