// What the requests of each arm of an experiment came to (policy 5.4). Only requests that are in one are counted here, and
// no jobs.
import { isJobAssignment } from '../contracts/job.ts';
import type { UsageEvent } from '../contracts/usage.ts';
import type { Arm } from '../policy/policy.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { Ended } from './decision-log.ts';

type Result = 'succeeded' | 'fallback' | 'blocked' | 'failed' | 'timed_out' | 'cancelled';

interface Enrolled {
  readonly arms: readonly Arm[];
  readonly fallbackUsed: boolean;
  readonly target: { readonly name: string };
}

/** Few, because each combination of an experiment and an arm has them. */
const SECONDS = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60] as const;
const ARM = ['experiment', 'arm'] as const;

export type ExperimentCounts = ReturnType<typeof experimentCounts>;

export function experimentCounts(metrics: Metrics) {
  const total = metrics.counter({
    name: 'router_experiment_total',
    help: 'Interactive requests of the arms of experiments, by how they ended; fallback: another provider answered.',
    labels: [...ARM, 'result'],
  });
  const latency = metrics.histogram(
    {
      name: 'router_experiment_latency_seconds',
      help: 'Time of the attempt that answered a request of an arm of an experiment.',
      labels: ARM,
    },
    SECONDS,
  );
  const firstChunk = metrics.histogram(
    {
      name: 'router_experiment_first_chunk_seconds',
      help: 'Time to the first chunk of the attempt that answered a request of an arm of an experiment.',
      labels: ARM,
    },
    SECONDS,
  );
  const tokens = metrics.counter({
    name: 'router_experiment_tokens_total',
    help: 'Tokens of every attempt of the requests of an arm of an experiment, reported or estimated.',
    labels: [...ARM, 'kind'],
  });
  const cost = metrics.counter({
    name: 'router_experiment_cost_micro_usd_total',
    help: 'Cost of every attempt of the requests of an arm of an experiment.',
    labels: ARM,
  });
  return {
    /** Hears the end of the last attempt of a request; undefined if none has ended. */
    ended(first: Enrolled, last: Ended | undefined): void {
      const result = last === undefined ? undefined : resultOf(first, last);
      if (result === undefined) return;
      for (const { experiment, arm } of first.arms) {
        total.of(experiment, arm, result).add();
        if (last?.state !== 'succeeded') continue;
        latency.of(experiment, arm).observe(last.latency_ms / 1_000);
        if (last.ttft_ms !== undefined) firstChunk.of(experiment, arm).observe(last.ttft_ms / 1_000);
      }
    },
    /** Hears what an attempt took, once; `arms` are those of the event. */
    metered(event: UsageEvent, arms: NonNullable<UsageEvent['experiments']>): void {
      if (isJobAssignment(event.assignment_id)) return;
      const { input_tokens = 0, output_tokens = 0, cost_micro_usd = 0 } = event;
      for (const { id, arm } of arms) {
        tokens.of(id, arm, 'input').add(input_tokens);
        tokens.of(id, arm, 'output').add(output_tokens);
        cost.of(id, arm).add(cost_micro_usd);
      }
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
