import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { BeamlineError } from '../core/errors.ts';
import { CHAT, type EdgeOptions, endFrame, openEdge, type Ordered, SETTINGS, until } from './edge-fixture.ts';
import { openRaw, type RawSocket } from './raw-http.ts';

const chunkOf = (text: string): string => JSON.stringify({ choices: [{ index: 0, delta: { content: text } }] });
const USAGE = '{"choices":[],"usage":{"prompt_tokens":1}}';

async function ask(options: EdgeOptions, more: object, headers: Record<string, string> = {}) {
  await using edge = await openEdge(options);
  const response = await fetch(`${edge.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { ...edge.headers, ...headers },
    body: JSON.stringify({ ...CHAT, ...more }),
  });
  const text = await response.text();
  return { response, text, edge, ordered: edge.orders[0] };
}

function send(raw: RawSocket, key: string, more: object): void {
  const body = JSON.stringify({ ...CHAT, ...more });
  raw.socket.write(
    `POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nx-api-key: ${key}\r\n` +
      `content-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}

test('a whole answer is the provider body, with how it was routed', async () => {
  const script = ({ reader }: Ordered): void => reader.end(endFrame('{"id": "x", "odd":1}'));
  const { response, text } = await ask({ script }, {}, { 'x-request-id': 'mine' });
  assert.deepEqual([response.status, text], [200, '{"id": "x", "odd":1}']);
  const told = ['provider', 'model', 'policy', 'revision', 'attempts', 'cost'].map((name) =>
    response.headers.get(`x-beamline-${name}`),
  );
  assert.deepEqual(told, ['birch', 'tall', 'default', '3', '2', '42']);
  assert.equal(response.headers.get('x-request-id'), 'mine');
  assert.match(response.headers.get('x-beamline-request-id') ?? '', /^req_/);
});

test('an end without content is a protocol error of the provider', async () => {
  const { response } = await ask({ script: ({ reader }) => reader.end(endFrame()) }, {});
  assert.equal(response.status, 502);
});

test('an answer that a dialect made is sent as JSON', async () => {
  const { text } = await ask({ script: ({ reader }) => reader.end({ ...endFrame(), output: { id: 'y' } }) }, {});
  assert.equal(text, '{"id":"y"}');
});

test('an order carries what body and headers ask', async () => {
  const script = ({ reader }: Ordered): void => reader.end(endFrame('{}'));
  const { ordered } = await ask(
    { script },
    { user: 'someone', max_tokens: 7, tools: [{ type: 'function' }] },
    {
      traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00',
      'x-beamline-session': 's-42',
      'x-beamline-timeout-ms': '9000',
      'x-stainless-timeout': '8.5',
      'x-litellm-num-retries': '2',
      'x-litellm-stream-timeout': 'nonsense',
      'x-beamline-provider': 'birch',
    },
  );
  assert.deepEqual(
    {
      ...ordered?.order,
      requestId: '',
      inputTokensEstimate: 0,
      sizeBytes: 0,
      body: ordered?.order.body['tools'],
    },
    {
      requestId: '',
      traceId: '4bf92f3577b34da6a3ce929d0e0e4736',
      tenantId: 'acme',
      keyId: 'key_1',
      scopes: ['ai:invoke'],
      userId: 'someone',
      taskType: 'ai.chat',
      dialect: 'openai.chat',
      body: [{ type: 'function' }],
      stream: false,
      policyId: 'default',
      model: 'tall',
      providersAllow: ['birch'],
      context: { session_id: 's-42' },
      inputTokensEstimate: 0,
      sizeBytes: 0,
      outputTokensMax: 7,
      deadlineMs: 8_500,
      idleMs: undefined,
      attemptsMax: 3,
      wishes: undefined,
    },
  );
});

test('a key sees only the models that it may call', async () => {
  const script = ({ reader }: Ordered): void => reader.end(endFrame('{}'));
  const denied = await ask({ script, models: ['birch/tall'] }, {});
  const allowed = await ask({ script, models: ['birch/tall'] }, { model: 'birch/tall' });
  assert.deepEqual([denied.response.status, allowed.response.status], [404, 200]);
  assert.equal(allowed.ordered?.order.policyId, 'direct');
});

test('a viewer may not call, and a key of two tenants must choose', async () => {
  const viewer = await ask({ role: 'viewer' }, {});
  const undecided = await ask({ tenants: ['acme', 'zeta'] }, {});
  const decided = await ask(
    { tenants: ['acme', 'zeta'], script: ({ reader }) => reader.end(endFrame('{}')) },
    {},
    { 'x-tenant-id': 'zeta' },
  );
  assert.deepEqual([viewer.response.status, undecided.response.status, decided.response.status], [403, 400, 200]);
  assert.equal(decided.ordered?.order.tenantId, 'zeta');
});

test('a full gateway sheds with a wait of 5 to 30 seconds', async () => {
  const { response, ordered } = await ask({ active: () => 2_000 }, {});
  const seconds = Number(response.headers.get('retry-after'));
  assert.deepEqual([response.status, response.headers.get('x-should-retry')], [503, 'true']);
  assert.ok(seconds >= 5 && seconds <= 30, `${seconds}`);
  assert.equal(ordered, undefined);
});

for (const [name, more, events] of [
  ['drops the usage event', {}, ['a', 'b']],
  ['keeps the usage event that was asked for', { stream_options: { include_usage: true } }, ['a', 'b', USAGE]],
] as const) {
  test(`a stream ${name}, keeps the order and ends with [DONE]`, async () => {
    const script = ({ reader }: Ordered): void => {
      reader.chunk('a', false);
      setImmediate(() => {
        reader.chunk('b', false);
        reader.chunk(USAGE, true);
        reader.end(endFrame());
      });
    };
    const { response, text, edge } = await ask({ script }, { stream: true, ...more });
    assert.equal(response.headers.get('content-type'), 'text/event-stream; charset=utf-8');
    assert.equal(response.headers.get('x-beamline-provider'), 'birch');
    assert.equal(text, [...events, '[DONE]'].map((event) => `data: ${event}\n\n`).join(''));
    assert.match(edge.metrics.render(), /gateway_streams_total\{dialect="openai",outcome="done"\} 1\n/);
    assert.match(
      edge.metrics.render(),
      new RegExp(`gateway_stream_chunks_total\\{dialect="openai"\\} ${events.length}\n`),
    );
  });
}

test('a stream that ends without a chunk is a good end', async () => {
  const { text } = await ask({ script: ({ reader }) => reader.end(endFrame()) }, { stream: true });
  assert.equal(text, 'data: [DONE]\n\n');
});

test('a failure before the first chunk has a real status', async () => {
  const script = ({ reader }: Ordered): void =>
    reader.fail(new BeamlineError('provider_rate_limited', 'slow down', { retryAfterMs: 2_500 }));
  const { response, text } = await ask({ script }, { stream: true });
  assert.deepEqual([response.status, response.headers.get('retry-after')], [503, '3']);
  assert.equal(response.headers.get('retry-after-ms'), '2500');
  assert.equal((JSON.parse(text) as { error: { code: string } }).error.code, 'provider_rate_limited');
});

test('a failure after the first chunk is one error event and no [DONE]', async () => {
  const script = ({ reader }: Ordered): void => {
    reader.chunk('a', false);
    reader.fail(new BeamlineError('worker_lost', 'the worker stopped answering'));
  };
  const { response, text } = await ask({ script }, { stream: true });
  const [first, last, ...more] = text.split('\n\n');
  assert.deepEqual([response.status, first, more], [200, 'data: a', ['']]);
  assert.match(last ?? '', /^data: \{"error":\{"message":"the worker stopped answering","type":"server_error"/);
});

for (const end of ['\n', '\r']) {
  test(`a chunk with ${JSON.stringify(end)} is not written through: the stream fails and its work is cancelled`, async () => {
    const script = ({ reader }: Ordered): void => {
      reader.chunk('a', false);
      reader.chunk(`b${end}data: forged`, false);
      reader.chunk('c', false);
      reader.end(endFrame());
    };
    const { text, ordered } = await ask({ script }, { stream: true });
    assert.match(text, /^data: a\n\ndata: \{"error":.*"provider_protocol_error".*\}\n\n$/);
    assert.notEqual(ordered?.cancelled, undefined);
  });
}

const quick = { ...SETTINGS, stream: { ...SETTINGS.stream, heartbeat_ms: 30 } };

test('the head waits for the first chunk, but not longer than a heartbeat', async () => {
  await using edge = await openEdge({ settings: quick });
  using raw = openRaw(edge.url);
  send(raw, edge.key, { stream: true });
  await raw.until((text) => text.split(': keep-alive\n\n').length >= 3);
  edge.orders[0]?.reader.fail(new BeamlineError('provider_error', 'broken'));
  const text = await raw.until((all) => all.endsWith('0\r\n\r\n'));
  assert.match(text, /^HTTP\/1\.1 200 OK\r\n/);
  assert.match(text, /"provider_error"/);
  assert.doesNotMatch(text, /\[DONE\]/);
});

for (const stream of [true, false]) {
  test(`a client that leaves a ${stream ? 'stream' : 'whole answer'} cancels its work and is logged as 499`, async () => {
    await using edge = await openEdge({ script: ({ reader }) => reader.chunk('a', false) });
    const raw = openRaw(edge.url);
    send(raw, edge.key, { stream });
    await until(() => edge.orders.length === 1);
    if (stream) await raw.until((text) => text.includes('data: a'));
    raw[Symbol.dispose]();
    await until(() => edge.orders[0]?.cancelled === 'client_disconnected');
    await until(() => edge.lines.some((line) => line.includes('"status":499')));
    // What still comes from the bus falls on deaf ears.
    edge.orders[0]?.reader.chunk('b', false);
    edge.orders[0]?.reader.end(endFrame('{}'));
    assert.match(edge.metrics.render(), /gateway_client_disconnects_total\{dialect="openai"\} 1\n/);
    assert.equal(edge.lines.filter((line) => line.includes('"message":"request"')).length, 1);
  });
}

test('a client that leaves within its body costs an access line, and nothing is ordered', async () => {
  await using edge = await openEdge();
  const raw = openRaw(edge.url);
  raw.socket.write(`POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nx-api-key: ${edge.key}\r\n`);
  raw.socket.write('content-type: application/json\r\ncontent-length: 100\r\n\r\n{"model"');
  await until(() => edge.metrics.render().includes('gateway_active_requests{dialect="openai"} 1'));
  raw[Symbol.dispose]();
  await until(() => edge.lines.some((line) => line.includes('"status":499')));
  assert.equal(edge.orders.length, 0);
});

test('a reader that lets the buffer grow is closed and its work cancelled', async () => {
  const text = 'x'.repeat(100_000);
  const script = (ordered: Ordered): void => {
    if (ordered.cancelled !== undefined) return;
    ordered.reader.chunk(text, false);
    setImmediate(() => script(ordered));
  };
  await using edge = await openEdge({ script });
  using raw = openRaw(edge.url);
  send(raw, edge.key, { stream: true });
  raw.socket.pause();
  await until(() => edge.orders[0]?.cancelled === 'client_too_slow');
  assert.match(edge.metrics.render(), /gateway_slow_clients_total\{dialect="openai"\} 1\n/);
  assert.match(edge.metrics.render(), /gateway_streams_total\{dialect="openai",outcome="slow_client"\} 1\n/);
});

test('a reader that makes no progress is closed after the stall time', async () => {
  const settings = { ...SETTINGS, stream: { heartbeat_ms: 40, stall_ms: 60, buffer_bytes: 67_108_864 } };
  const script = ({ reader }: Ordered): void => {
    for (let i = 0; i < 40; i++) reader.chunk('x'.repeat(500_000), false);
  };
  await using edge = await openEdge({ settings, script });
  using raw = openRaw(edge.url);
  send(raw, edge.key, { stream: true });
  raw.socket.pause();
  await until(() => edge.orders[0]?.cancelled === 'client_too_slow');
});

test('a stream that rests longer than the stall time, with a reader who reads, lives on', async () => {
  const settings = { ...SETTINGS, stream: { ...SETTINGS.stream, heartbeat_ms: 30, stall_ms: 20 } };
  await using edge = await openEdge({ settings });
  using raw = openRaw(edge.url);
  send(raw, edge.key, { stream: true });
  await raw.until((text) => text.split(': keep-alive\n\n').length >= 4);
  edge.orders[0]?.reader.end(endFrame());
  assert.match(await raw.until((text) => text.endsWith('0\r\n\r\n')), /\[DONE\]/);
});

test('two pipelined requests are answered in order', async () => {
  await using edge = await openEdge();
  using raw = openRaw(edge.url);
  send(raw, edge.key, {});
  send(raw, edge.key, {});
  await until(() => edge.orders.length === 2);
  edge.orders[1]?.reader.end(endFrame('{"id":"second"}'));
  edge.orders[0]?.reader.end(endFrame('{"id":"first"}'));
  const text = await raw.until((all) => all.includes('second'));
  assert.ok(text.indexOf('first') < text.indexOf('second'));
});

test('a message that names an internal fault does not reach the caller', async () => {
  const script = ({ reader }: Ordered): void => reader.fail(BeamlineError.from(new Error('secret place')));
  const { response, text, edge } = await ask({ script }, {});
  assert.equal(response.status, 500);
  assert.doesNotMatch(text, /secret/);
  assert.ok(edge.lines.some((line) => line.includes('request_fault') && line.includes('secret place')));
});

const shared = await openEdge({ script: ({ reader }) => reader.end(endFrame('{}')) });
after(() => shared[Symbol.asyncDispose]());

for (const [name, headers] of [
  ['authorization', { authorization: `Bearer ${shared.key}` }],
  ['x-api-key', { 'x-api-key': shared.key }],
  ['api-key', { 'api-key': shared.key }],
] as const) {
  test(`the key may come in ${name}`, async () => {
    const response = await fetch(`${shared.url}/v1/models`, { headers });
    const { data } = (await response.json()) as { data: { id: string }[] };
    assert.deepEqual(
      data.map(({ id }) => id),
      ['tall', 'birch/tall'],
    );
  });
}

test('chunks of a stream reach the client as they come', async () => {
  await using edge = await openEdge();
  using raw = openRaw(edge.url);
  send(raw, edge.key, { stream: true });
  await until(() => edge.orders.length === 1);
  const say = (word: string): Promise<string> => {
    edge.orders[0]?.reader.chunk(chunkOf(word), false);
    return raw.until((text) => text.includes(`data: ${chunkOf(word)}\n\n`));
  };
  await say('one');
  await say('two');
  edge.orders[0]?.reader.end(endFrame());
  await raw.until((text) => text.endsWith('0\r\n\r\n'));
});
