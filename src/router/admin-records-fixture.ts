// A router's administration with decisions in memory, for tests of what is told of them.
import assert from 'node:assert/strict';
import { after } from 'node:test';
import type { Bus } from '../bus/bus.ts';
import { openMemoryBus } from '../bus/memory.ts';
import { adminV2 } from '../contracts/admin.ts';
import { at } from '../contracts/contract.ts';
import { ManualClock } from '../core/clock.ts';
import { Timers } from '../core/timers.ts';
import { decide } from '../policy/decide.ts';
import type { Facts, Snapshot } from '../policy/facts.ts';
import { parsePolicy } from '../policy/parse.ts';
import type { Policy } from '../policy/policy.ts';
import { openLog } from '../telemetry/log.ts';
import { Metrics } from '../telemetry/metrics.ts';
import { memoryExtensions, memoryPolicies } from './admin-fixture.ts';
import { policyAdminOf } from './admin-policy-reads.ts';
import type { Rehearse } from './admin-simulations.ts';
import { serveAdmin } from './admin.ts';
import { DecisionLog } from './decision-log.ts';
import { DecisionRing } from './decision-ring.ts';
import type { KeptRecords } from './kept-records.ts';

export const START_MS = 1_790_000_000_000;
export const FIRST: Snapshot = { attempt: 1, failed: new Set(), failureWords: [] };
export const NAMED = { tenant_id: 'acme', policy_id: 'support' };

export function policyOf(weights: object, more: object = {}, tenantId = 'acme'): Policy {
  const known = { knownProviders: new Set(['alder', 'birch', 'cedar']), tenantId, policyId: 'support', revision: 7 };
  const parsed = parsePolicy({ version: '2.0', weights, ...more }, known);
  assert.ok(parsed.kind === 'valid', JSON.stringify(parsed));
  return parsed.policy;
}

export const factsFor = (requestId: string, tenantId = 'acme'): Facts => ({
  tenantId,
  requestId,
  taskType: 'ai.chat',
  model: 'small',
  stream: false,
  context: {},
});

/** Each router has records of its own; all are on one bus in memory unless they bring theirs. */
export async function openRecords() {
  const clock = new ManualClock(START_MS);
  const timers = new Timers(clock);
  after(() => timers[Symbol.dispose]());
  const telemetry = { log: openLog('silent', { write: () => undefined }), metrics: new Metrics() };
  const memory = openMemoryBus({ timers, telemetry });
  const { replica, store, parse } = await memoryPolicies(['acme', 'zeta'], clock, telemetry);
  const none = await memoryExtensions({ bus: memory, timers, telemetry });
  let routers = 0;
  /** Starts a router; what it decides is recorded by `decided`. */
  const join = (
    of: { records?: KeptRecords; rehearse?: Rehearse; policies?: ReadonlySet<string>; bus?: Bus; timers?: Timers } = {},
  ): DecisionLog => {
    const ring = new DecisionRing();
    const log = new DecisionLog({ sink: ring, kept: of.records ?? ring, timers, telemetry, sample: 1 });
    serveAdmin({
      bus: of.bus ?? memory,
      timers: of.timers ?? timers,
      telemetry,
      authorize: () => ({ id: 'admin', tenants: ['acme', 'zeta'], ...(of.policies && { policies: of.policies }) }),
      policies: policyAdminOf(replica, store, parse),
      source: () => ({ kind: 'kv', reachable: true }),
      routerId: `r-${++routers}`,
      extensions: none,
      rehearse: of.rehearse ?? (async (_, request) => ({ request, executed: [] })),
      records: () => log.kept(),
      isAlone: () => routers === 1,
      breakers: { list: () => [], force: () => Promise.reject(new Error('not here')) },
      moment: { budgetsOf: async () => undefined, now: () => FIRST },
    });
    return log;
  };
  const decided = (log: DecisionLog, policy: Policy, facts: Facts, snapshot = FIRST) => {
    const verdict = decide(policy, facts, snapshot, false);
    log.decided(policy, facts, snapshot, verdict);
    return verdict;
  };
  const ask = (op: string, params: object, tenantId = 'acme', bus: Bus = memory) =>
    bus.request(
      at(adminV2, { op }),
      { version: '2', request_id: 'adm-1', params: { ...params } },
      { timeoutMs: 60_000, correlation: { traceId: 't', tenantId, authorization: 'Bearer admin' } },
    );
  const result = async (op: string, params: object): Promise<Record<string, unknown>> => {
    const reply = await ask(op, params);
    assert.ok(reply.ok && reply.result !== undefined, JSON.stringify(reply.error));
    return reply.result;
  };
  return { clock, timers, join, decided, ask, result };
}
