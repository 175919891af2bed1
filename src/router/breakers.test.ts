import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BreakerSettings } from '../core/breaker-settings.ts';
import { openLog } from '../telemetry/log.ts';
import { Metrics } from '../telemetry/metrics.ts';
import { Breakers, isOpen } from './breakers.ts';

const SETTINGS: BreakerSettings = {
  failureThreshold: 5,
  successThreshold: 2,
  openMs: 60_000,
  halfOpenMax: 3,
  errorRate: 0.5,
  windowSeconds: 60,
  samplesMin: 10,
  latencyMs: 0,
};

function open(max?: number) {
  const metrics = new Metrics();
  const breakers = new Breakers({ log: openLog('silent', { write: () => undefined }), metrics }, max);
  const fail = (tenantId: string, provider: string, times: number, nowMs = 0): void => {
    for (let i = 0; i < times; i++)
      breakers.record(tenantId, provider, { key: '-', nowMs, sentMs: nowMs, isFailure: true, latencyMs: 5 });
  };
  const isShut = (tenantId: string, provider: string, settings?: BreakerSettings, nowMs = 0): boolean =>
    isOpen(breakers.of(tenantId).get(provider), settings, nowMs);
  const rendered = (text: string): boolean => metrics.render().includes(text);
  return { breakers, fail, isShut, rendered };
}

test('a breaker is of one tenant and one provider', () => {
  const { fail, isShut } = open();
  fail('acme', 'alder', 5);
  assert.equal(isShut('acme', 'alder', SETTINGS), true);
  assert.deepEqual([isShut('acme', 'birch', SETTINGS), isShut('umbra', 'alder', SETTINGS)], [false, false]);
});

test('it binds the policies that have one; what an administrator forced binds all', () => {
  const { breakers, fail, isShut } = open();
  fail('acme', 'alder', 5);
  assert.deepEqual([isShut('acme', 'alder', SETTINGS), isShut('acme', 'alder')], [true, false]);
  assert.deepEqual(breakers.force('acme', 'birch', 'force_open', 0), {
    tenantId: 'acme',
    providerId: 'birch',
    state: 'open',
    mode: 'force_open',
  });
  assert.equal(isShut('acme', 'birch'), true);
  breakers.force('acme', 'birch', 'auto', 0);
  assert.equal(isShut('acme', 'birch'), false);
  assert.deepEqual(
    breakers.list(0).map(({ providerId, mode }) => [providerId, mode]),
    [
      ['alder', 'auto'],
      ['birch', 'auto'],
    ],
  );
});

test('of two policies of a tenant the stricter opens it', () => {
  const { fail, isShut } = open();
  const strict = { ...SETTINGS, failureThreshold: 2 };
  fail('acme', 'alder', 2);
  assert.equal(isShut('acme', 'alder', SETTINGS), false);
  assert.equal(isShut('acme', 'alder', strict), true);
  assert.equal(isShut('acme', 'alder', SETTINGS), true);
});

test('states and transitions are counted, those that time brings as well', () => {
  const { breakers, fail, isShut, rendered } = open();
  fail('acme', 'alder', 1);
  assert.ok(rendered('router_breaker_state{provider="alder",tenant_id="acme"} 0'));
  fail('acme', 'alder', 4);
  isShut('acme', 'alder', SETTINGS);
  assert.ok(rendered('router_breaker_state{provider="alder",tenant_id="acme"} 2'));
  assert.ok(rendered('router_breaker_transitions_total{provider="alder",reason="failure_threshold_exceeded"} 1'));
  breakers.elapse(60_000);
  assert.ok(rendered('router_breaker_state{provider="alder",tenant_id="acme"} 1'));
  assert.ok(rendered('router_breaker_transitions_total{provider="alder",reason="timeout_elapsed"} 1'));
});

test('there are as many as there is room for: the closed one that rests longest goes, others stay', () => {
  const { breakers, fail, isShut, rendered } = open(2);
  fail('acme', 'alder', 5);
  assert.equal(isShut('acme', 'alder', SETTINGS), true);
  fail('acme', 'birch', 1);
  fail('acme', 'cedar', 5);
  assert.equal(isShut('acme', 'cedar', SETTINGS), true);
  assert.ok(rendered('router_live_evicted_total{kind="breaker"} 1'));
  fail('acme', 'dill', 5);
  assert.deepEqual([breakers.size, isShut('acme', 'dill', SETTINGS)], [2, false], 'unknown is closed');
  assert.ok(rendered('router_live_refused_total{kind="breaker"} 5'));
  assert.throws(() => breakers.force('acme', 'dill', 'force_open', 0), { code: 'capacity_exceeded' });
  assert.deepEqual(
    breakers.list(0).map(({ providerId }) => providerId),
    ['alder', 'cedar'],
  );
});

test('ten thousand tenants with ten providers each have their breakers', () => {
  const { breakers, fail, isShut, rendered } = open();
  for (let tenant = 0; tenant < 10_000; tenant++) {
    for (let provider = 0; provider < 10; provider++) fail(`t-${tenant}`, `p-${provider}`, 5);
  }
  assert.deepEqual(
    [breakers.size, isShut('t-0', 'p-0', SETTINGS), isShut('t-9999', 'p-9', SETTINGS)],
    [100_000, true, true],
  );
  assert.ok(rendered('router_live_evicted_total{kind="breaker"} 0'));
});
