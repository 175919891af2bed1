import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { openMemoryBus } from '../bus/memory.ts';
import { at } from '../contracts/contract.ts';
import type { DecideRequest } from '../contracts/decide.ts';
import { extensionPre, extensionValidate } from '../contracts/extension.ts';
import { ManualClock } from '../core/clock.ts';
import { Timers } from '../core/timers.ts';
import type { Scope } from '../policy/condition.ts';
import { openLog } from '../telemetry/log.ts';
import { Metrics } from '../telemetry/metrics.ts';
import { openRecords } from './admin-records-fixture.ts';
import { Extensions } from './extensions.ts';

const CLEAN = { messages: [{ role: 'user', content: 'hi' }] };
const REQUEST: DecideRequest = {
  version: '2',
  request_id: 'rq-1',
  tenant_id: 'acme',
  policy_id: 'support',
  task: { type: 'ai.chat', model: 'small', payload: { messages: [{ role: 'user', content: '  hi  ' }] } },
};
const FACTS = { tenantId: 'acme', requestId: 'rq-1', taskType: 'ai.chat', stream: false, context: {} };
const SCOPE: Scope = { facts: FACTS, live: {}, status: [], attempt: 1 };

const item = (id: string, stage: 'pre' | 'validator') => ({
  id,
  stage,
  onFailure: 'end' as const,
  config: {},
  timeoutMs: undefined,
  retry: undefined,
  holds: () => true,
});
const ITEMS = [item('trim', 'pre'), item('guard', 'validator')];

/** A pre-processor that trims, and a validator that answers `says`. */
function open(says: 'ok' | 'reject') {
  const timers = new Timers(new ManualClock());
  after(() => timers[Symbol.dispose]());
  const telemetry = { log: openLog('silent', { write: () => undefined }), metrics: new Metrics() };
  const bus = openMemoryBus({ timers, telemetry });
  const heard: unknown[] = [];
  bus.serve(at(extensionPre, { id: 'trim' }), {}, () => ({ ok: true, payload: CLEAN }));
  bus.serve(at(extensionValidate, { id: 'guard' }), {}, ({ payload }) => {
    heard.push(payload);
    return { ok: true, status: says, reason: 'too short' };
  });
  const known = { timeoutMs: 1_000, retry: 0, enabled: true, config: {} };
  const registry = new Map([
    ['trim', { id: 'trim', type: 'pre' as const, ...known }],
    ['guard', { id: 'guard', type: 'validator' as const, ...known }],
  ]);
  const extensions = new Extensions({ bus, timers, telemetry, registry });
  const rehearse = (request: DecideRequest) =>
    extensions.rehearse(request, ITEMS, { policyRevision: 3, scope: SCOPE, deadlineMs: 5_000 });
  return {
    extensions,
    rehearse,
    heard,
    counts: () => /^router_extension_calls_total\{.*$/m.exec(telemetry.metrics.render()),
  };
}

test('a rehearsal calls really, and leaves nothing in the health or the counts of extensions', async () => {
  const { extensions, rehearse, heard, counts } = open('reject');
  const told = await rehearse(REQUEST);
  assert.deepEqual(told.executed, [
    { id: 'trim', type: 'pre', status: 'ok', latency_ms: 0 },
    { id: 'guard', type: 'validator', status: 'rejected', latency_ms: 0 },
  ]);
  assert.deepEqual([told.blockedBy, told.fault?.code], ['guard', 'validator_blocked']);
  assert.deepEqual([heard, told.request.task.payload], [[CLEAN], CLEAN]);
  assert.deepEqual([extensions.health(), counts()], [[], null]);
});

test('a dry run that calls decides on what the pre-processors left, and says what was called', async () => {
  const { rehearse } = open('ok');
  const records = await openRecords();
  records.join({ rehearse: (_, request) => rehearse(request) });
  const policy = { version: '2.0', weights: { alder: 1 } };
  const called = await records.result('dry_run', { request: REQUEST, policy, extensions: 'call' });
  const skipped = await records.result('dry_run', { request: REQUEST, policy });
  assert.equal((called['decision'] as { provider_id: string }).provider_id, 'alder');
  assert.deepEqual(called['final_payload'], CLEAN);
  assert.equal((called['executed_extensions'] as object[]).length, 2);
  assert.deepEqual(skipped['executed_extensions'], []);
  assert.notEqual(called['payload_digest'], skipped['payload_digest']);
  assert.equal('blocked_by' in called, false);
});

test('a dry run that a validator ends decides nothing, and its steps are the calls', async () => {
  const { rehearse } = open('reject');
  const records = await openRecords();
  records.join({ rehearse: (_, request) => rehearse(request) });
  const policy = { version: '2.0', weights: { alder: 1 } };
  const told = await records.result('dry_run', { request: REQUEST, policy, extensions: 'call' });
  assert.deepEqual(
    [told['blocked_by'], told['refusal']],
    ['guard', { code: 'validator_blocked', message: 'too short' }],
  );
  assert.equal('decision' in told, false);
  const { steps, candidates } = told['explanation'] as { steps: { stage: string; outcome: string }[]; candidates: [] };
  assert.deepEqual(
    steps.map(({ stage, outcome }) => [stage, outcome]),
    [
      ['pre', 'matched'],
      ['validator', 'blocked'],
    ],
  );
  assert.deepEqual(candidates, []);
});
