import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '../../test/until.ts';
import { digestOf } from '../router/policy-record.ts';
import { answer, type Bench, FakeHeir, openBench, page, reasonOf } from './heir-fixture.ts';

const POLICY = { version: '2.0', weights: { a: 1 } };

async function opened(settings: Readonly<Record<string, unknown>> = {}) {
  const store = new FakeHeir();
  const port = await store.listen();
  const bench = openBench(`http://127.0.0.1:${port}`, settings);
  return { store, port, bench, ...bench };
}

const write = (policyId: string, expectedRevision?: number) => ({
  tenantId: 't1',
  policyId,
  expectedRevision,
  by: 'somebody',
});

test('the full list comes first, over several pages, then changes and tombstones', async () => {
  const { store, bench, source, heard, passUntil } = await opened();
  await using _store = store;
  await using _bench = bench;
  store.pageItems = 2;
  for (const id of ['a', 'b', 'c', 'd', 'e']) store.write(id, POLICY);
  await source.watch(heard);
  assert.deepEqual(heard.texts, ['all a@1 b@2 c@3 d@4 e@5']);
  assert.equal(store.seen.length, 3);
  store.write('b', POLICY);
  store.write('c', null);
  await passUntil('the tombstone', () => heard.last === 'changed c@7 deleted', 100);
  assert.deepEqual(heard.texts.slice(1), ['changed b@6', 'changed c@7 deleted']);
  assert.equal(store.seen.at(-1)?.includes('since='), true);
});

test('polls are one interval apart', async () => {
  const { store, bench, source, heard, clock, passUntil } = await opened({ heir_policy_store_poll: 2000 });
  await using _store = store;
  await using _bench = bench;
  await source.watch(heard);
  await passUntil('the second look', () => store.seen.length === 2);
  assert.ok(clock.nowMs() >= 2000);
});

test('a store that is down at the start is heard when it comes up, by its full list', async () => {
  const { store, port, bench, source, heard, passUntil } = await opened();
  await using _bench = bench;
  await store[Symbol.asyncDispose]();
  const watching = source.watch(heard);
  await bench.settled(watching);
  assert.deepEqual(heard.texts, ['unreachable unreachable']);
  await using again = new FakeHeir();
  again.write('a', POLICY);
  await again.listen(port);
  await passUntil('the list', () => heard.last === 'all a@1', 200);
});

test('after a store was away its full list wins: what was deleted meanwhile is not in it', async () => {
  const { store, port, bench, source, heard, passUntil } = await opened();
  await using _bench = bench;
  store.write('a', POLICY);
  store.write('b', POLICY);
  await source.watch(heard);
  await store[Symbol.asyncDispose]();
  await passUntil('the loss', () => heard.last?.startsWith('unreachable'), 200);
  await using again = new FakeHeir();
  again.revision = 2;
  again.write('b', POLICY);
  await again.listen(port);
  await passUntil('the list', () => heard.last === 'all b@3', 200);
  assert.match(again.seen[0] ?? '', /since=0&/);
});

test('a position that is too old, or a store that was put back, leads to the full list at once', async () => {
  for (const isTooOld of [true, false]) {
    const { store, bench, source, heard, passUntil } = await opened();
    await using _store = store;
    await using _bench = bench;
    store.write('a', POLICY);
    store.write('b', POLICY);
    await source.watch(heard);
    store.records.delete('t1/a');
    if (isTooOld) {
      store.quirk = ({ url = '' }, response) => !url.includes('since=0&') && answer(response, 410, {});
    } else store.revision = 1;
    await passUntil('the list', () => heard.last === 'all b@2', 100);
    assert.deepEqual(heard.texts, ['all a@1 b@2', 'all b@2']);
  }
});

const good = new FakeHeir().write('x', POLICY);
const broken: readonly (readonly [what: string, body: string])[] = [
  ['an empty body', ''],
  ['text', 'hello'],
  ['half of a page', JSON.stringify(page([good])).slice(0, -20)],
  ['an empty object', '{}'],
  ['a page without its revision', JSON.stringify(page([good]))],
  ['a page without pagination', JSON.stringify({ data: [good], revision: 9 })],
  [
    'a page that promises more without saying where',
    JSON.stringify({ data: [good], revision: 9, pagination: { has_more: true, next_cursor: null } }),
  ],
  ['too long a page', JSON.stringify({ ...page(Array.from({ length: 201 }, () => good)), revision: 9 })],
  ...Object.entries({
    revision: 0,
    policy: null,
    tenant_id: 'a.b',
    policy_id: '../x',
    digest: 5,
    updated_by: null,
    updated_at_ms: -1,
    deleted: 'no',
  }).map(
    ([key, value]) =>
      [
        `a record whose ${key} is ${JSON.stringify(value)}`,
        JSON.stringify({ ...page([good, { ...good, [key]: value }]), revision: 9 }),
      ] as const,
  ),
  ['a tombstone with a policy', JSON.stringify({ ...page([{ ...good, deleted: true }]), revision: 9 })],
];

for (const [what, body] of broken) {
  test(`${what} in the feed applies nothing and is no deletion`, async () => {
    const { store, bench, source, heard, passUntil } = await opened();
    await using _store = store;
    await using _bench = bench;
    store.pageItems = 1;
    store.write('a', POLICY);
    await source.watch(heard);
    store.write('b', POLICY);
    store.write('c', POLICY);
    // The first page is good, the second is not.
    store.quirk = ({ url = '' }, response) => {
      if (!url.includes('cursor=')) return false;
      response.end(body);
      return true;
    };
    await passUntil('the loss', () => heard.last?.startsWith('unreachable unreadable'), 200);
    assert.deepEqual(
      heard.texts.filter((text) => !text.startsWith('unreachable')),
      ['all a@1'],
    );
    store.quirk = () => false;
    await passUntil('the list', () => heard.last === 'all a@1 b@2 c@3', 200);
  });
}

test('members that nobody knows pass and are dropped; a cursor that comes back ends the reading', async () => {
  const { store, bench, source, heard } = await opened();
  await using _store = store;
  await using _bench = bench;
  store.quirk = (_, response) => answer(response, 200, { ...page([{ ...good, later: 1 }]), revision: 9, later: 1 });
  await source.watch(heard);
  assert.deepEqual(heard.texts, ['all x@1']);
  store.quirk = (_, response) => answer(response, 200, { ...page([], 'again'), revision: 9 });
  await bench.passUntil('the loss', () => heard.last === 'unreachable cursor_repeats', 100);
});

test('a write is answered after the store confirmed it, and is heard without a poll', async () => {
  const { store, bench, source, heard } = await opened();
  await using _store = store;
  await using _bench = bench;
  await source.watch(heard);
  const created = await source.put(write('a', 0), POLICY);
  assert.deepEqual(created, {
    tenant_id: 't1',
    policy_id: 'a',
    revision: 1,
    policy: POLICY,
    digest: digestOf(POLICY),
    updated_at_ms: bench.clock.epochMs(),
    updated_by: 'somebody',
    deleted: false,
  });
  assert.equal((await source.put(write('a', 1), POLICY)).revision, 2);
  const [summary] = await source.history('t1', 'a');
  assert.deepEqual([summary?.revision, summary?.updated_by], [2, 'store']);
  const tombstone = await source.delete(write('a'));
  assert.deepEqual([tombstone.revision, tombstone.deleted, tombstone.policy], [3, true, null]);
  assert.deepEqual(heard.texts, ['all', 'changed a@1', 'changed a@2', 'changed a@3 deleted']);
  assert.equal(store.seen.filter((line) => line.startsWith('GET /api/v1/policies?')).length, 1);
});

test('what the store refuses keeps its meaning', async () => {
  const { store, bench, source } = await opened();
  await using _store = store;
  await using _bench = bench;
  store.write('a', POLICY);
  const problem = [{ path: '/weights', code: 'required', message: 'is required' }];
  const cases = [
    ['precondition_failed', () => source.put(write('a', 0), POLICY)],
    ['precondition_failed', () => source.put(write('a', 7), POLICY)],
    ['precondition_failed', () => source.delete(write('a', 7))],
    ['precondition_failed', () => source.delete(write('a', 0))],
    ['not_found', () => source.delete(write('b'))],
    ['not_found', () => source.delete(write('b', 0))],
    ['invalid_request', () => source.put({ ...write('a'), tenantId: '../x' }, POLICY)],
  ] as const;
  for (const [code, work] of cases) await assert.rejects(work, { code });
  for (const body of [problem, { errors: problem }, { error: { details: { fields: problem } } }]) {
    store.quirk = (_, response) => answer(response, 422, body);
    await assert.rejects(source.put(write('a'), {}), {
      code: 'validation_failed',
      details: { errors: problem, warnings: [] },
    });
  }
  store.quirk = (_, response) => answer(response, 400);
  await assert.rejects(source.put(write('a'), {}), { code: 'invalid_request' });
  store.quirk = (_, response) => answer(response, 404);
  await assert.rejects(source.history('t1', 'a'), { code: 'not_found' });
  assert.equal(store.records.get('t1/a')?.revision, 1);
});

test('a write whose end is unclear is unavailable, and nothing is heard of it but by the feed', async () => {
  const { store, bench, source, heard, passUntil } = await opened();
  await using _store = store;
  await using _bench = bench;
  await source.watch(heard);
  store.quirk = ({ method }, response) => {
    if (method !== 'PUT') return false;
    store.write('a', POLICY);
    return answer(response, 200);
  };
  await assert.rejects(source.put(write('a'), POLICY), (fault) => reasonOf(fault) === 'unreadable_syntax');
  assert.deepEqual(heard.texts, ['all']);
  await passUntil('the feed', () => heard.last === 'changed a@1', 100);
});

test('a full list that was read while a write was confirmed does not undo the write', async () => {
  const { store, bench, source, heard } = await opened();
  await using _store = store;
  await using _bench = bench;
  let release: (() => void) | undefined;
  store.quirk = ({ url = '' }, response) => {
    if (!url.includes('since=')) return false;
    release = () => answer(response, 200, { ...page([]), revision: 0 });
    return true;
  };
  const watching = source.watch(heard);
  await until('the list to be asked for', () => release !== undefined);
  await source.put(write('a'), POLICY);
  release?.();
  await watching;
  assert.deepEqual(heard.texts, ['all a@1']);
});

test('a slow feed delays no write, and is not asked twice', async () => {
  const { store, bench, source, heard, clock } = await opened();
  await using _store = store;
  await using _bench = bench;
  await source.watch(heard);
  store.quirk = ({ url = '' }) => url.includes('since=');
  await bench.passUntil('a look that hangs', () => store.seen.length === 2, 100);
  clock.advance(60_000);
  for (const id of ['a', 'b']) assert.equal((await source.put(write(id), POLICY)).policy_id, id);
  assert.equal(store.seen.filter((line) => line.includes('since=')).length, 2);
});

test('writes of one policy go one after the other, in order; those of others go beside', async () => {
  const { store, bench, source } = await opened();
  await using _store = store;
  await using _bench = bench;
  const release: (() => void)[] = [];
  store.quirk = (_, response, body) => {
    release.push(() => answer(response, 200, { revision: Number((JSON.parse(body) as { n: number }).n) }));
    return true;
  };
  const puts = [1, 2, 3].map((n) => source.put(write('a'), { n }));
  const other = source.put(write('b'), { n: 9 });
  await until('two requests', () => release.length === 2);
  for (let sent = 0; sent < 4; sent++) {
    await until('the next request', () => release.length > sent);
    release[sent]?.();
  }
  assert.deepEqual(
    (await Promise.all([...puts, other])).map(({ revision }) => revision),
    [1, 2, 3, 9],
  );
  assert.equal(store.inFlightMax, 1);
});

test('closing ends what runs: a look that hangs and a write, and nothing is heard after that', async () => {
  const { store, bench, source, heard } = await opened();
  await using _store = store;
  store.quirk = () => true;
  const watching = source.watch(heard);
  const putting = source.put(write('a'), POLICY);
  await until('both requests', () => store.seen.length === 2);
  const rejected = assert.rejects(putting, { code: 'unavailable' });
  await bench[Symbol.asyncDispose]();
  await watching;
  await rejected;
  assert.deepEqual(heard.texts, []);
  await assert.rejects((bench as Bench).source.put(write('a'), POLICY), { code: 'unavailable' });
});
