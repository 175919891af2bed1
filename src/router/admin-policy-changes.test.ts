import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AdminParams } from '../contracts/admin-operations.ts';
import { BeamlineError } from '../core/errors.ts';
import { policyChanges } from './admin-policy-changes.ts';
import type { AdminPrincipal } from './admin-principal.ts';
import { live, marked, openReplica, recordOf, tombstone } from './policy-fixture.ts';
import type { PolicyRecord } from './policy-source.ts';

const EVERYBODY: AdminPrincipal = { id: 'key_1', tenants: ['oak', 'acme'] };

function open(records: readonly PolicyRecord[] = []) {
  const opened = openReplica();
  const { replica } = opened;
  replica.all(records);
  const { policy_changes: ask } = policyChanges(replica);
  const told = async (params: AdminParams['policy_changes'] = {}, by = EVERYBODY) => {
    const { items, revision, next_cursor: cursor } = await ask(params, by);
    const names = items.map(
      ({ tenant_id, policy_id, revision: own, deleted }) => `${tenant_id}/${policy_id}@${own}${deleted ? ' gone' : ''}`,
    );
    return { names, revision, cursor };
  };
  const codeOf = async (params: AdminParams['policy_changes'], by = EVERYBODY): Promise<string> => {
    try {
      await ask(params, by);
      return 'answered';
    } catch (fault) {
      return BeamlineError.from(fault).code;
    }
  };
  return { replica, told, codeOf };
}

const FIVE = [live('d', 1), live('b', 3), tombstone('c', 2), recordOf('a', 1, marked('x'), 'oak'), live('a', 9)];

test('the full list has everything once, in pages, tombstones included', async () => {
  const { told } = open(FIVE);
  const whole = await told();
  assert.deepEqual(whole.names, ['acme/a@9', 'acme/b@3', 'acme/c@2 gone', 'acme/d@1', 'oak/a@1']);
  assert.equal(whole.cursor, undefined);
  const names: string[] = [];
  let cursor: string | undefined;
  do {
    // eslint-disable-next-line no-await-in-loop -- each page names the next one
    const page = await told(cursor === undefined ? { limit: 2 } : { limit: 2, cursor });
    assert.ok(page.names.length <= 2);
    assert.equal(page.revision, whole.revision);
    names.push(...page.names);
    ({ cursor } = page);
  } while (cursor !== undefined);
  assert.deepEqual(names, whole.names);
});

test('a look tells what changed since, each policy once and as it is now', async () => {
  const { replica, told } = open(FIVE);
  const { revision: since } = await told();
  assert.deepEqual(await told({ since }), { names: [], revision: since, cursor: undefined });
  replica.changed(live('d', 2));
  replica.changed(live('b', 4));
  replica.changed(tombstone('d', 3));
  const later = await told({ since });
  assert.deepEqual(later.names, ['acme/b@4', 'acme/d@3 gone']);
  assert.ok(later.revision > since);
  const first = await told({ since, limit: 1 });
  assert.deepEqual(first.names, ['acme/b@4']);
  const second = await told({ since, limit: 1, ...(first.cursor === undefined ? {} : { cursor: first.cursor }) });
  assert.deepEqual([second.names, second.cursor], [['acme/d@3 gone'], undefined]);
});

test('what changes while pages are read comes with the next look, from whichever router', async () => {
  const { replica, told } = open(FIVE);
  const { cursor = '', revision: since } = await told({ limit: 3 });
  replica.changed(live('a', 10));
  replica.changed(live('d', 2));
  const rest = await told({ cursor });
  assert.deepEqual([rest.names, rest.revision], [['acme/d@2', 'oak/a@1'], since]);
  assert.deepEqual((await told({ since })).names, ['acme/a@10', 'acme/d@2']);
  const other = open(FIVE);
  assert.deepEqual((await other.told({ cursor })).names, ['acme/d@1', 'oak/a@1']);
  assert.equal(await other.codeOf({ since: (await told()).revision }), 'unavailable', 'it has not heard that yet');
  other.replica.changed(live('a', 10));
  assert.deepEqual((await other.told({ since })).names, ['acme/a@10']);
});

test('a place that nobody remembers is gone, for pages too', async () => {
  const { replica, told, codeOf } = open(FIVE);
  const { revision: since, cursor = '' } = await told({ limit: 1 });
  replica.all([...FIVE.slice(0, 3), live('a', 99)]);
  assert.equal(await codeOf({ since }), 'gone');
  assert.equal(await codeOf({ cursor }), 'gone');
  assert.equal(await codeOf({ since: 1 }), 'gone');
  assert.equal(await codeOf({}), 'answered');
});

test('it is for a key of all tenants and all policies, and holds nothing of others', async () => {
  const { codeOf, told } = open([...FIVE, recordOf('a', 5, marked('x'), 'elm')]);
  assert.equal(await codeOf({}, { id: 'k', tenants: ['acme'] }), 'forbidden');
  assert.equal(await codeOf({}, { ...EVERYBODY, policies: new Set(['a']) }), 'forbidden');
  const { names } = await told();
  assert.equal(names.length, 5);
  assert.equal(
    names.some((name) => name.startsWith('elm')),
    false,
  );
});

test('a router that does not hear its source has no list', async () => {
  const { replica, codeOf } = open(FIVE);
  replica.unreachable(new Error('away'));
  assert.equal(await codeOf({}), 'unavailable');
  replica.all(FIVE);
  assert.equal(await codeOf({}), 'answered');
});

test('a page fits into a message, however large its documents are', async () => {
  const large = { ...marked('x'), metadata: { note: 'x'.repeat(200_000) } };
  const { told } = open(['a', 'b', 'c'].map((id) => recordOf(id, 1, large)));
  const { names, cursor } = await told();
  assert.deepEqual(names, ['acme/a@1']);
  assert.ok(cursor);
});

test('a cursor that no page gave is a bad request', async () => {
  const { codeOf } = open(FIVE);
  for (const cursor of ['x', Buffer.from('1 a').toString('base64url'), Buffer.from('x a b').toString('base64url')]) {
    assert.equal(await codeOf({ cursor }), 'invalid_request');
  }
});
