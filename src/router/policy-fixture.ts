// What the tests of policies share: records, a replica on a clock moved by hand, a listener that notes.
import { ManualClock } from '../core/clock.ts';
import { Timers } from '../core/timers.ts';
import type { PolicyKey } from '../policy/compile.ts';
import { builtInPolicy, type Parsed, parsePolicy } from '../policy/parse.ts';
import { openLog } from '../telemetry/log.ts';
import { Metrics } from '../telemetry/metrics.ts';
import { digestOf } from './policy-record.ts';
import { PolicyReplica } from './policy-replica.ts';
import type { PolicyListener, PolicyRecord, PolicySource, PolicyWrite } from './policy-source.ts';

export const EPOCH_MS = 1_790_000_000_000;
const PROVIDERS = ['alder', 'birch'];

export const parse = (document: unknown, key: PolicyKey): Parsed =>
  parsePolicy(document, { ...key, knownProviders: new Set(PROVIDERS) });

/** A document that says which one it is: the model that it sends. */
export const marked = (marker: string) => ({
  version: '2.0',
  providers: [{ name: 'alder', weight: 1, model: marker }],
});

export const BAD = { version: '2.0', providers: [{ name: 'Alder!', weight: 'much' }] };

export function recordOf(policyId: string, revision: number, policy: unknown, tenantId = 'acme'): PolicyRecord {
  return {
    tenant_id: tenantId,
    policy_id: policyId,
    revision,
    policy,
    digest: digestOf(policy),
    updated_at_ms: EPOCH_MS,
    updated_by: 'test',
    deleted: policy === null,
  };
}

export const live = (policyId: string, revision: number, marker = `${policyId}-${revision}`): PolicyRecord =>
  recordOf(policyId, revision, marked(marker));

export const tombstone = (policyId: string, revision: number): PolicyRecord => recordOf(policyId, revision, null);

export const writeOf = (policyId: string, expectedRevision?: number): PolicyWrite => ({
  tenantId: 'acme',
  policyId,
  expectedRevision,
  by: 'test',
});

export function openReplica(source: PolicySource['kind'] = 'kv') {
  const clock = new ManualClock(EPOCH_MS);
  const timers = new Timers(clock);
  const lines: string[] = [];
  const metrics = new Metrics();
  const telemetry = { log: openLog('info', { write: (line) => void lines.push(line) }, clock), metrics };
  const served = PROVIDERS.map((name) => ({ name }));
  const replica = new PolicyReplica({
    source,
    tenants: new Set(['acme', 'oak']),
    builtIns: [builtInPolicy('default', served), builtInPolicy('direct', served)],
    parse,
    clock,
    telemetry,
  });
  return { replica, clock, timers, telemetry, lines };
}

/** The model that the policy sends, which is what it was marked with; `built-in` for those. */
export function markOf(replica: PolicyReplica, policyId: string, tenantId = 'acme'): string {
  try {
    const policy = replica.find(tenantId, policyId);
    return policy.revision === 0 ? 'built-in' : (policy.targets[0]?.model ?? 'unmarked');
  } catch (fault) {
    return fault instanceof Error && 'code' in fault ? String(fault.code) : 'unknown fault';
  }
}

/** Notes what a source tells, one short text each. */
export function noting(): PolicyListener & { readonly heard: string[] } {
  const textOf = ({ policy_id, revision, deleted }: PolicyRecord): string =>
    `${deleted ? '-' : ''}${policy_id}@${revision}`;
  const heard: string[] = [];
  return {
    heard,
    all: (records) => void heard.push(`all ${records.map(textOf).toSorted().join(' ')}`.trim()),
    changed: (record) => void heard.push(textOf(record)),
    unreachable: () => void heard.push('unreachable'),
  };
}
