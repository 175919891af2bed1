import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LONG_SECONDS, Metrics } from '../telemetry/metrics.ts';
import { gatesOf } from './contracts-gates.ts';
import { samplesOf } from './metrics-page.ts';

/** A page of metrics after some decisions: how many, how long, how many unanswered, by version. */
function page(
  runs: Readonly<Record<string, { count: number; seconds: number; unanswered?: number }>>,
  more?: (metrics: Metrics) => unknown,
) {
  const metrics = new Metrics();
  const total = metrics.counter({ name: 'gateway_decides_total', help: '', labels: ['contract_version', 'result'] });
  const took = metrics.histogram(
    { name: 'gateway_decide_seconds', help: '', labels: ['contract_version'] },
    LONG_SECONDS,
  );
  for (const [version, { count, seconds, unanswered = 0 }] of Object.entries(runs)) {
    total.of(version, 'ok').add(count - unanswered);
    total.of(version, 'unanswered').add(unanswered);
    for (let n = 0; n < count; n++) took.of(version).observe(seconds);
  }
  more?.(metrics);
  return samplesOf(metrics.render());
}

const good = { v1: { count: 1_000, seconds: 0.02 }, v2: { count: 1_000, seconds: 0.02 } };
const failing = (after: ReturnType<typeof page>): string[] =>
  gatesOf(page({}), after).flatMap(({ name, passes }) => (passes === true ? [] : [name]));
const counted = (name: string) => (metrics: Metrics) => metrics.counter({ name, help: '' }).of().add(5);

const STAGES: readonly (readonly [what: string, after: ReturnType<typeof page>, fails: readonly string[]])[] = [
  ['a good stage', page(good), []],
  ['too few requests', page({ ...good, v2: { count: 999, seconds: 0.02 } }), ['requests in v2']],
  ['a slow v2', page({ ...good, v2: { count: 1_000, seconds: 0.2 } }), ['p95 of v2 against v1']],
  [
    'a failing v2',
    page({ ...good, v2: { count: 1_000, seconds: 0.02, unanswered: 2 } }),
    ['error rate of v2 above v1'],
  ],
  ['violations', page(good, counted('bus_contract_violations_total')), ['contract violations']],
  ['dead letters', page(good, counted('router_dead_letters_total')), ['share of dead letters']],
  ['dead letters of the ledger', page(good, counted('ledger_dead_letters_total')), ['share of dead letters']],
  ['usage twice', page(good, counted('ledger_conflicts_total')), ['usage counted twice']],
  ['nothing in v1', page({ v2: good.v2 }), ['p95 of v2 against v1', 'error rate of v2 above v1']],
];

for (const [what, after, fails] of STAGES) {
  test(`${what}: ${fails.length === 0 ? 'every gate passes' : `fails by ${fails.join(', ')}`}`, () => {
    assert.deepEqual(failing(after), fails);
  });
}

test('only what grew between the two readings counts', () => {
  const grown = gatesOf(page(good), page(good));
  assert.deepEqual([grown[0]?.measured, grown[0]?.passes], ['0', false]);
});
