// A router elsewhere that takes its policies from a gateway of ours: what it asks for is what the gateway serves (policy 12.2).
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { BeamlineError } from '../core/errors.ts';
import type { Json } from '../gateway/edge-fixture.ts';
import { openAdministration } from './administration-fixture.ts';
import { openBench } from './heir-fixture.ts';

const DOCUMENT = { version: '2.0', weights: { alder: 1 } };
const OTHER = { version: '2.0', weights: { birch: 1 } };
const ALL = ['acme', 'zeta'];

async function open(tenants: readonly string[] = ALL) {
  const api = await openAdministration('admin', tenants);
  const folder = mkdtempSync(join(tmpdir(), 'beamline-feed-'));
  writeFileSync(join(folder, 'token'), api.edge.key);
  const bench = openBench(api.edge.url, { heir_policy_store_token: `file:${join(folder, 'token')}` });
  const settled = async <T>(promise: Promise<T>): Promise<T | BeamlineError> => {
    const end = await bench.settled(promise);
    return end.status === 'fulfilled' ? end.value : BeamlineError.from(end.reason);
  };
  return {
    ...api,
    ...bench,
    settled,
    async [Symbol.asyncDispose]() {
      await bench[Symbol.asyncDispose]();
      await api[Symbol.asyncDispose]();
      rmSync(folder, { recursive: true });
    },
  };
}

const write = (policyId: string, expectedRevision?: number) => ({
  tenantId: 'acme',
  policyId,
  expectedRevision,
  by: 'elsewhere',
});

test('what is put, changed and deleted at the gateway appears elsewhere, of all tenants', async () => {
  await using opened = await open();
  const { ask, source, heard, passUntil } = opened;
  await ask('PUT', '/policies/acme/support', { body: DOCUMENT });
  await ask('PUT', '/policies/zeta/sales', { body: OTHER });
  await source.watch(heard);
  assert.deepEqual(heard.texts, ['all sales@1 support@1']);
  await ask('PUT', '/policies/acme/support', { body: OTHER });
  await passUntil('the change', () => heard.last === 'changed support@2', 100);
  await ask('DELETE', '/policies/zeta/sales');
  await passUntil('the tombstone', () => heard.last === 'changed sales@2 deleted', 100);
  assert.equal(heard.texts.filter((text) => text.startsWith('all')).length, 1, 'changes alone were asked for');
});

test('names that a gateway takes are names elsewhere', async () => {
  await using opened = await open();
  const { ask, source, heard, policies } = opened;
  for (const id of ['_a', '.b', '-c'])
    assert.equal((await ask('PUT', `/policies/acme/${id}`, { body: DOCUMENT })).status, 201);
  // Over the bus, where no path is in the way.
  await policies.store.put(write('..'), DOCUMENT);
  await source.watch(heard);
  assert.deepEqual(heard.texts, ['all -c@1 ..@1 .b@1 _a@1']);
  const end = await opened.settled(source.put(write('..'), DOCUMENT));
  assert.ok(end instanceof BeamlineError && end.code === 'invalid_request');
});

test('what is written elsewhere is written at the gateway, under the conditions that were set', async () => {
  await using opened = await open();
  const { ask, source, settled } = opened;
  const made = await settled(source.put(write('support', 0), DOCUMENT));
  assert.ok(!(made instanceof BeamlineError));
  assert.deepEqual([made.revision, made.deleted], [1, false]);
  const codes: unknown[] = [];
  for (const attempt of [
    () => source.put(write('support', 0), OTHER),
    () => source.put(write('support', 7), OTHER),
    () => source.delete(write('support', 7)),
    () => source.delete(write('nobody')),
  ]) {
    // eslint-disable-next-line no-await-in-loop -- one after the other
    const end = await settled<unknown>(attempt());
    codes.push(end instanceof BeamlineError ? end.code : 'fulfilled');
  }
  assert.deepEqual(codes, ['precondition_failed', 'precondition_failed', 'precondition_failed', 'not_found']);
  const refused = await settled(source.put(write('support'), { version: '2.0', weights: { oak: 1 } }));
  assert.ok(refused instanceof BeamlineError);
  assert.equal(refused.code, 'validation_failed');
  const { errors } = refused.details as { errors: readonly Json[] };
  assert.deepEqual(
    errors.map(({ path, code }) => [path, code]),
    [['/weights/oak', 'unknown_provider']],
  );
  await settled(source.put(write('support', 1), OTHER));
  assert.deepEqual((await ask('GET', '/policies/acme/support')).json['policy'], OTHER);
  const history = await settled(source.history('acme', 'support'));
  assert.ok(!(history instanceof BeamlineError));
  assert.deepEqual(
    history.map(({ revision, policy }) => [revision, policy]),
    [
      [2, OTHER],
      [1, DOCUMENT],
    ],
  );
  await settled(source.delete(write('support', 2)));
  assert.equal((await ask('GET', '/policies/acme/support')).status, 404);
});

test('a key of some tenants has no feed, and a role that may not read policies neither', async () => {
  await using opened = await open(['acme']);
  const { ask, source, heard } = opened;
  await source.watch(heard);
  assert.deepEqual(heard.texts, ['unreachable credential_refused']);
  assert.equal((await ask('GET', '/policies')).status, 403);
  await using service = await openAdministration('service', ALL);
  assert.equal((await service.ask('GET', '/policies')).status, 403);
  await using viewer = await openAdministration('viewer', ALL);
  assert.equal((await viewer.ask('GET', '/policies')).status, 200);
});

test('the feed has pages, and says which positions it does not have', async () => {
  await using opened = await open();
  const { ask, policies } = opened;
  const empty = await ask('GET', '/policies?since=0');
  assert.deepEqual(empty.json, {
    data: [],
    revision: 0,
    pagination: { limit: 50, next_cursor: null, has_more: false },
  });
  for (const id of ['a', 'b', 'c']) await ask('PUT', `/policies/acme/${id}`, { body: DOCUMENT });
  const first = await ask('GET', '/policies?since=0&limit=2');
  const { next_cursor: cursor, ...pagination } = first.json['pagination'] as Json;
  assert.deepEqual(pagination, { limit: 2, has_more: true });
  const second = await ask('GET', `/policies?since=0&limit=2&cursor=${String(cursor)}`);
  assert.deepEqual(
    [first, second].map(({ json }) => (json['data'] as Json[]).map(({ policy_id }) => policy_id)),
    [['a', 'b'], ['c']],
  );
  assert.equal(first.json['revision'], second.json['revision']);
  assert.equal((await ask('GET', '/policies?since=1')).status, 410);
  assert.equal((await ask('GET', `/policies?since=${Number.MAX_SAFE_INTEGER}`)).status, 503);
  for (const query of ['since=-1', 'since=x', 'since=99999999999999999', 'limit=0', 'limit=201', 'cursor=x']) {
    assert.equal((await ask('GET', `/policies?${query}`)).status, 400, query);
  }
  policies.replica.unreachable(new Error('away'));
  assert.equal((await ask('GET', '/policies')).status, 503);
});
