// The rules of the client (policy 12.2), seen from the store: what it is asked, how often, with what.
import assert from 'node:assert/strict';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { TLSSocket } from 'node:tls';
import { until } from '../../test/until.ts';
import { firstCertificate as first, secondCertificate as second } from './heir-certificates.ts';
import { answer, FakeHeir, openBench, page, type Quirk, reasonOf } from './heir-fixture.ts';
import { spread } from './heir-client.ts';

const KEY = { tenantId: 't1', policyId: 'a', expectedRevision: undefined, by: 'somebody' };
const VERSIONS = '/api/v1/policies/t1/a/versions?limit=64';

async function opened(settings: Readonly<Record<string, unknown>> = {}, quirk?: Quirk) {
  const store = new FakeHeir();
  const port = await store.listen();
  store.write('a', { version: '2.0' });
  if (quirk !== undefined) store.quirk = quirk;
  const bench = openBench(`http://127.0.0.1:${port}`, settings);
  const read = () => bench.settled(bench.source.history('t1', 'a'));
  const put = () => bench.settled(bench.source.put(KEY, {}));
  const remove = () => bench.settled(bench.source.delete({ ...KEY, expectedRevision: 1 }));
  return { store, port, bench, read, put, remove, ...bench };
}

const whyOf = (settled: PromiseSettledResult<unknown>): unknown =>
  settled.status === 'rejected' ? reasonOf(settled.reason) : settled.status;

function folderOf(t: TestContext): (name: string, text: string) => string {
  const folder = mkdtempSync(join(tmpdir(), 'beamline-heir-'));
  t.after(() => rmSync(folder, { recursive: true }));
  return (name, text) => {
    const path = join(folder, name);
    writeFileSync(`${path}.next`, text);
    renameSync(`${path}.next`, path);
    return `file:${path}`;
  };
}

test('the jitter is a tenth to either side', () => {
  assert.deepEqual([0, 0.5, 1].map(spread), [0.9, 1, 1.1]);
});

const failing: readonly (readonly [what: string, reason: string, quirk: Quirk])[] = [
  ['answers 500', 'status', (_, response) => answer(response, 500)],
  ['answers 503', 'status', (_, response) => answer(response, 503)],
  ['answers 429', 'status', (_, response) => answer(response, 429)],
  ['redirects', 'unexpected_status', (_, response) => answer(response, 302, {}, { location: '/elsewhere' })],
  ['answers 304 to what is not known', 'unexpected_status', (_, response) => answer(response, 304)],
  ['answers nothing', 'unreadable_syntax', (_, response) => answer(response, 200)],
  ['answers garbage', 'unreadable_syntax', (_, response) => response.end('<html>') !== undefined],
  ['hangs up', 'unreachable', ({ socket }) => socket.destroy() !== undefined],
  [
    'hangs up in the body',
    'truncated',
    (_, response) => {
      response.writeHead(200, { 'content-length': 100 });
      response.write('{"data":', () => response.destroy());
      return true;
    },
  ],
];

for (const [what, reason, quirk] of failing) {
  test(`a store that ${what} is asked three times for a GET and once for a PUT or a DELETE`, async () => {
    const { store, bench, read, put, remove } = await opened({}, quirk);
    await using _store = store;
    await using _bench = bench;
    assert.equal(whyOf(await read()), reason);
    assert.deepEqual(
      store.seen,
      Array.from({ length: 3 }, () => `GET ${VERSIONS}`),
    );
    assert.ok(bench.clock.nowMs() >= 200);
    assert.equal(whyOf(await put()), reason);
    assert.equal(store.seen.length, 4);
    // The fifth failure in a row.
    assert.equal(whyOf(await remove()), reason);
    assert.equal(store.seen.length, 5);
    assert.equal(whyOf(await read()), 'breaker_open');
    assert.equal(store.seen.length, 5);
  });
}

test('a GET that succeeds at its third try is answered', async () => {
  let asked = 0;
  const { store, bench, read } = await opened({}, (_, response) => ++asked < 3 && answer(response, 500));
  await using _store = store;
  await using _bench = bench;
  assert.equal(whyOf(await read()), 'fulfilled');
  assert.equal(asked, 4);
});

test('a write that no store was there for is tried again: it was not sent', async () => {
  const { store, bench, put, clock } = await opened();
  await using _bench = bench;
  await store[Symbol.asyncDispose]();
  assert.equal(whyOf(await put()), 'unreachable');
  assert.ok(clock.nowMs() >= 200);
});

test('Retry-After is waited for where it fits into the operation, and told where it does not', async () => {
  for (const value of ['7', new Date(1_700_000_007_000).toUTCString()]) {
    let asked = 0;
    const { store, bench } = await opened(
      {},
      (_, response) => ++asked === 1 && answer(response, 429, {}, { 'retry-after': value }),
    );
    await using _store = store;
    await using _bench = bench;
    assert.equal(whyOf(await bench.settled(bench.source.history('t1', 'a'), 100)), 'fulfilled');
    assert.ok(bench.clock.nowMs() >= 6500);
  }
  const { store, bench, read } = await opened({ heir_policy_store_timeout: 5000 }, (_, response) =>
    answer(response, 503, {}, { 'retry-after': '30' }),
  );
  await using _store = store;
  await using _bench = bench;
  const settled = await read();
  assert.ok(settled.status === 'rejected');
  assert.equal((settled.reason as { retryAfterMs?: number }).retryAfterMs, 30_000);
  assert.equal(store.seen.length, 1);
});

test('a request that hangs ends after its own time; an operation with its tries after its', async () => {
  const { store, bench, clock, source } = await opened({
    heir_policy_store_timeout: 5000,
    heir_policy_store_request_timeout: 2000,
  });
  await using _store = store;
  await using _bench = bench;
  store.quirk = () => true;
  assert.equal(whyOf(await bench.settled(source.history('t1', 'a'), 100)), 'timeout');
  assert.equal(store.seen.length, 3);
  assert.ok(clock.nowMs() >= 5000);
  const beganMs = clock.nowMs();
  assert.equal(whyOf(await bench.settled(source.put(KEY, {}), 100)), 'timeout');
  assert.equal(store.seen.length, 4);
  assert.ok(clock.nowMs() - beganMs >= 2000);
});

test('a body that never ends is given up for its time or for its size', async () => {
  const chunk = Buffer.alloc(1_048_576, 32);
  const { store, bench, source } = await opened({ heir_policy_store_request_timeout: 1000 }, (_, response) => {
    const more = (): void => {
      while (!response.destroyed && response.write(chunk));
      if (!response.destroyed) response.once('drain', more);
    };
    more();
    return true;
  });
  await using _store = store;
  await using _bench = bench;
  await assert.rejects(source.put(KEY, {}), (fault) => reasonOf(fault) === 'too_large');
  store.quirk = (_, response) => response.write('{');
  assert.equal(whyOf(await bench.settled(source.put(KEY, {}), 50)), 'timeout');
});

test('a store that does not speak HTTP is unreachable', async () => {
  const server = createServer((socket) => socket.on('error', () => undefined).end('220 smtp ready\r\n'));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  await using bench = openBench(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  assert.equal(whyOf(await bench.settled(bench.source.history('t1', 'a'))), 'unreachable');
  server.close();
});

test('401 and 403 are not repeated, are told once at error level, and do not open the breaker', async () => {
  for (const status of [401, 403]) {
    const { store, bench, read, put, logged } = await opened({}, (_, response) => answer(response, status));
    await using _store = store;
    await using _bench = bench;
    for (let i = 0; i < 6; i++) assert.equal(whyOf(await read()), 'credential_refused');
    assert.equal(whyOf(await put()), 'credential_refused');
    assert.equal(store.seen.length, 7);
    const lines = logged.filter((line) => line.includes('heir_policy_store_refused'));
    assert.equal(lines.length, 1);
    assert.match(lines[0] ?? '', /"level":"error".*/);
  }
});

test('the breaker lets one probe through after its time, and a good one lets all through', async () => {
  const { store, bench, read, clock, source } = await opened({}, (_, response) => answer(response, 500));
  await using _store = store;
  await using _bench = bench;
  await read();
  await read();
  assert.equal(store.seen.length, 5);
  clock.advance(10_000);
  store.quirk = () => true;
  const probe = bench.settled(source.put(KEY, {}));
  await until('the probe', () => store.seen.length === 6);
  await assert.rejects(source.history('t1', 'a'), (fault) => reasonOf(fault) === 'breaker_open');
  store.quirk = () => false;
  clock.advance(3_600_000);
  assert.equal(whyOf(await probe), 'timeout');
  await assert.rejects(source.history('t1', 'a'), { retryAfterMs: 20_000 });
  clock.advance(20_000);
  assert.equal(whyOf(await read()), 'fulfilled');
  assert.equal(store.seen.length, 8);
});

test('sockets are kept, and there are never more than sixteen', async () => {
  const sockets = new Set<unknown>();
  const waiting: (() => void)[] = [];
  const { store, bench, source } = await opened({}, ({ socket }, response) => {
    sockets.add(socket);
    waiting.push(() => answer(response, 200, { revision: 1 }));
    return true;
  });
  await using _store = store;
  await using _bench = bench;
  const puts = Array.from({ length: 40 }, (_, at) => source.put({ ...KEY, policyId: `p${at}` }, {}));
  await until('sixteen requests', () => waiting.length === 16);
  for (let sent = 0; sent < 40; sent++) {
    await until('the next request', () => waiting.length > sent);
    waiting[sent]?.();
  }
  await Promise.all(puts);
  assert.equal(sockets.size, 16);
});

test('more operations than a client may hold are refused, and closing ends those that wait for a socket too', async () => {
  const { store, bench, source } = await opened({}, () => true);
  await using _store = store;
  await using _bench = bench;
  const held = Array.from({ length: 256 }, (_, at) => assert.rejects(source.put({ ...KEY, policyId: `p${at}` }, {})));
  await assert.rejects(source.put(KEY, {}), (fault) => reasonOf(fault) === 'too_many_operations');
  await until('sixteen requests', () => store.seen.length === 16);
  await bench[Symbol.asyncDispose]();
  await Promise.all(held);
  assert.equal(store.seen.length, 16);
});

test('equal reads share one request, and an unchanged answer is not sent again', async () => {
  const { store, bench, source } = await opened({}, ({ url = '', headers }, response) => {
    if (!url.includes('/versions?')) return false;
    if (headers['if-none-match'] === '"v7"') return answer(response, 304);
    return answer(response, 200, page([{ revision: 1 }]), { etag: '"v7"' });
  });
  await using _store = store;
  await using _bench = bench;
  const both = await Promise.all([source.history('t1', 'a'), source.history('t1', 'a')]);
  assert.equal(store.seen.length, 2);
  assert.deepEqual(both[0], both[1]);
  assert.deepEqual(await source.history('t1', 'a'), both[0]);
  assert.equal(store.headers.at(-2)?.['if-none-match'], '"v7"');
});

test('the token is sent as a bearer token, is read again when its file changes, and is in no log', async (t) => {
  const file = folderOf(t);
  const { store, bench, source, clock, logged } = await opened(
    { heir_policy_store_token: file('token', 'old-secret') },
    (_, response) => answer(response, 401),
  );
  await using _store = store;
  await using _bench = bench;
  const ask = () => assert.rejects(source.history('t1', 'a'), { code: 'unavailable' });
  await ask();
  file('token', 'new-secret\n');
  clock.advance(1000);
  await ask();
  assert.deepEqual(
    store.headers.map(({ authorization }) => authorization),
    ['Bearer old-secret', 'Bearer new-secret'],
  );
  assert.doesNotMatch(logged.join(), /secret/);
});

test('a token that cannot stand in a header fails the request, not the process', async (t) => {
  const file = folderOf(t);
  const { store, bench, put } = await opened({ heir_policy_store_token: file('token', 'a\nb') });
  await using _store = store;
  await using _bench = bench;
  assert.equal(whyOf(await put()), 'unreachable');
  assert.equal(store.seen.length, 0);
});

test('a private authority and a client certificate are used, and a renewed one takes a new connection', async (t) => {
  const file = folderOf(t);
  const store = new FakeHeir({ ...first, ca: [first.cert, second.cert], requestCert: true, rejectUnauthorized: true });
  await using _store = store;
  const names: unknown[] = [];
  store.quirk = ({ socket }) => {
    names.push((socket as TLSSocket).getPeerCertificate().subject.CN);
    return false;
  };
  const port = await store.listen();
  await using bench = openBench(`https://127.0.0.1:${port}/`, {
    heir_policy_store_ca: file('ca', first.cert),
    heir_policy_store_cert: file('cert', first.cert),
    heir_policy_store_key: file('key', first.key),
  });
  const put = () => bench.source.put(KEY, {});
  await put();
  file('cert', second.cert);
  bench.clock.advance(1000);
  // The key has not been replaced yet: the old pair stays in use.
  await put();
  file('key', second.key);
  bench.clock.advance(1000);
  await put();
  assert.deepEqual(names, ['first', 'first', 'second']);
});

test('a store that another authority speaks for is not trusted, and nothing is sent to it', async (t) => {
  const file = folderOf(t);
  await using store = new FakeHeir({ ...second });
  const port = await store.listen();
  for (const settings of [{}, { heir_policy_store_ca: file('ca', first.cert) }]) {
    await using bench = openBench(`https://127.0.0.1:${port}`, settings);
    assert.equal(whyOf(await bench.settled(bench.source.put(KEY, {}))), 'unreachable');
  }
  assert.deepEqual(store.seen, []);
});

test('a missing secret or a certificate that is none refuses the start', (t) => {
  const file = folderOf(t);
  for (const settings of [
    { heir_policy_store_token: 'env:A_NAME_THAT_NOBODY_SETS' },
    { heir_policy_store_ca: 'file:/nothing/there' },
    { heir_policy_store_cert: file('cert', 'no certificate'), heir_policy_store_key: file('key', 'no key') },
  ]) {
    assert.throws(() => openBench('https://127.0.0.1:1', settings), { code: 'validation_failed' });
  }
});
