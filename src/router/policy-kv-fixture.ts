// The cases of the bucket source, run on both buses: two routers, each with its own source and replica.
/* eslint-disable no-await-in-loop -- revisions come one after the other */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '../bus/conformance-fixture.ts';
import type { Bus } from '../bus/bus.ts';
import { keyOf } from '../contracts/bucket.ts';
import { systemClock } from '../core/clock.ts';
import { BeamlineError, type ErrorCode } from '../core/errors.ts';
import { Timers } from '../core/timers.ts';
import { BAD, markOf, marked, openReplica, parse, writeOf } from './policy-fixture.ts';
import { openPolicyKv } from './policy-kv.ts';
import type { PolicyReplica } from './policy-replica.ts';
import type { PolicySource } from './policy-source.ts';
import { PolicyStore } from './policy-store.ts';

export interface Routers extends AsyncDisposable {
  readonly bus: Bus;
  readonly peer: Bus;
}

export interface PolicyRouter extends AsyncDisposable {
  readonly source: PolicySource;
  readonly replica: PolicyReplica;
  readonly store: PolicyStore;
  readonly lines: readonly string[];
}

export async function openPolicyRouter(bus: Bus): Promise<PolicyRouter> {
  const { replica, telemetry, lines, timers: still } = openReplica();
  const timers = new Timers(systemClock, { tickMs: 5 });
  const source = await openPolicyKv({ bus, timers, telemetry });
  await source.watch(replica);
  return {
    source,
    replica,
    lines,
    store: new PolicyStore({ source, replica, parse }),
    async [Symbol.asyncDispose]() {
      await source[Symbol.asyncDispose]();
      timers[Symbol.dispose]();
      still[Symbol.dispose]();
    },
  };
}

export async function refusedWith(code: ErrorCode, work: Promise<unknown>): Promise<BeamlineError> {
  const fault = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  assert.ok(fault instanceof BeamlineError, `expected ${code}, got ${String(fault)}`);
  assert.equal(fault.code, code, fault.message);
  return fault;
}

type Case = readonly [what: string, run: (routers: Routers) => Promise<void>];

const CASES: readonly Case[] = [
  [
    'two routers see a write, a change and a deletion',
    async ({ bus, peer }) => {
      await using ours = await openPolicyRouter(bus);
      await using theirs = await openPolicyRouter(peer);
      const both = async (mark: string): Promise<void> =>
        until(mark, () => [ours, theirs].every(({ replica }) => markOf(replica, 'test') === mark));
      assert.equal((await ours.store.put(writeOf('test'), marked('one'))).record.revision, 1);
      await both('one');
      assert.equal((await theirs.store.put(writeOf('test', 1), marked('two'))).record.revision, 2);
      await both('two');
      assert.equal((await ours.store.delete(writeOf('test', 2))).revision, 3);
      await both('policy_not_found');
      assert.equal((await theirs.store.put(writeOf('test', 0), marked('three'))).record.revision, 4);
      await both('three');
    },
  ],
  [
    'a router that starts later has everything, deletions included',
    async ({ bus, peer }) => {
      await using ours = await openPolicyRouter(bus);
      await ours.store.put(writeOf('test'), marked('one'));
      await ours.store.put(writeOf('gone'), marked('two'));
      await ours.store.delete(writeOf('gone'));
      await using theirs = await openPolicyRouter(peer);
      assert.deepEqual([markOf(theirs.replica, 'test'), markOf(theirs.replica, 'gone')], ['one', 'policy_not_found']);
      assert.deepEqual(
        theirs.replica.recordsOf('acme').map(({ policy_id, revision, deleted }) => [policy_id, revision, deleted]),
        [
          ['test', 1, false],
          ['gone', 2, true],
        ],
      );
    },
  ],
  [
    'an expected revision is held to, and of writers that race one wins',
    async ({ bus, peer }) => {
      await using ours = await openPolicyRouter(bus);
      await using theirs = await openPolicyRouter(peer);
      await ours.store.put(writeOf('test', 0), marked('one'));
      await refusedWith('precondition_failed', theirs.store.put(writeOf('test', 0), marked('x')));
      await refusedWith('precondition_failed', theirs.store.put(writeOf('test', 2), marked('x')));
      await refusedWith('precondition_failed', theirs.store.delete(writeOf('test', 2)));
      const raced = await Promise.allSettled(
        [ours, theirs, ours, theirs].map(({ source }, n) => source.put(writeOf('test', 1), marked(`raced-${n}`))),
      );
      assert.equal(raced.filter(({ status }) => status === 'fulfilled').length, 1);
      const free = await Promise.all(
        [ours, theirs].map(({ source }, n) => source.put(writeOf('test'), marked(`free-${n}`))),
      );
      assert.deepEqual(
        free.map(({ revision }) => revision).toSorted((a, b) => a - b),
        [3, 4],
      );
    },
  ],
  [
    'revisions are never used again, and what is absent cannot be deleted',
    async ({ bus }) => {
      await using ours = await openPolicyRouter(bus);
      await refusedWith('not_found', ours.store.delete(writeOf('test')));
      await refusedWith('not_found', ours.store.history('acme', 'test'));
      const revisions = [];
      for (let n = 0; n < 3; n++) {
        revisions.push((await ours.source.put(writeOf('test', 0), marked(`${n}`))).revision);
        revisions.push((await ours.source.delete(writeOf('test'))).revision);
        await refusedWith('not_found', ours.store.delete(writeOf('test')));
      }
      assert.deepEqual(revisions, [1, 2, 3, 4, 5, 6]);
    },
  ],
  [
    'the newest 64 revisions are kept, and an old one comes back as a new one',
    async ({ bus, peer }) => {
      await using ours = await openPolicyRouter(bus);
      await using theirs = await openPolicyRouter(peer);
      for (let n = 1; n <= 69; n++) await ours.source.put(writeOf('test'), marked(`${n}`));
      await ours.source.delete(writeOf('test'));
      const history = await theirs.store.history('acme', 'test');
      assert.deepEqual(
        history.map(({ revision }) => revision),
        Array.from({ length: 64 }, (_, n) => 70 - n),
      );
      assert.deepEqual(history[1]?.policy, marked('69'));
      assert.deepEqual([history[0]?.deleted, history[0]?.policy], [true, null]);
      await refusedWith('not_found', theirs.store.rollback(writeOf('test'), 70));
      await refusedWith('not_found', theirs.store.rollback(writeOf('test'), 6));
      assert.equal((await theirs.store.rollback(writeOf('test'), 7)).record.revision, 71);
      await until('both have it', () => [ours, theirs].every(({ replica }) => markOf(replica, 'test') === '7'));
    },
  ],
  [
    'what somebody else wrote into the bucket never replaces a good policy',
    async ({ bus, peer }) => {
      await using ours = await openPolicyRouter(bus);
      await ours.store.put(writeOf('test'), marked('one'));
      const bucket = await peer.openBucket({ name: 'policies', bytesMax: 67_108_864 });
      const key = keyOf('acme', 'test');
      const foreign = { ...(await ours.source.history('acme', 'test'))[0], tenant_id: 'oak', revision: 99 };
      for (const value of ['', 'garbage', '{}', JSON.stringify(foreign), JSON.stringify(BAD)]) {
        const told = ours.lines.length;
        await bucket.put(key, value);
        await until(`'${value.slice(0, 9)}' is refused`, () => ours.lines.length > told);
        assert.equal(markOf(ours.replica, 'test'), 'one');
      }
      await using late = await openPolicyRouter(peer);
      assert.equal(markOf(late.replica, 'test'), 'policy_not_found');
      await ours.store.put(writeOf('test'), marked('mended'));
      await until('it is mended', () => [ours, late].every(({ replica }) => markOf(replica, 'test') === 'mended'));
    },
  ],
  [
    'an entry that is removed by hand is a policy that is gone',
    async ({ bus, peer }) => {
      await using ours = await openPolicyRouter(bus);
      await ours.store.put(writeOf('test'), marked('one'));
      await ours.store.put(writeOf('other'), marked('two'));
      await until('both are there', () => ours.replica.idsOf('acme').size === 2);
      const bucket = await peer.openBucket({ name: 'policies', bytesMax: 67_108_864 });
      await bucket.delete(keyOf('acme', 'test'));
      await until('it is gone', () => markOf(ours.replica, 'test') === 'policy_not_found');
      assert.equal(markOf(ours.replica, 'other'), 'two');
    },
  ],
];

/** Runs every case on a bus that `open` gives, empty each time. */
export function testPolicyKv(name: string, open: () => Promise<Routers>): void {
  for (const [what, run] of CASES) {
    test(`kv on ${name}: ${what}`, async () => {
      await using routers = await open();
      await run(routers);
    });
  }
}
