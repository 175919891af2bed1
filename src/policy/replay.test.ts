import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decide } from './decide.ts';
import { type AttemptRecord, type DecisionRecord, type OutcomeRecord, recordOf } from './decision-record.ts';
import type { Facts, Snapshot } from './facts.ts';
import { parsePolicy } from './parse.ts';
import type { Policy } from './policy.ts';
import { replay } from './replay.ts';

const FIRST: Snapshot = { attempt: 1, failed: new Set(), failureWords: [] };

function policyOf(weights: Readonly<Record<string, number>>, more: object = {}): Policy {
  const parsed = parsePolicy(
    { version: '2.0', weights, ...more },
    { knownProviders: new Set(['alder', 'birch', 'cedar']), tenantId: 'kestrel', policyId: 'default', revision: 14 },
  );
  assert.ok(parsed.kind === 'valid', JSON.stringify(parsed));
  return parsed.policy;
}

const factsOf = (id: number): Facts => ({
  tenantId: 'kestrel',
  requestId: `rq-${id}`,
  taskType: 'ai.chat',
  model: 'small',
  stream: false,
  context: {},
});

function record(policy: Policy, id: number, snapshot: Snapshot = FIRST): DecisionRecord {
  const facts = factsOf(id);
  return recordOf(policy, facts, snapshot, decide(policy, facts, snapshot, false), id);
}

const many = (policy: Policy, count: number, snapshot: Snapshot = FIRST): readonly DecisionRecord[] =>
  Array.from({ length: count }, (_, id) => record(policy, id, snapshot));

const ended = (provider: string, latencyMs: number, state: OutcomeRecord['state'] = 'succeeded'): OutcomeRecord => ({
  type: 'outcome',
  time_ms: 1,
  tenant_id: 'kestrel',
  request_id: 'rq-1',
  attempt: 1,
  provider_id: provider,
  state,
  latency_ms: latencyMs,
});

const HALF = policyOf({ alder: 50, birch: 50 });
const SHIFTED = policyOf({ alder: 10, birch: 90 });
const whole = (shares: number): number => Math.round(shares * 10);

test('a candidate that is the same changes nothing', () => {
  const report = replay(many(HALF, 500), { own: () => HALF, candidate: () => policyOf({ alder: 50, birch: 50 }) });
  assert.deepEqual(
    [report.records, report.tested, report.mismatch, report.same, report.changed],
    [500, 500, 0, 500, 0],
  );
  assert.deepEqual([report.first_changes, report.first_mismatches], [[], []]);
});

test('an attempt that no decision made is passed over: it is no record of its own', () => {
  const followed: AttemptRecord = {
    type: 'attempt',
    time_ms: 1,
    tenant_id: 'kestrel',
    request_id: 'rq-1',
    policy_id: 'default',
    revision: 1,
    attempt: 2,
    provider_id: 'rowan',
    reason: 'fallback',
    after: 'PROVIDER_UNAVAILABLE',
  };
  const policies = { own: () => HALF, candidate: () => HALF };
  assert.deepEqual(
    replay([record(HALF, 1), followed, record(HALF, 2)], policies),
    replay(many(HALF, 3).slice(1), policies),
  );
});

test('a changed weight shows how the shares shift, and the first changes with both explanations', () => {
  const report = replay(many(HALF, 2_000), { own: () => HALF, candidate: () => SHIFTED });
  assert.deepEqual(
    report.shares.map(({ provider_id: name, before, after }) => [name, whole(before), whole(after)]),
    [
      ['alder', 5, 1],
      ['birch', 5, 9],
    ],
  );
  assert.equal(whole(report.changed / report.records), 4);
  assert.equal(report.same + report.changed, report.records);
  assert.equal(report.first_changes.length, 200);
  const [first] = report.first_changes;
  assert.deepEqual(
    [first?.before?.provider_id, first?.after?.provider_id, first?.before?.seed],
    ['alder', 'birch', first?.seed],
  );
});

test('a record that its own revision decides in another way is a mismatch, and is shown', () => {
  const [good, other] = many(HALF, 2);
  assert.ok(good !== undefined && other?.verdict.kind === 'chosen');
  const bad: DecisionRecord = { ...other, verdict: { ...other.verdict, reason: 'sticky' } };
  const report = replay([good, bad], { own: () => HALF, candidate: () => HALF });
  assert.deepEqual([report.tested, report.mismatch, report.changed], [2, 1, 0]);
  const [{ seed, recorded, replayed } = {}] = report.first_mismatches;
  assert.equal(report.first_mismatches.length, 1);
  assert.equal(seed, 'kestrel:rq-1');
  assert.deepEqual(recorded, bad.verdict);
  assert.deepEqual(replayed, other.verdict);
});

test('a record whose revision is not known is compared, but not tested', () => {
  const report = replay(many(HALF, 50), { own: () => undefined, candidate: () => policyOf({ cedar: 1 }) });
  assert.deepEqual([report.records, report.tested, report.mismatch, report.changed], [50, 0, 0, 50]);
  assert.equal(report.first_changes[0]?.before, undefined);
  assert.equal(report.first_changes[0]?.after?.provider_id, 'cedar');
});

test("records that are not the candidate's business are left out", () => {
  const candidate = ({ time_ms: id }: DecisionRecord): Policy | undefined => (id < 3 ? HALF : undefined);
  assert.equal(replay(many(HALF, 10), { own: () => HALF, candidate }).records, 3);
});

test('rejections are counted before and after', () => {
  const down: Snapshot = { ...FIRST, isOpen: (name) => name !== 'cedar' };
  const helped = policyOf({ alder: 50, birch: 50 }, { fallbacks: [{ when: {}, to: 'cedar' }] });
  const policies = { own: () => HALF, candidate: () => helped };
  const { rejected, changed, shares } = replay(many(HALF, 10, down), policies);
  assert.deepEqual([rejected, changed], [{ before: 10, after: 0 }, 10]);
  assert.deepEqual(shares, [{ provider_id: 'cedar', before: 0, after: 1 }]);
  const harmed = { own: () => helped, candidate: () => HALF };
  assert.deepEqual(replay(many(helped, 10, down), harmed).rejected, { before: 0, after: 10 });
});

test('latency and cost are estimated from the means of each provider, as far as there are any', () => {
  const prices: Snapshot = { ...FIRST, costMicroUsd: ({ name }) => (name === 'alder' ? 100 : 300) };
  const outcomes = [ended('alder', 10), ended('alder', 30), ended('birch', 100), ended('birch', 9_000, 'failed')];
  const [alder, birch] = [policyOf({ alder: 1, birch: 0 }), policyOf({ alder: 0, birch: 1 })];
  const report = replay([...many(alder, 4, prices), ...outcomes], { own: () => alder, candidate: () => birch });
  const covered = { before: 1, after: 1 };
  assert.deepEqual(report.expected_latency_ms, { is_estimate: true, before: 20, after: 100, covered });
  assert.deepEqual(report.expected_cost_micro_usd, { is_estimate: true, before: 100, after: 300, covered });
  const cedar = replay([...many(alder, 4), ...outcomes], { own: () => alder, candidate: () => policyOf({ cedar: 1 }) });
  assert.deepEqual(cedar.expected_latency_ms, {
    is_estimate: true,
    before: 20,
    after: undefined,
    covered: { before: 1, after: 0 },
  });
});

test('nothing recorded is nothing changed', () => {
  const report = replay([], { own: () => HALF, candidate: () => HALF });
  assert.deepEqual([report.records, report.same, report.shares], [0, 0, []]);
});
