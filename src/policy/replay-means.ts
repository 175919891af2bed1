// What attempts took and cost on the average of each provider, and so what another share-out would: an estimate, because
// a provider that gets more may get slower, and other requests may cost more.
import type { ReplayEstimate } from '../contracts/admin-operations.ts';
import type { DecisionRecord, OutcomeRecord } from './decision-record.ts';

interface Mean {
  sum: number;
  count: number;
}

type Counts = ReadonlyMap<string, number>;

export class Means {
  readonly #latency = new Map<string, Mean>();
  readonly #cost = new Map<string, Mean>();

  /** Only an answer says how long an answer takes. */
  ended({ provider_id: name, state, latency_ms: ms }: OutcomeRecord): void {
    if (state === 'succeeded') add(this.#latency, name, ms);
  }

  /** Costs are those that the price book expected of every candidate. */
  decided({ snapshot }: DecisionRecord): void {
    for (const { name, cost_micro_usd: cost } of snapshot.providers)
      if (cost !== undefined) add(this.#cost, name, cost);
  }

  /** Milliseconds of one request when the providers get so many each. */
  latencyMs(before: Counts, after: Counts): ReplayEstimate {
    return estimate(this.#latency, before, after);
  }

  costMicroUsd(before: Counts, after: Counts): ReplayEstimate {
    return estimate(this.#cost, before, after);
  }
}

function add(means: Map<string, Mean>, name: string, value: number): void {
  const mean = means.get(name);
  if (mean === undefined) {
    means.set(name, { sum: value, count: 1 });
    return;
  }
  mean.sum += value;
  mean.count++;
}

function estimate(means: ReadonlyMap<string, Mean>, before: Counts, after: Counts): ReplayEstimate {
  const [was, is] = [weighted(means, before), weighted(means, after)];
  return { is_estimate: true, before: was.mean, after: is.mean, covered: { before: was.covered, after: is.covered } };
}

function weighted(means: ReadonlyMap<string, Mean>, counts: Counts): { mean: number | undefined; covered: number } {
  let all = 0;
  let known = 0;
  let sum = 0;
  for (const [name, times] of counts) {
    all += times;
    const mean = means.get(name);
    if (mean === undefined) continue;
    known += times;
    sum += (times * mean.sum) / mean.count;
  }
  return { mean: known === 0 ? undefined : sum / known, covered: all === 0 ? 0 : known / all };
}
