// What the ledger counts (worker 15).
import type { UsageEvent } from '../contracts/usage.ts';
import type { Counter, Metrics } from '../telemetry/metrics.ts';
import type { Fold } from './usage-fold.ts';
import type { FoldedUsage } from './usage-row.ts';

export interface LedgerMetrics {
  readonly count: (fold: Fold) => void;
  /** An event whose row is made later, if anybody reads it. */
  readonly taken: (event: UsageEvent) => void;
  /** What became of such events; their tokens have been counted. */
  readonly folded: (fold: Fold) => void;
  readonly forgotten: Counter;
  readonly state: (state: { readonly isReady: boolean; readonly lagMs: number }) => void;
}

export function openLedgerMetrics(metrics: Metrics): LedgerMetrics {
  const results = metrics.counter({
    name: 'ledger_fold_total',
    help: 'Usage events by what became of them.',
    labels: ['result'],
  });
  const conflicts = metrics.counter({
    name: 'ledger_conflicts_total',
    help: 'Usage events under a known key that say something else.',
  });
  const unpriced = metrics.counter({
    name: 'ledger_unpriced_total',
    help: 'Usage rows without a price.',
    labels: ['provider', 'model'],
  });
  const mismatches = metrics.counter({
    name: 'ledger_cost_mismatches_total',
    help: 'Usage rows whose cost by the ledger differs from what was reported.',
    labels: ['provider'],
  });
  const tokens = metrics.counter({
    name: 'ledger_tokens_total',
    help: 'Tokens of folded usage events.',
    labels: ['provider', 'kind'],
  });
  const cost = metrics.counter({
    name: 'ledger_cost_micro_usd_total',
    help: 'Cost of folded usage events, in micro-USD.',
    labels: ['provider'],
  });
  const lag = metrics.gauge({
    name: 'ledger_fold_lag_seconds',
    help: 'Age of the oldest usage event that is stored and not folded.',
  });
  const ready = metrics.gauge({ name: 'ledger_ready', help: '1 while usage events are folded.' });

  const countRow = ({ row }: FoldedUsage): void => {
    // A counter never falls: corrections that give back are in the tables only.
    tokens.of(row.provider_id, 'input').add(Math.max(0, row.input_tokens));
    tokens.of(row.provider_id, 'output').add(Math.max(0, row.output_tokens));
    cost.of(row.provider_id).add(Math.max(0, row.cost_micro_usd));
    if (row.unpriced === 1) unpriced.of(row.provider_id, row.model ?? '-').add();
    else if (row.cost_micro_usd !== row.reported_micro_usd) mismatches.of(row.provider_id).add();
  };
  const folded = ({ results: counts }: Fold): void => {
    for (const [result, count] of Object.entries(counts)) if (count > 0) results.of(result).add(count);
    if (counts.conflict > 0) conflicts.of().add(counts.conflict);
  };
  return {
    folded,
    forgotten: results.of('forgotten'),
    count(fold) {
      folded(fold);
      for (const usage of fold.added) countRow(usage);
    },
    taken({ provider_id, input_tokens = 0, output_tokens = 0, cost_micro_usd = 0 }) {
      tokens.of(provider_id, 'input').add(input_tokens);
      tokens.of(provider_id, 'output').add(output_tokens);
      cost.of(provider_id).add(cost_micro_usd);
    },
    state({ isReady, lagMs }) {
      ready.of().set(isReady ? 1 : 0);
      lag.of().set(lagMs / 1000);
    },
  };
}
