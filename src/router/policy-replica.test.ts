import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openMemoryBus } from '../bus/memory.ts';
import { type ExecAssignment, type ExecAssignmentAck, execCall } from '../contracts/assignment.ts';
import { at } from '../contracts/contract.ts';
import { decideV2 } from '../contracts/decide.ts';
import { attemptOutcome } from '../contracts/outcome.ts';
import { ExtensionRegistry } from './extension-registry.ts';
import { BAD, live, markOf, openReplica, recordOf, tombstone } from './policy-fixture.ts';
import type { PolicyRecord } from './policy-source.ts';
import { startRouter } from './router.ts';

type Heard = PolicyRecord | readonly PolicyRecord[];

// What the source told, one after the other, and what stands at the end for `test` and for `default`.
const HISTORIES: readonly (readonly [what: string, heard: readonly Heard[], test: string, byDefault: string])[] = [
  ['nothing stored leaves the built-in policies', [[]], 'policy_not_found', 'built-in'],
  ['a stored policy replaces a built-in one', [[live('default', 3)]], 'policy_not_found', 'default-3'],
  ['a higher revision wins', [[live('test', 1)], live('test', 9)], 'test-9', 'built-in'],
  ['a lower revision is ignored', [[live('test', 9)], live('test', 8)], 'test-9', 'built-in'],
  ['the same revision is ignored', [[live('test', 9)], live('test', 9, 'other')], 'test-9', 'built-in'],
  ['a list does not bring back an older revision', [[live('test', 9)], [live('test', 8)]], 'test-9', 'built-in'],
  ['a tombstone deletes', [[live('test', 1)], tombstone('test', 2)], 'policy_not_found', 'built-in'],
  [
    'a deleted policy gives way to the built-in',
    [[live('default', 1)], tombstone('default', 2)],
    'policy_not_found',
    'built-in',
  ],
  [
    'what comes late does not undo a deletion',
    [[], tombstone('test', 5), live('test', 4)],
    'policy_not_found',
    'built-in',
  ],
  ['a list does not undo a deletion', [[tombstone('test', 5)], [live('test', 4)]], 'policy_not_found', 'built-in'],
  ['after a deletion a policy can be made again', [[tombstone('test', 5)], live('test', 6)], 'test-6', 'built-in'],
  [
    'a list removes what it does not name',
    [[live('test', 1), live('default', 1)], [live('default', 1)]],
    'policy_not_found',
    'default-1',
  ],
  [
    'what a list removed may come back with any revision',
    [[live('test', 9)], [], live('test', 1)],
    'test-1',
    'built-in',
  ],
  ['a bad document does not replace a good one', [[live('test', 1)], recordOf('test', 2, BAD)], 'test-1', 'built-in'],
  ['nor does a bad one in a list', [[live('test', 1)], [recordOf('test', 2, BAD)]], 'test-1', 'built-in'],
  ['nor does one that is no document', [[live('test', 1)], recordOf('test', 2, undefined)], 'test-1', 'built-in'],
  [
    'after a bad document the next good one is taken',
    [[live('test', 1)], recordOf('test', 2, BAD), live('test', 3)],
    'test-3',
    'built-in',
  ],
  [
    'a deletion passes a bad document',
    [[live('test', 1)], recordOf('test', 2, BAD), tombstone('test', 3)],
    'policy_not_found',
    'built-in',
  ],
];

for (const [what, heard, expected, byDefault] of HISTORIES) {
  test(what, () => {
    const { replica } = openReplica();
    for (const told of heard) {
      if ('revision' in told) replica.changed(told);
      else replica.all(told);
    }
    assert.deepEqual([markOf(replica, 'test'), markOf(replica, 'default')], [expected, byDefault]);
    const ids = ['test', 'default'].filter((id) => replica.idsOf('acme').has(id));
    assert.deepEqual(
      ids,
      ['test', 'default'].filter((id) => !['policy_not_found', 'built-in'].includes(markOf(replica, id))),
    );
  });
}

test('policies belong to their tenant, and built-in ones to every known tenant', () => {
  const { replica } = openReplica();
  replica.all([live('test', 1)]);
  assert.equal(markOf(replica, 'test', 'oak'), 'policy_not_found');
  assert.equal(markOf(replica, 'direct', 'oak'), 'built-in');
  assert.equal(markOf(replica, 'default', 'nobody'), 'forbidden');
});

test('a bad document is told with every finding, once for each revision', () => {
  const { replica, lines, telemetry } = openReplica();
  const bad = recordOf('test', 2, BAD);
  replica.all([bad]);
  replica.all([bad]);
  const told = lines.filter((line) => line.includes('policy_refused'));
  assert.equal(told.length, 2, told.join(''));
  assert.match(told.join(''), /"policy":"test".*\/providers\/0\/name pattern .*\/providers\/0\/weight type /s);
  assert.match(telemetry.metrics.render(), /router_policy_source_total\{result="refused"\} 1/);
});

test('what a policy is warned of is told in one line when it is loaded', () => {
  const { replica, lines } = openReplica();
  replica.all([recordOf('test', 2, { version: '1.0', weights: { alder: 1 }, health_check: {}, defaults: {} })]);
  const told = lines.filter((line) => line.includes('policy_warned'));
  assert.equal(told.length, 1);
  assert.match(told.join(''), /"policy":"test".*"count":2.*no_effect/s);
});

test('a policy that is bad from the start is not decided by the built-in one; a change that is bad later is', () => {
  const { replica } = openReplica();
  replica.all([recordOf('default', 2, BAD), live('test', 1)]);
  assert.deepEqual([markOf(replica, 'default'), markOf(replica, 'test')], ['policy_not_found', 'test-1']);
  replica.changed(recordOf('direct', 1, BAD));
  assert.deepEqual([markOf(replica, 'direct'), replica.faulty], ['built-in', 2]);
  replica.changed(live('default', 3));
  assert.deepEqual([markOf(replica, 'default'), replica.faulty], ['default-3', 1]);
  replica.all([live('default', 3)]);
  assert.equal(replica.faulty, 0);
});

test('nothing is decided before the source was heard', () => {
  const { replica } = openReplica();
  replica.unreachable(new Error('away'));
  assert.equal(markOf(replica, 'default'), 'unavailable');
  assert.equal(replica.isReady, false);
  replica.all([]);
  assert.equal(markOf(replica, 'default'), 'built-in');
});

test('without its source decisions go on, and are stale after a minute', () => {
  const { replica, clock, telemetry } = openReplica();
  const isStale = (): boolean => replica.isStale(clock.nowMs());
  replica.all([live('test', 1)]);
  clock.advance(3_600_000);
  assert.equal(isStale(), false);
  replica.unreachable(new Error('away'));
  clock.advance(30_000);
  replica.unreachable(new Error('still away'));
  clock.advance(29_999);
  assert.equal(isStale(), false);
  clock.advance(1);
  assert.equal(isStale(), true);
  assert.match(telemetry.metrics.render(), /router_policy_revision_age_seconds\{source="kv"\} 60\n/);
  assert.equal(markOf(replica, 'test'), 'test-1');
  replica.all([live('test', 1)]);
  assert.equal(isStale(), false);
  assert.match(telemetry.metrics.render(), /router_policy_revision_age_seconds\{source="kv"\} 0\n/);
});

test('a snapshot serves until the source is heard, and counts as stale', () => {
  const { replica, clock } = openReplica();
  replica.restore([live('test', 4), tombstone('gone', 7)], clock.epochMs() - 5_000);
  assert.deepEqual(
    [replica.isReady, replica.isStale(clock.nowMs()), replica.ageMs(clock.nowMs())],
    [true, true, 5_000],
  );
  replica.changed(live('gone', 6));
  assert.deepEqual([markOf(replica, 'test'), markOf(replica, 'gone')], ['test-4', 'policy_not_found']);
  replica.all([live('test', 5)]);
  replica.restore([live('test', 9), live('gone', 9)], clock.epochMs());
  assert.deepEqual([markOf(replica, 'test'), markOf(replica, 'gone')], ['test-5', 'policy_not_found']);
  assert.equal(replica.isStale(clock.nowMs()), false);
});

test('no request mixes two revisions, in its decision or between its attempts, through 1000 swaps', async () => {
  const { replica, timers, telemetry } = openReplica();
  await using bus = openMemoryBus({ timers, telemetry });
  await using registry = await ExtensionRegistry.open({ bus, timers, log: telemetry.log, configured: new Map() });
  const pushed: ExecAssignment[] = [];
  bus.serve(
    at(execCall, { pool: 'default' }),
    { pendingMax: 5_000 },
    async (assignment): Promise<ExecAssignmentAck> => {
      pushed.push(assignment);
      await turn();
      const { assignment_id, attempt } = assignment;
      // The first worker is full: the second attempt is made by whatever the request still holds.
      const ack = { assignment_id, worker_id: 'w-1' };
      return attempt === 1 ? { ...ack, status: 'rejected', reason: 'queue_full' } : { ...ack, status: 'accepted' };
    },
  );
  replica.all([live('left', 1), live('right', 1)]);
  await using router = await startRouter({
    bus,
    timers,
    telemetry,
    policies: replica,
    registry,
    settings: {
      id: 'r-1',
      accept_wait_ms: 60_000,
      in_flight_max: 5_000,
      extensions_ms: 4_000,
      budget_output_tokens: 100,
      heartbeat_ms: 60_000,
      silence_ms: 180_000,
      worker_lost_ms: 180_000,
      dispatch_window: 0,
      jobs_outstanding: 100,
      sweep_ms: 60_000,
      jobs_bytes_max: 1e9,
      jobs_retention_hours: 216,
    },
  });
  const replies = [];
  for (let revision = 2; revision <= 1_001; revision++) {
    for (const id of ['left', 'right']) {
      replies.push(bus.request(at(decideV2), requestOf(id, revision), { timeoutMs: 60_000, correlation: CORRELATION }));
      replica.changed(live(id, revision));
    }
    if (revision % 3 === 0) await turn();
  }
  const decisions = (await Promise.all(replies)).map(({ decision }) => decision);
  for (const decision of decisions) {
    assert.equal(decision?.model, `${decision?.policy_id}-${decision?.policy_revision}`);
  }
  while (pushed.length < 2 * decisions.length) await turn();
  const first = new Map<string, string>();
  for (const { assignment_id, executor, decision } of pushed) {
    const mark = `${decision?.policy_id}-${decision?.policy_revision}`;
    assert.equal(executor.model, mark);
    assert.equal(first.get(assignment_id) ?? mark, mark);
    first.set(assignment_id, mark);
  }
  assert.equal(first.size, decisions.length);
  assert.ok(new Set(first.values()).size > 600, `${new Set(first.values()).size} revisions were decided by`);
  for (const { assignment_id, request_id, attempt = 1, executor } of pushed) {
    const ended = { version: '2', state: 'succeeded', committed: true, tenant_id: 'acme', worker_id: 'w-1' } as const;
    const of = { assignment_id, request_id, attempt, provider_id: executor.provider_id };
    bus.publish(at(attemptOutcome), { ...ended, ...of, latency_ms: 1, timestamp_ms: 1 }, CORRELATION);
  }
  await turn();
  void router;
});

const CORRELATION = { traceId: 't-1', tenantId: 'acme' };

const requestOf = (policyId: string, n: number) =>
  ({
    version: '2',
    request_id: `rq-${policyId}-${n}`,
    tenant_id: 'acme',
    task: { type: 'ai.chat', model: 'small', payload: { messages: [] } },
    policy_id: policyId,
    push_assignment: true,
    deliver_to: 'beamline.exec.v2.frames.gw.s1',
    deadline_ms: 30_000,
  }) as const;

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));
