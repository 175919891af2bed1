import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../core/clock.ts';
import { Timers } from '../core/timers.ts';
import { decide } from '../policy/decide.ts';
import { parsePolicy } from '../policy/parse.ts';
import type { Policy } from '../policy/policy.ts';
import { openLog } from '../telemetry/log.ts';
import { Metrics } from '../telemetry/metrics.ts';
import { momentOf } from './admin-moment.ts';
import { Fleet } from './fleet.ts';
import { LiveState } from './live-state.ts';
import type { RequestBudgets } from './request-budgets.ts';
import { StickyBindings } from './sticky-bindings.ts';

const FACTS = { tenantId: 'acme', requestId: 'rq-1', taskType: 'ai.chat', stream: false, context: { session_id: 's' } };

function policyOf(document: object): Policy {
  const known = { knownProviders: new Set<string>(), tenantId: 'acme', policyId: 'test', revision: 1 };
  const providers = [
    { name: 'alder', weight: 1 },
    { name: 'birch', weight: 0 },
  ];
  const fallbacks = [{ when: { status: 'all_providers_failed' }, to: 'birch' }];
  const parsed = parsePolicy({ version: '2.0', providers, fallbacks, ...document }, known);
  assert.ok(parsed.kind === 'valid', JSON.stringify(parsed));
  return parsed.policy;
}

function open() {
  const clock = new ManualClock();
  const telemetry = { log: openLog('silent', { write: () => undefined }), metrics: new Metrics() };
  const fleet = new Fleet(new Timers(clock), 1_000, () => undefined);
  const live = new LiveState({
    clock,
    telemetry,
    fleet,
    canaryAborts: { isAborted: () => false, abort: () => undefined },
  });
  const bindings = new StickyBindings(clock);
  const moment = momentOf(live, bindings, { lookedAt: async () => undefined });
  const chosen = (policy: Policy): string | undefined => {
    const verdict = decide(policy, FACTS, moment.now(policy, FACTS, undefined), true);
    return verdict.kind === 'chosen' ? verdict.target.name : undefined;
  };
  const failOnce = (): void =>
    live.heard({
      version: '2',
      assignment_id: 'a',
      attempt: 1,
      request_id: 'rq',
      tenant_id: 'acme',
      provider_id: 'alder',
      worker_id: 'w',
      state: 'failed',
      committed: false,
      latency_ms: 0,
      timestamp_ms: 1,
      error: { class: 'unavailable', code: 'PROVIDER_UNAVAILABLE', retryable: true },
    });
  return { live, bindings, chosen, failOnce };
}

test('a strict breaker in a dry run does not open the one that everybody uses', () => {
  const { live, chosen, failOnce } = open();
  failOnce();
  const strict = policyOf({ circuit_breaker: { enabled: true, failure_threshold: 1 } });
  assert.equal(chosen(strict), 'alder');
  assert.deepEqual(
    live.breakers().map(({ state }) => state),
    ['closed'],
  );
});

test('an open breaker is seen by policies that have one, a forced one by all', () => {
  const { live, chosen, failOnce } = open();
  const guarded = policyOf({ circuit_breaker: { enabled: true } });
  const bare = policyOf({});
  for (let i = 0; i < 5; i++) failOnce();
  assert.equal(live.first('acme', guarded, undefined).isOpen?.('alder'), true);
  assert.deepEqual([chosen(guarded), chosen(bare)], ['birch', 'alder']);
  live.force('acme', 'alder', 'force_open');
  assert.deepEqual([chosen(guarded), chosen(bare)], ['birch', 'birch']);
  live.force('acme', 'alder', 'force_closed');
  assert.deepEqual([chosen(guarded), chosen(bare)], ['alder', 'alder']);
});

test('the binding of a session is seen', () => {
  const { bindings, chosen } = open();
  const sticky = policyOf({ sticky: { enabled: true } });
  bindings.set('acme test 10 session_id =s', 'birch', 1_000);
  assert.equal(chosen(sticky), 'birch');
});

test('a budget that is spent leaves out whom it leaves out in earnest', async () => {
  const { live, bindings } = open();
  const accounts = { standing: () => ({ tightest: undefined, over: new Set(['alder']) }) } as unknown as RequestBudgets;
  const moment = momentOf(live, bindings, { lookedAt: async () => accounts });
  const policy = policyOf({});
  const known = await moment.budgetsOf(policy, FACTS);
  assert.deepEqual(moment.now(policy, FACTS, known).overBudget, new Set(['alder']));
});
