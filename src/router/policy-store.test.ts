import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BAD, live, marked, openReplica, parse, recordOf, tombstone, writeOf } from './policy-fixture.ts';
import { refusedWith } from './policy-kv-fixture.ts';
import { recordAfter, tombstoneAfter } from './policy-record.ts';
import type { PolicyRecord, PolicySource } from './policy-source.ts';
import { PolicyStore } from './policy-store.ts';

/** A store over a source that notes what reaches it and hands it to the replica at once. */
function open(records: readonly PolicyRecord[] = []) {
  const { replica } = openReplica();
  replica.all(records);
  const written: PolicyRecord[] = [];
  const heldOf = (policyId: string): PolicyRecord | undefined =>
    replica.recordsOf('acme').find((record) => record.policy_id === policyId);
  const take = (record: PolicyRecord): PolicyRecord => {
    written.push(record);
    replica.changed(record);
    return record;
  };
  const source: PolicySource = {
    kind: 'kv',
    watch: async () => undefined,
    put: async (write, document) => take(recordAfter(heldOf(write.policyId), write, document, 0)),
    delete: async (write) => take(tombstoneAfter(heldOf(write.policyId), write, 0)),
    history: async (_tenantId, policyId) => [
      ...written.filter((record) => record.policy_id === policyId).toReversed(),
      ...records.filter((record) => record.policy_id === policyId),
    ],
    [Symbol.asyncDispose]: async () => undefined,
  };
  const policiesMax = new Map([['oak', 101]]);
  return { replica, written, store: new PolicyStore({ source, replica, parse, policiesMax }) };
}

const many = (count: number, of: (id: string) => PolicyRecord): readonly PolicyRecord[] =>
  Array.from({ length: count }, (_, n) => of(`policy-${n}`));

test('a document with faults never reaches the source, and every fault is told', async () => {
  const { store, written } = open();
  const { details } = await refusedWith('validation_failed', store.put(writeOf('test'), BAD));
  assert.partialDeepStrictEqual(details, {
    errors: [
      { path: '/providers/0/name', code: 'pattern' },
      { path: '/providers/0/weight', code: 'type' },
    ],
    warnings: [],
  });
  for (const none of [undefined, null, '', 7, [], {}]) {
    await refusedWith('validation_failed', store.put(writeOf('test'), none));
  }
  await refusedWith('validation_failed', store.put(writeOf('test'), { ...marked('x'), policy_id: 'other' }));
  assert.deepEqual(written, []);
});

test('warnings come with what was written', async () => {
  const { store } = open();
  const { record, warnings } = await store.put(writeOf('test'), {
    version: '1.0',
    weights: { alder: 1 },
    health_check: {},
  });
  assert.equal(record.revision, 1);
  assert.ok(warnings.some(({ code }) => code === 'no_effect'));
});

test('a tenant has room for 100 policies, and those that it has can be changed, deleted and replaced', async () => {
  const { store } = open(many(100, (id) => live(id, 1)));
  const { details } = await refusedWith('capacity_exceeded', store.put(writeOf('more'), marked('x')));
  assert.deepEqual(details, { policies_max: 100 });
  assert.equal((await store.put(writeOf('policy-7', 1), marked('x'))).record.revision, 2);
  await store.delete(writeOf('policy-7'));
  await store.put(writeOf('more', 0), marked('x'));
  await refusedWith('capacity_exceeded', store.put(writeOf('policy-7'), marked('x')));
});

test('ids that were used and deleted have a bound too', async () => {
  const { store } = open(many(1_000, (id) => tombstone(id, 1)));
  await refusedWith('capacity_exceeded', store.put(writeOf('more'), marked('x')));
  assert.equal((await store.put(writeOf('policy-7', 0), marked('x'))).record.revision, 2);
});

test('a tenant whose record says another quota has that one', async () => {
  const { store } = open(many(100, (id) => recordOf(id, 1, marked('x'), 'oak')));
  assert.equal((await store.put({ ...writeOf('more'), tenantId: 'oak' }, marked('x'))).record.revision, 1);
  const { details } = await refusedWith(
    'capacity_exceeded',
    store.put({ ...writeOf('x'), tenantId: 'oak' }, marked('x')),
  );
  assert.deepEqual(details, { policies_max: 101 });
});

test('the quota of one tenant is not that of another', async () => {
  const { store } = open(many(100, (id) => recordOf(id, 1, marked('x'), 'oak')));
  assert.equal((await store.put(writeOf('more'), marked('x'))).record.revision, 1);
});

test('an old document comes back as a new revision, if it is still valid', async () => {
  const { store } = open([live('test', 4, 'old')]);
  await store.put(writeOf('test'), marked('new'));
  await refusedWith('precondition_failed', store.rollback(writeOf('test', 4), 4));
  const { record } = await store.rollback(writeOf('test', 5), 4);
  assert.deepEqual([record.revision, record.policy], [6, marked('old')]);
  await refusedWith('not_found', store.rollback(writeOf('test'), 3));
  const unserved = { version: '2.0', weights: { gone: 1 } };
  const { store: later } = open([recordOf('test', 1, unserved)]);
  await refusedWith('validation_failed', later.rollback(writeOf('test'), 1));
});
