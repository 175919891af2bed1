import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AttemptOutcome } from '../contracts/outcome.ts';
import { decide } from '../policy/decide.ts';
import { factsFor, FIRST, openRecords, policyOf, START_MS } from './admin-records-fixture.ts';

const POLICY = policyOf({ alder: 50, birch: 50 });
const ASKED = { tenant_id: 'acme', request_id: 'rq-1' };

const outcome = (provider_id: string, state: 'failed' | 'succeeded', attempt: number): AttemptOutcome => ({
  version: '2',
  assignment_id: 'a-1',
  attempt,
  request_id: 'rq-1',
  tenant_id: 'acme',
  provider_id,
  worker_id: 'w-1',
  latency_ms: 5,
  timestamp_ms: 1,
  state,
  committed: false,
});

test('a decision is found by its request and explained again from what was recorded', async () => {
  const records = await openRecords();
  const log = records.join();
  const down = { ...FIRST, isOpen: (name: string) => name === 'alder' };
  records.decided(log, POLICY, factsFor('rq-0'));
  records.decided(log, POLICY, factsFor('rq-1'), down);
  log.ended(factsFor('rq-1'), outcome('birch', 'failed', 1));
  const told = await records.result('get_decision', ASKED);
  const verdict = decide(POLICY, factsFor('rq-1'), down, true);
  assert.deepEqual(told['explanation'], { ...verdict.explanation });
  assert.deepEqual(
    [
      told['policy_id'],
      told['policy_revision'],
      told['time_ms'],
      (told['decision'] as { provider_id: string }).provider_id,
    ],
    ['support', 7, START_MS, 'birch'],
  );
  assert.deepEqual(told['attempts'], [
    {
      attempt: 1,
      time_ms: START_MS,
      provider_id: 'birch',
      model: 'small',
      reason: 'weighted',
      outcome: { state: 'failed', latency_ms: 5 },
    },
  ]);
});

test('every attempt is told in its order with its end, and what followed the decision ends its explanation', async () => {
  const records = await openRecords();
  const log = records.join();
  const down = { ...FIRST, isOpen: (name: string) => name === 'birch' };
  const facts = factsFor('rq-1');
  records.decided(log, POLICY, facts, down);
  log.ended(facts, { ...outcome('alder', 'failed', 1), error: { code: 'CONTENT_BLOCKED' } });
  const escalated = { attempt: 2, provider_id: 'cedar', model: 'large', reason: 'escalated', after: 'CONTENT_BLOCKED' };
  log.followed(POLICY, facts, { ...escalated, why: 'cedar may' });
  log.ended(facts, outcome('cedar', 'failed', 2));
  const third = { ...FIRST, attempt: 3, failed: new Set(['alder', 'cedar']), failureWords: ['unavailable'] };
  records.decided(log, POLICY, facts, third);
  log.ended(facts, outcome('birch', 'succeeded', 3));
  const told = await records.result('get_decision', ASKED);
  const ended = (state: string) => ({ state, latency_ms: 5 });
  assert.deepEqual(told['attempts'], [
    {
      attempt: 1,
      time_ms: START_MS,
      provider_id: 'alder',
      model: 'small',
      reason: 'weighted',
      outcome: { ...ended('failed'), code: 'CONTENT_BLOCKED' },
    },
    { time_ms: START_MS, ...escalated, why: 'cedar may', outcome: ended('failed') },
    {
      attempt: 3,
      time_ms: START_MS,
      provider_id: 'birch',
      model: 'small',
      reason: 'failover',
      outcome: ended('succeeded'),
    },
  ]);
  const { steps } = told['explanation'] as { steps: { n: number; stage: string; detail: string }[] };
  const last = steps.at(-1);
  assert.deepEqual(
    [last?.n, last?.stage, last?.detail],
    [steps.length, 'attempt', 'escalated on cedar after CONTENT_BLOCKED: cedar may'],
  );
  const other = await records.result('get_decision', { ...ASKED, policy: { version: '2.0', weights: { cedar: 1 } } });
  const { steps: others } = other['explanation'] as { steps: { stage: string }[] };
  assert.equal(
    others.some(({ stage }) => stage === 'attempt'),
    false,
  );
});

test('it is explained by another document or not told at all to those who may not know', async () => {
  const records = await openRecords();
  const log = records.join({ policies: new Set(['support']) });
  records.decided(log, POLICY, factsFor('rq-1'));
  records.decided(log, { ...POLICY, policyId: 'secret' }, factsFor('rq-2'));
  const policy = { version: '2.0', weights: { cedar: 1 } };
  const other = await records.result('get_decision', { ...ASKED, policy });
  assert.equal((other['decision'] as { provider_id: string }).provider_id, 'cedar');
  for (const [what, params] of [
    ['of another tenant', { ...ASKED, tenant_id: 'zeta' }],
    ['of a policy that the key may not use', { ...ASKED, request_id: 'rq-2' }],
    ['of another policy than is named', { ...ASKED, request_id: 'rq-1', policy_id: 'support2' }],
    ['that nobody made', { ...ASKED, request_id: 'rq-3' }],
  ] as const) {
    const { error } = await records.ask('get_decision', params, params.tenant_id);
    assert.equal(error?.code, what.includes('another policy') ? 'forbidden' : 'not_found', what);
  }
});

test('what was refused is told with its code', async () => {
  const records = await openRecords();
  const log = records.join();
  records.decided(log, POLICY, factsFor('rq-1'), { ...FIRST, isOpen: () => true });
  const told = await records.result('get_decision', ASKED);
  assert.equal((told['refusal'] as { code: string }).code, 'circuit_breaker_open');
  assert.equal('decision' in told, false);
});

for (const owner of [0, 1, 2]) {
  test(`of three routers, number ${owner + 1} knows the request and its answer is the answer`, async () => {
    const records = await openRecords();
    const logs = [records.join(), records.join(), records.join()];
    const log = logs[owner];
    assert.ok(log);
    records.decided(log, POLICY, factsFor('rq-1'));
    const told = await records.result('get_decision', ASKED);
    assert.equal(told['request_id'], 'rq-1');
  });
}

test('where no router knows it, the answer comes after the time in which one could have', async () => {
  const records = await openRecords();
  for (let n = 0; n < 3; n++) records.join();
  let answered: string | undefined;
  const asking = records.ask('get_decision', ASKED).then(({ error }) => (answered = error?.code));
  for (let turn = 0; turn < 50; turn++) await new Promise(setImmediate);
  assert.equal(answered, undefined);
  for (let waitedMs = 0; waitedMs < 2_000; waitedMs += 50) {
    records.clock.advance(50);
    records.timers.tick();
  }
  assert.equal(await asking, 'not_found');
});
