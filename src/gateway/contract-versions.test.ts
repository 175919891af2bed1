import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openMemoryBus } from '../bus/memory.ts';
import { at } from '../contracts/contract.ts';
import { type ContractSwitch, contractSwitchKey, controlBucket } from '../contracts/contract-switch.ts';
import { type DecideRequest, decideV1, decideV2 } from '../contracts/decide.ts';
import { ManualClock } from '../core/clock.ts';
import { Timers } from '../core/timers.ts';
import { openLog } from '../telemetry/log.ts';
import { Metrics } from '../telemetry/metrics.ts';
import { until } from '../../test/until.ts';
import { watchContractSwitch } from './contract-switch-watch.ts';
import { asV1, speaksV2 } from './contract-versions.ts';
import { decisionsOver } from './decide-client.ts';

const all: ContractSwitch = { version: '2', enabled: true, percent: 100, tenants: [] };
const requestOf = (n: number, more: Partial<DecideRequest> = {}): DecideRequest => ({
  version: '2',
  request_id: `req-${n}`,
  tenant_id: 'acme',
  task: { type: 'ai.chat', payload: { messages: [] } },
  ...more,
});
const shareOf = (contracts: ContractSwitch, tenant = 'acme'): number =>
  Array.from({ length: 10_000 }, (_, n) => speaksV2(contracts, tenant, `req-${n}`)).filter(Boolean).length / 10_000;

test('the switch takes its share of the requests, by tenant, and a higher share keeps those of a lower one', () => {
  assert.deepEqual([shareOf(all), shareOf({ ...all, percent: 0 }), shareOf({ ...all, enabled: false })], [1, 0, 0]);
  for (const percent of [1, 10, 25, 50]) {
    assert.ok(Math.abs(shareOf({ ...all, percent }) - percent / 100) < 0.02, `${percent} %`);
  }
  assert.deepEqual([shareOf({ ...all, tenants: ['umbra'] }), shareOf({ ...all, tenants: ['acme'] })], [0, 1]);
  for (let n = 0; n < 1_000; n++) {
    if (speaksV2({ ...all, percent: 10 }, 'acme', `r${n}`))
      assert.ok(speaksV2({ ...all, percent: 25 }, 'acme', `r${n}`));
  }
});

test('what v1 cannot ask is not asked in v1', () => {
  assert.equal(asV1(requestOf(1, { constraints: { providers_allow: ['alder'] } })), undefined);
  assert.equal(asV1(requestOf(1, { options: { dry_run: true } })), undefined);
  assert.equal(asV1(requestOf(1, { task: { type: 'ai.chat', model: 'm', payload: {} } })), undefined);
  assert.equal(asV1(requestOf(1, { tenant: { tier: 'gold' } })), undefined);
  const question = asV1(requestOf(1, { constraints: { max_cost_micro_usd: 1_500 }, deadline_ms: 900 }));
  assert.deepEqual(
    [question?.constraints, question?.options],
    [{ max_cost: 0.0015 }, { explain: false, deadline_ms: 900 }],
  );
  assert.ok(decideV1.request.check(question));
});

async function open() {
  const timers = new Timers(new ManualClock(1_790_000_000_000));
  const metrics = new Metrics();
  const telemetry = { log: openLog('silent', { write: () => undefined }), metrics };
  const bus = openMemoryBus({ timers, telemetry });
  const asked: string[] = [];
  bus.serve(at(decideV1), {}, ({ request_id }) => {
    asked.push('v1');
    const decision = {
      provider_id: 'alder',
      reason: 'weighted',
      priority: 50,
      expected_latency_ms: 0,
      expected_cost: 0.002,
      metadata: {},
    };
    return { ok: true, decision, context: { request_id } };
  });
  bus.serve(at(decideV2), {}, ({ request_id, tenant_id }) => {
    asked.push('v2');
    const decision = {
      provider_id: 'alder',
      reason: 'weighted',
      priority: 50,
      policy_id: 'default',
      policy_revision: 3,
      fallback_used: false,
    };
    return { version: '2' as const, ok: true, decision, context: { request_id, tenant_id } };
  });
  const contracts = await watchContractSwitch(bus, { timers, log: telemetry.log }, all);
  const bucket = await bus.openBucket(controlBucket);
  return { asked, bucket, contracts, metrics, ask: decisionsOver({ bus, clock: timers.clock, telemetry, contracts }) };
}

test('the share changes without a restart, back to nothing as well, and each version is counted', async () => {
  const { asked, bucket, contracts, metrics, ask } = await open();
  await using _watch = contracts;
  await ask(requestOf(1), 1_000);
  await bucket.put(contractSwitchKey, JSON.stringify({ ...all, percent: 0 }));
  await until('the switch', () => contracts.current.percent === 0);
  const { decision } = await ask(requestOf(2), 1_000);
  assert.deepEqual(asked, ['v2', 'v1']);
  assert.deepEqual(
    [decision?.provider_id, decision?.expected_cost_micro_usd, decision?.expected_latency_ms],
    ['alder', 2_000, undefined],
  );
  await bucket.put(contractSwitchKey, 'no switch');
  await bucket.delete(contractSwitchKey);
  await until('the switch', () => contracts.current.percent === 100);
  await ask(requestOf(3), 1_000);
  assert.deepEqual(asked, ['v2', 'v1', 'v2']);
  const text = metrics.render();
  assert.match(text, /gateway_decides_total\{contract_version="v2",result="ok"\} 2/);
  assert.match(text, /gateway_decides_total\{contract_version="v1",result="ok"\} 1/);
});
