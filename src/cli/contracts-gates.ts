// The gates of a canary of v2 (contracts 11), judged from what the metrics of all processes grew by meanwhile. Pure.
import { LONG_SECONDS } from '../telemetry/metrics.ts';
import { quantileOf, type Sample, sumOf } from './metrics-page.ts';

/** Each stage must have seen as many requests in v2. */
const REQUESTS_MIN = 1_000;
const P95_RATIO_MAX = 1.1;
/** As shares: 0.1 points above v1, 0.1 % dead letters. */
const ERRORS_ABOVE_MAX = 0.001;
const DEAD_LETTERS_MAX = 0.001;

/** Whoever gives a message up counts it under a name of its own. */
const DEAD_LETTERS = ['router_dead_letters_total', 'worker_deadletters_total', 'ledger_dead_letters_total'];

export interface Gate {
  readonly name: string;
  /** Undefined where there is nothing to judge by. */
  readonly passes: boolean | undefined;
  readonly measured: string;
  readonly limit: string;
}

export function gatesOf(before: readonly Sample[], after: readonly Sample[]): Gate[] {
  const grown = (name: string, where?: Readonly<Record<string, string>>): number =>
    sumOf(after, name, where) - sumOf(before, name, where);
  const asked = (contract_version: string): number => grown('gateway_decides_total', { contract_version });
  const errors = (contract_version: string): number =>
    share(grown('gateway_decides_total', { contract_version, result: 'unanswered' }), asked(contract_version));
  const p95 = (contract_version: string): number | undefined =>
    quantileOf((le) => grown('gateway_decide_seconds_bucket', { contract_version, le }), LONG_SECONDS, 0.95);
  const violations = grown('bus_contract_violations_total');
  const dead = share(
    DEAD_LETTERS.reduce((sum, name) => sum + grown(name), 0),
    asked('v2'),
  );
  const conflicts = grown('ledger_conflicts_total');
  const [v1, v2] = [p95('v1'), p95('v2')];
  const ratio = v1 === undefined || v2 === undefined ? undefined : v2 / v1;
  return [
    { name: 'requests in v2', ...atLeast(asked('v2'), REQUESTS_MIN) },
    { name: 'contract violations', ...atMost(violations, 0, String) },
    { name: 'p95 of v2 against v1', ...atMost(ratio, P95_RATIO_MAX, (value) => `${value.toFixed(2)}x`) },
    {
      name: 'error rate of v2 above v1',
      ...atMost(asked('v1') === 0 ? undefined : errors('v2') - errors('v1'), ERRORS_ABOVE_MAX, percent),
    },
    { name: 'share of dead letters', ...atMost(dead, DEAD_LETTERS_MAX, percent) },
    { name: 'usage counted twice', ...atMost(conflicts, 0, String) },
  ];
}

type Judged = Omit<Gate, 'name'>;

const atLeast = (value: number, least: number): Judged => ({
  passes: value >= least,
  measured: String(value),
  limit: `at least ${least}`,
});

const atMost = (value: number | undefined, most: number, show: (value: number) => string): Judged => ({
  passes: value === undefined ? undefined : value <= most,
  measured: value === undefined ? 'nothing to compare with' : show(value),
  limit: `at most ${show(most)}`,
});

const share = (part: number, whole: number): number => (whole === 0 ? 0 : part / whole);
const percent = (value: number): string => `${(value * 100).toFixed(2)} %`;
