// What the requests of each arm of an experiment came to (policy 5.4). Only requests that are in one are counted here.
import type { Arm } from '../policy/policy.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { Ended } from './decision-log.ts';

type Result = 'succeeded' | 'fallback' | 'blocked' | 'failed' | 'timed_out' | 'cancelled';

interface Enrolled {
  readonly arms: readonly Arm[];
  readonly fallbackUsed: boolean;
  readonly target: { readonly name: string };
}

export type ExperimentCounts = ReturnType<typeof experimentCounts>;

export function experimentCounts(metrics: Metrics) {
  const total = metrics.counter({
    name: 'router_experiment_total',
    help: 'Interactive requests of the arms of experiments, by how they ended; fallback: another provider answered.',
    labels: ['experiment', 'arm', 'result'],
  });
  return {
    /** Hears the end of the last attempt of a request; undefined if none has ended. */
    ended(first: Enrolled, last: Ended | undefined): void {
      const result = last === undefined ? undefined : resultOf(first, last);
      if (result === undefined) return;
      for (const { experiment, arm } of first.arms) total.of(experiment, arm, result).add();
    },
  };
}

function resultOf(first: Enrolled, { state, provider_id, error }: Ended): Result | undefined {
  switch (state) {
    case 'committed':
      return undefined;
    case 'succeeded':
      return first.fallbackUsed || provider_id !== first.target.name ? 'fallback' : 'succeeded';
    case 'failed':
      return error?.code === 'CONTENT_BLOCKED' ? 'blocked' : 'failed';
    case 'timed_out':
    case 'cancelled':
      return state;
  }
}
