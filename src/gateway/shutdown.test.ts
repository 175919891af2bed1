import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { CHAT, type EdgeFixture, endFrame, openEdge, SETTINGS, until } from './edge-fixture.ts';
import { openRaw, parseRaw, type RawSocket } from './raw-http.ts';

function send(raw: RawSocket, { key }: EdgeFixture, more: object = {}): void {
  const body = JSON.stringify({ ...CHAT, ...more });
  raw.socket.write(
    `POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nx-api-key: ${key}\r\n` +
      `content-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}

const patient = { ...SETTINGS, shutdown: { timeout_ms: 60_000, lame_duck_ms: 0 } };

test('what runs when the shutdown begins may end, and nothing is accepted any more', async () => {
  const edge = await openEdge({ settings: patient });
  using raw = openRaw(edge.url);
  send(raw, edge);
  await until(() => edge.orders.length === 1);
  const down = edge[Symbol.asyncDispose]();
  // Behind the running one, on a socket that is still open.
  send(raw, edge);
  await until(() => edge.lines.some((line) => line.includes('"code":"draining"')));
  edge.orders[0]?.reader.end(endFrame('{"id":"late"}'));
  const [first = '', second = ''] = (await raw.closed()).split(/(?=HTTP\/1\.1)/);
  assert.deepEqual([parseRaw(first).status, parseRaw(first).body], [200, '{"id":"late"}']);
  assert.equal(parseRaw(first).headers.get('connection'), 'close');
  assert.ok(second === '' || parseRaw(second).status === 503);
  await down;
  await assert.rejects(fetch(`${edge.url}/livez`));
});

test('a socket without a request does not hold the shutdown up', async () => {
  const edge = await openEdge({ settings: patient });
  using raw = openRaw(edge.url);
  // Answered on another socket, so the first one is accepted by now.
  await (await fetch(`${edge.url}/livez`)).text();
  const headerPatience = AbortSignal.timeout(SETTINGS.http.headers_timeout_ms / 2);
  await Promise.race([edge[Symbol.asyncDispose](), once(headerPatience, 'abort').then(() => assert.fail('held up'))]);
  assert.equal(await raw.closed(), '');
});

test('a request without a body in sight does not hold the shutdown up', async () => {
  const edge = await openEdge();
  using raw = openRaw(edge.url);
  raw.socket.write(`POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nx-api-key: ${edge.key}\r\n`);
  raw.socket.write('content-type: application/json\r\ncontent-length: 10\r\n\r\n{');
  await until(() => edge.metrics.render().includes('gateway_active_requests{dialect="openai"} 1'));
  await edge[Symbol.asyncDispose]();
  assert.equal(parseRaw(await raw.closed()).status, 503);
});

for (const [name, more] of [
  ['whole answer', {}],
  ['stream before its head', { stream: true }],
] as const) {
  test(`at the end a ${name} is answered 503 draining, and its work cancelled`, async () => {
    const edge = await openEdge();
    using raw = openRaw(edge.url);
    send(raw, edge, more);
    await until(() => edge.orders.length === 1);
    await edge[Symbol.asyncDispose]();
    const answer = parseRaw(await raw.closed());
    assert.deepEqual([answer.status, answer.headers.get('x-should-retry')], [503, 'true']);
    assert.match(answer.body, /"code":"draining"/);
    assert.equal(edge.orders[0]?.cancelled, 'shutdown');
  });
}

test('at the end an open stream gets a draining event, and its work is cancelled', async () => {
  const edge = await openEdge({ script: ({ reader }) => reader.chunk('a', false) });
  using raw = openRaw(edge.url);
  send(raw, edge, { stream: true });
  await raw.until((text) => text.includes('data: a\n\n'));
  await edge[Symbol.asyncDispose]();
  const text = await raw.closed();
  assert.match(text, /data: \{"error":\{.*"code":"draining"/);
  assert.doesNotMatch(text, /\[DONE\]/);
  assert.equal(edge.orders[0]?.cancelled, 'shutdown');
  assert.match(edge.metrics.render(), /gateway_streams_total\{dialect="openai",outcome="draining"\} 1\n/);
});

test('a lame duck is not ready, and serves', async () => {
  const settings = { ...SETTINGS, shutdown: { timeout_ms: 60_000, lame_duck_ms: 400 } };
  const edge = await openEdge({ settings, script: ({ reader }) => reader.end(endFrame('{}')) });
  const ready = async (): Promise<number> => {
    const response = await fetch(`${edge.url}/readyz`);
    await response.text();
    return response.status;
  };
  assert.equal(await ready(), 200);
  const down = edge[Symbol.asyncDispose]();
  assert.equal(await ready(), 503);
  const chat = await fetch(`${edge.url}/v1/chat/completions`, {
    method: 'POST',
    headers: edge.headers,
    body: JSON.stringify(CHAT),
  });
  assert.deepEqual([chat.status, await chat.text()], [200, '{}']);
  const live = await fetch(`${edge.url}/livez`);
  assert.deepEqual([live.status, await live.json()], [200, { status: 'ok' }]);
  await down;
});

for (const lame_duck_ms of [0, 50_000]) {
  test(`a shutdown in a hurry waits for nobody (lame_duck_ms ${lame_duck_ms})`, async () => {
    const hurry = new AbortController();
    const settings = { ...SETTINGS, shutdown: { timeout_ms: 60_000, lame_duck_ms } };
    const edge = await openEdge({ settings, hurry: hurry.signal });
    using raw = openRaw(edge.url);
    send(raw, edge);
    await until(() => edge.orders.length === 1);
    const down = edge[Symbol.asyncDispose]();
    hurry.abort();
    assert.equal(parseRaw(await raw.closed()).status, 503);
    assert.equal(edge.orders[0]?.cancelled, 'shutdown');
    await down;
  });
}
