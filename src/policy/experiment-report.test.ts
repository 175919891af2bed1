import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AttemptRecord, DecisionRecord, OutcomeRecord, RequestRecord, UsageRecord } from './decision-record.ts';
import { ExperimentReports } from './experiment-report.ts';

const ASKED = { tenantId: undefined, policyId: 'default', experiment: 'e', arms: ['a', 'b'] };

const decided = (id: string, arm: string, more: Partial<DecisionRecord> = {}, cost = 100): DecisionRecord => ({
  type: 'decision',
  time_ms: 1,
  tenant_id: 'kestrel',
  policy_id: 'default',
  revision: 1,
  seed: `kestrel:${id}`,
  attempt: 1,
  facts: { tenantId: 'kestrel', requestId: id, taskType: 'ai.chat', stream: false, context: {} },
  snapshot: { providers: [] },
  verdict: {
    kind: 'chosen',
    provider_id: 'alder',
    reason: 'weighted',
    timeout_ms: 1,
    arms: [{ experiment: 'e', arm }],
    expected_cost_micro_usd: cost,
  },
  ...more,
});

const ended = (id: string, state: OutcomeRecord['state'], latency_ms = 10, attempt = 1): OutcomeRecord => ({
  type: 'outcome',
  time_ms: 2,
  tenant_id: 'kestrel',
  request_id: id,
  attempt,
  provider_id: 'alder',
  state,
  latency_ms,
});

const followed = (id: string, reason: string, attempt = 2): AttemptRecord => ({
  type: 'attempt',
  time_ms: 2,
  tenant_id: 'kestrel',
  request_id: id,
  policy_id: 'default',
  revision: 1,
  attempt,
  provider_id: 'birch',
  reason,
  after: 'PROVIDER_UNAVAILABLE',
});

/** A decision of another reason than the draw's. */
const decidedAs = (id: string, reason: string, attempt = 1): DecisionRecord => {
  const record = decided(id, 'a', { attempt });
  assert.ok(record.verdict.kind === 'chosen');
  return { ...record, verdict: { ...record.verdict, reason } };
};

function reportOf(entries: readonly RequestRecord[]) {
  const reports = new ExperimentReports([ASKED]);
  for (const entry of entries) reports.take(entry);
  return reports.report();
}

test('requests are counted by arm, and succeed if one of their attempts does', () => {
  const [report] = reportOf([
    decided('1', 'a'),
    decided('1', 'a'),
    ended('1', 'failed'),
    decided('1', 'a', { attempt: 2 }),
    ended('1', 'succeeded', 30, 2),
    decided('2', 'a'),
    ended('2', 'failed'),
    decided('3', 'a'),
    ended('3', 'cancelled'),
    decided('4', 'a'),
    decided('5', 'b'),
    ended('5', 'succeeded', 50),
  ]);
  const [a, b] = report?.arms ?? [];
  assert.deepEqual([a?.requests, a?.ended, a?.cancelled, a?.success?.value, a?.latency_ms?.value], [4, 2, 1, 0.5, 30]);
  assert.deepEqual([b?.requests, b?.ended, b?.success?.value], [1, 1, 1]);
});

test('intervals are those of Wilson and of the mean', () => {
  const many = Array.from({ length: 200 }, (_, n) => [
    decided(`${n}`, 'a', {}, n % 2 === 0 ? 90 : 110),
    ended(`${n}`, n < 180 ? 'succeeded' : 'failed', n % 2 === 0 ? 100 : 300),
  ]).flat();
  const [a] = reportOf(many)[0]?.arms ?? [];
  const round = (value = 0): number => Math.round(value * 1_000) / 1_000;
  assert.deepEqual([a?.success?.value, round(a?.success?.low), round(a?.success?.high)], [0.9, 0.851, 0.934]);
  assert.deepEqual([a?.latency_ms?.value, Math.round(a?.latency_ms?.low ?? 0)], [200, 185]);
  assert.deepEqual([a?.expected_cost_micro_usd?.value, round(a?.expected_cost_micro_usd?.high)], [100, 101.389]);
});

test('half of the answers took no longer than p50, and 95 of 100 no longer than p95', () => {
  const latencies = (...all: readonly number[]) => {
    const [a] = reportOf(all.flatMap((ms, n) => [decided(`${n}`, 'a'), ended(`${n}`, 'succeeded', ms)]))[0]?.arms ?? [];
    return [a?.latency_p50_ms, a?.latency_p95_ms];
  };
  assert.deepEqual(latencies(...Array.from({ length: 100 }, (_, n) => 100 - n)), [50, 95]);
  assert.deepEqual(latencies(7), [7, 7]);
  assert.deepEqual(latencies(12_345, 0, 12_312), [12_300, 12_300]);
  const [a] = reportOf([decided('1', 'a'), ended('1', 'failed', 9)])[0]?.arms ?? [];
  assert.deepEqual([a?.latency_p50_ms, a?.latency_p95_ms], [undefined, undefined]);
});

test('the share of fallbacks is of those that ended, each once, whichever attempt was one', () => {
  const [a, b] =
    reportOf([
      decided('1', 'a'),
      ended('1', 'failed'),
      followed('1', 'fallback'),
      ended('1', 'failed', 10, 2),
      followed('1', 'retry', 3),
      ended('1', 'succeeded', 10, 3),
      decided('2', 'a'),
      ended('2', 'failed'),
      decidedAs('2', 'failover', 2),
      ended('2', 'failed', 10, 2),
      decided('3', 'a'),
      decidedAs('3', 'circuit_breaker_fallback'),
      ended('3', 'succeeded'),
      decidedAs('4', 'circuit_breaker_fallback'),
      ended('4', 'succeeded'),
      decided('5', 'a'),
      ended('5', 'failed'),
      followed('5', 'retry'),
      ended('5', 'succeeded', 10, 2),
      decided('6', 'a'),
      followed('6', 'escalated'),
      ended('6', 'cancelled', 10, 2),
      followed('7', 'fallback'),
    ])[0]?.arms ?? [];
  assert.deepEqual([a?.ended, a?.fallback?.value, b?.fallback], [5, 0.8, undefined]);
});

test('blocked is what the filter of a provider refused in the end', () => {
  const blocked = (id: string, attempt = 1): OutcomeRecord => ({
    ...ended(id, 'failed', 10, attempt),
    code: 'CONTENT_BLOCKED',
  });
  const [a] =
    reportOf([
      decided('1', 'a'),
      blocked('1'),
      decided('2', 'a'),
      blocked('2'),
      followed('2', 'escalated'),
      ended('2', 'succeeded', 10, 2),
      decided('3', 'a'),
      ended('3', 'failed'),
      decided('4', 'a'),
      ended('4', 'failed'),
      followed('4', 'fallback'),
      blocked('4', 2),
    ])[0]?.arms ?? [];
  assert.deepEqual([a?.ended, a?.blocked?.value, a?.success?.value], [4, 0.5, 0.25]);
});

test('it says where there is too little, and where nothing is shown', () => {
  const arm = (name: string, successes: number) =>
    Array.from({ length: 150 }, (_, n) => [
      decided(`${name}${n}`, name),
      ended(`${name}${n}`, n < successes ? 'succeeded' : 'failed', 10),
    ]).flat();
  const notes = (...entries: readonly (readonly RequestRecord[])[]) =>
    reportOf(entries.flat())[0]?.notes.filter((note) => !/latency|cost/.test(note));
  assert.deepEqual(notes(arm('a', 60), arm('b', 140)), []);
  assert.deepEqual(notes(arm('a', 138), arm('b', 140)), ['success: the intervals overlap, no difference is shown']);
  assert.deepEqual(notes(arm('a', 60)), ['too little: fewer than 100 ended requests in b']);
});

test('other experiments, policies and arms are left out, and tenants are told apart', () => {
  const other = decided('1', 'a', { policy_id: 'other' });
  const zeta = decided('9', 'a', { tenant_id: 'zeta' });
  const reports = reportOf([other, decided('2', 'c'), decided('3', 'a'), zeta]);
  assert.deepEqual(
    reports.map(({ tenant_id, arms }) => [tenant_id, arms.map(({ requests }) => requests)]),
    [
      ['kestrel', [1, 0]],
      ['zeta', [1, 0]],
    ],
  );
});

const took = (id: string, cost: number, more: Partial<UsageRecord> = {}): UsageRecord => ({
  type: 'usage',
  time_ms: 3,
  tenant_id: 'kestrel',
  request_id: id,
  policy_id: 'default',
  attempt: 1,
  arms: [{ experiment: 'e', arm: 'a' }],
  input_tokens: 30,
  output_tokens: 10,
  cost_micro_usd: cost,
  ...more,
});

test('what a request cost is that of all its attempts, wherever and whenever they were metered, and nothing for who took nothing', () => {
  const [a, b] =
    reportOf([
      took('2', 6, { attempt: 2 }),
      decided('1', 'a'),
      ended('1', 'succeeded'),
      took('1', 10),
      decided('2', 'a'),
      ended('2', 'failed'),
      ended('2', 'succeeded', 10, 2),
      took('2', 4),
      decided('3', 'a'),
      ended('3', 'failed'),
      decided('4', 'a'),
      ended('4', 'cancelled'),
      decided('5', 'b'),
      ended('5', 'succeeded'),
      took('6', 99, { arms: [{ experiment: 'other', arm: 'a' }] }),
    ])[0]?.arms ?? [];
  const { cost_micro_usd: cost } = a ?? {};
  assert.deepEqual([cost?.value, cost?.low, cost?.high.toFixed(2)], [5, 0, '10.66']);
  assert.deepEqual([a?.input_tokens, a?.output_tokens, a?.metered_attempts], [22.5, 7.5, 0.75]);
  assert.deepEqual([b?.cost_micro_usd, b?.input_tokens, b?.metered_attempts], [undefined, undefined, undefined]);
});

test('an attempt that was metered twice counts once, and an estimate gives way to what was counted', () => {
  const [a] =
    reportOf([
      took('1', 7),
      took('1', 7),
      took('2', 50, { estimated: true }),
      took('2', 9),
      took('3', 5),
      took('3', 50, { estimated: true }),
    ])[0]?.arms ?? [];
  assert.deepEqual([a?.cost_micro_usd?.value, a?.metered_attempts], [7, 1]);
});
