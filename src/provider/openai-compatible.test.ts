import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { systemClock } from '../core/clock.ts';
import { Timers } from '../core/timers.ts';
import { openOpenAiCompatible } from './openai-compatible.ts';
import { answer, content, event, hear, http, JSON_TYPE, KEY, open, raw, SSE_HEAD } from './raw-upstream-fixture.ts';

const usage = { inputTokens: 9, outputTokens: 5, cachedInputTokens: 4, reasoningTokens: 3 };

test('a whole answer comes back as it was, with its facts', async (context) => {
  const server = await raw(context, (socket) => socket.write(http(200, [JSON_TYPE], answer)));
  const { provider, timers } = open(context, server.port);
  const body = {
    model: 'asked',
    messages: [],
    stream: true,
    stream_options: { include_usage: true },
    seed: 7,
    x: { y: 1 },
  };
  const { end, failure } = await hear(provider, { body });
  assert.equal(failure, undefined);
  assert.deepEqual(end, { model: 'm-1', finishReason: 'stop', usage, raw: answer, outputChars: 8 });
  const [head, sent] = server.requests[0]?.split('\r\n\r\n') ?? [];
  assert.match(head ?? '', /^POST \/v1\/chat\/completions HTTP\/1\.1\r\n/);
  assert.match(head ?? '', new RegExp(`\r\nauthorization: Bearer ${KEY}\r\n`));
  assert.match(head ?? '', /\r\naccept-encoding: identity\r\n/);
  assert.match(head ?? '', /\r\nx-extra: yes\r\n/);
  assert.doesNotMatch(head ?? '', /other/);
  assert.deepEqual(JSON.parse(sent ?? ''), { model: 'm', messages: [], seed: 7, x: { y: 1 } });
  assert.equal(timers.pending, 0);
});

test('a stream comes through one to one and in order', async (context) => {
  const role = '{"model":"m-1","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}';
  const report = `{"model":"m-1","choices":[],"usage":${JSON.stringify(JSON.parse(answer).usage)}}`;
  const events = [role, content('Hé'), content('llo', 'stop'), report];
  const server = await raw(context, (socket) => {
    socket.end(
      SSE_HEAD + ': hi\n\n' + events.map(event).join('') + event('[DONE]') + event('[DONE]') + event('garbage'),
    );
  });
  const { provider } = open(context, server.port);
  const heard = await hear(provider, { stream: true });
  assert.deepEqual(
    heard.chunks.map(([text]) => text),
    events,
  );
  assert.deepEqual(
    heard.chunks.map(([, { hasContent, isUsageOnly }]) => [hasContent, isUsageOnly]),
    [
      [false, false],
      [true, false],
      [true, false],
      [false, true],
    ],
  );
  assert.deepEqual(heard.end, { model: 'm-1', finishReason: 'stop', usage, raw: undefined, outputChars: 5 });
  assert.match(server.requests[0] ?? '', /"stream":true,"stream_options":\{"include_usage":true\}/);
});

test('every choice and tool call of a stream counts', async (context) => {
  const call = (index: number, fn: object, finish: string | null): string =>
    JSON.stringify({
      choices: [{ index, delta: { tool_calls: [{ index: 0, function: fn }] }, finish_reason: finish }],
    });
  const events = [
    call(0, { name: 'get', arguments: '' }, null),
    call(1, { name: 'put', arguments: '{}' }, 'tool_calls'),
  ];
  const last = call(0, { arguments: '{"a":1}' }, 'tool_calls');
  const server = await raw(context, (socket, _request, nth) => {
    socket.end(SSE_HEAD + [...events, ...(nth === 1 ? [last] : [])].map(event).join(''));
  });
  const { provider } = open(context, server.port);
  const body = { model: 'x', messages: [], n: 2 };
  const whole = await hear(provider, { stream: true, body });
  assert.deepEqual([whole.end?.finishReason, whole.end?.outputChars], ['tool_calls', 15]);
  const half = await hear(provider, { stream: true, body });
  assert.deepEqual([half.failure?.code, half.failure?.detailCode], ['PROVIDER_PROTOCOL_ERROR', 'truncated']);
});

const failures: readonly (readonly [name: string, stream: boolean, bytes: Buffer | string, expected: string])[] = [
  ...(
    [
      [400, 'INVALID_INPUT provider'],
      [401, 'PROVIDER_AUTH_FAILED'],
      [402, 'PROVIDER_AUTH_FAILED billing'],
      [403, 'PROVIDER_AUTH_FAILED'],
      [404, 'MODEL_NOT_FOUND'],
      [408, 'CONNECTION_TIMEOUT upstream'],
      [429, 'PROVIDER_RATE_LIMITED'],
      [500, 'PROVIDER_UNAVAILABLE http_5xx'],
      [503, 'PROVIDER_UNAVAILABLE overloaded'],
      [529, 'PROVIDER_UNAVAILABLE overloaded'],
    ] as const
  ).map(([status, code]): readonly [string, boolean, Buffer, string] => [
    `status ${status}`,
    true,
    http(status, [JSON_TYPE], `{"error":{"message":"no ${KEY}, ask sk-abcdefgh"}}`),
    `${code} ${status}`,
  ]),
  ['an HTML failure', false, http(502, ['content-type: text/html'], '<html>'), 'PROVIDER_UNAVAILABLE http_5xx 502'],
  ['an endless failure', false, http(500, [JSON_TYPE], 'x'.repeat(100_000)), 'PROVIDER_UNAVAILABLE http_5xx 500'],
  ['a failure cut off', false, 'HTTP/1.1 429 X\r\ncontent-length: 99\r\n\r\n{"er', 'PROVIDER_RATE_LIMITED 429'],
  ['no content', false, 'HTTP/1.1 204 X\r\n\r\n', 'PROVIDER_PROTOCOL_ERROR status 204'],
  ['part of the content', false, http(206, [JSON_TYPE], answer), 'PROVIDER_PROTOCOL_ERROR status 206'],
  ['HTML', false, http(200, ['content-type: text/html'], '<html>'), 'PROVIDER_PROTOCOL_ERROR content_type'],
  ['no content type', false, http(200, [], answer), 'PROVIDER_PROTOCOL_ERROR content_type'],
  ['a whole answer to a stream', true, http(200, [JSON_TYPE], answer), 'PROVIDER_PROTOCOL_ERROR content_type'],
  ['a stream to a whole order', false, SSE_HEAD + event('[DONE]'), 'PROVIDER_PROTOCOL_ERROR content_type'],
  [
    'gzip',
    false,
    http(200, [JSON_TYPE, 'content-encoding: gzip'], gzipSync(answer)),
    'PROVIDER_PROTOCOL_ERROR compressed',
  ],
  ['bad JSON', false, http(200, [JSON_TYPE], answer.slice(1)), 'PROVIDER_PROTOCOL_ERROR garbage'],
  ['JSON that is no answer', false, http(200, [JSON_TYPE], '{}'), 'PROVIDER_PROTOCOL_ERROR garbage'],
  [
    'a short body',
    false,
    `HTTP/1.1 200 X\r\n${JSON_TYPE}\r\ncontent-length: 999\r\n\r\n${answer}`,
    'PROVIDER_PROTOCOL_ERROR truncated',
  ],
  ['a body over the cap', false, http(200, [JSON_TYPE], ' '.repeat(1_000_001)), 'PROVIDER_PROTOCOL_ERROR too_large'],
  [
    'a head over the cap',
    false,
    http(200, [JSON_TYPE, `x: ${'y'.repeat(20_000)}`], answer),
    'PROVIDER_PROTOCOL_ERROR headers_too_large',
  ],
  ['no HTTP at all', false, 'SSH-2.0-hello\r\n\r\n', 'PROVIDER_PROTOCOL_ERROR http'],
  ['a flood of early hints', false, 'HTTP/1.1 103 X\r\n\r\n'.repeat(40), 'PROVIDER_PROTOCOL_ERROR informational'],
  [
    'a bad chunk length',
    true,
    `HTTP/1.1 200 X\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n`,
    'PROVIDER_PROTOCOL_ERROR http',
  ],
  ['a close before the answer', false, '', 'NETWORK_ERROR closed'],
  ['an error in a good answer', false, http(200, [JSON_TYPE], '{"error":{"code":429}}'), 'PROVIDER_RATE_LIMITED'],
  [
    'an error in place of a stream',
    true,
    http(200, [JSON_TYPE], '{"error":{"type":"overloaded_error"}}'),
    'PROVIDER_UNAVAILABLE overloaded',
  ],
  [
    'an error in a stream',
    true,
    SSE_HEAD + event(content('a')) + event('{"error":{"type":"server_error"}}'),
    'PROVIDER_UNAVAILABLE http_5xx',
  ],
  [
    'garbage in a stream',
    true,
    SSE_HEAD + event(content('a')) + event('{"choices":[{'),
    'PROVIDER_PROTOCOL_ERROR garbage',
  ],
  ['a clean end before the terminal event', true, SSE_HEAD + event(content('a')), 'PROVIDER_PROTOCOL_ERROR truncated'],
  ['an empty stream', true, SSE_HEAD, 'PROVIDER_PROTOCOL_ERROR truncated'],
  [
    'chunks that stop',
    true,
    `HTTP/1.1 200 X\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n5\r\ndata:`,
    'PROVIDER_PROTOCOL_ERROR truncated',
  ],
];

const hasOriginal = (name: string): boolean =>
  /^status|^an HTML|JSON|an error in|in place|garbage|whole answer to a stream/.test(name);

for (const [name, stream, bytes, expected] of failures) {
  test(`${name} fails as ${expected}, without the key`, async (context) => {
    const server = await raw(context, (socket) => socket.end(bytes));
    const { provider, timers } = open(context, server.port);
    const { failure } = await hear(provider, { stream });
    assert.ok(failure);
    assert.equal(
      [failure.code, failure.detailCode, failure.httpStatus].filter((part) => part !== undefined).join(' '),
      expected,
    );
    assert.doesNotMatch(JSON.stringify(failure), /tell-tale|sk-abcdefgh|127\.0\.0\.1/);
    assert.equal(
      failure.originalSha256 !== undefined,
      hasOriginal(name),
      'a text of the provider is known by its digest',
    );
    assert.equal(timers.pending, 0);
  });
}

for (const [header, expected] of [
  ['retry-after: 3', 3000],
  ['retry-after-ms: 120', 120],
  ['retry-after: 1000000000', 60_000],
  ['retry-after: -1', undefined],
  ['retry-after: Sat, 21 Nov 2099 10:00:00 GMT', 60_000],
] as const) {
  test(`a 429 with ${header} asks to wait ${expected ?? 'nothing'}`, async (context) => {
    const server = await raw(context, (socket) => socket.end(http(429, [JSON_TYPE, header], '{}')));
    const { failure } = await hear(open(context, server.port).provider, {});
    assert.equal(failure?.retryAfterMs, expected);
  });
}

for (const status of [301, 302, 303, 307, 308]) {
  test(`a redirect by ${status} is a failure and nobody follows it`, async (context) => {
    const tripwire = await raw(context, () => {});
    const target = `location: http://127.0.0.1:${tripwire.port}/v1/chat/completions`;
    const server = await raw(context, (socket) => socket.end(http(status, [target])));
    const { failure } = await hear(open(context, server.port).provider, {});
    assert.deepEqual([failure?.code, failure?.detailCode], ['PROVIDER_PROTOCOL_ERROR', 'redirect']);
    assert.equal(tripwire.sockets.length, 0);
  });
}

test('a reset in a stream is a network failure', async (context) => {
  const head = SSE_HEAD.replace('connection: close', 'content-length: 9999');
  const server = await raw(context, (socket) => socket.write(head + event(content('a'))));
  const { provider } = open(context, server.port);
  const { chunks, failure } = await hear(provider, { stream: true }, () => server.sockets[0]?.resetAndDestroy());
  assert.equal(chunks.length, 1);
  assert.deepEqual([failure?.code, failure?.detailCode], ['NETWORK_ERROR', 'reset']);
});

test('nobody listening is a network failure', async (context) => {
  const closed = createServer().listen(0, '127.0.0.1');
  await once(closed, 'listening');
  const address = closed.address();
  assert.ok(typeof address === 'object' && address !== null);
  closed.close();
  await once(closed, 'close');
  const { failure } = await hear(open(context, address.port).provider, {});
  assert.deepEqual([failure?.code, failure?.detailCode], ['NETWORK_ERROR', 'refused']);
});

for (const [name, stream, bytes, limit] of [
  ['no answer', false, '', 'first_chunk'],
  ['a body that stops', false, `HTTP/1.1 200 X\r\n${JSON_TYPE}\r\ncontent-length: 99\r\n\r\n{`, 'first_chunk'],
  ['a stream without content', true, SSE_HEAD + event(content('')) + ': waiting\n\n', 'first_chunk'],
  ['a stream that stalls', true, SSE_HEAD + event(content('a')), 'idle'],
] as const) {
  test(`${name} ends by the ${limit} limit and closes the socket`, async (context) => {
    const server = await raw(context, (socket) => socket.write(bytes));
    const { provider, timers } = open(context, server.port);
    const { failure } = await hear(provider, { stream, firstChunkMs: 60, idleMs: 30 });
    assert.deepEqual([failure?.code, failure?.detailCode], ['CONNECTION_TIMEOUT', limit]);
    const [socket] = server.sockets;
    if (socket?.closed === false) await once(socket, 'close');
    assert.equal(timers.pending, 0);
  });
}

test('the key is read for each call', async (context) => {
  const server = await raw(context, (socket) => socket.write(http(200, [JSON_TYPE], answer)));
  let key = 'first-key';
  const { provider } = open(context, server.port, { key: () => key });
  await hear(provider, {});
  key = 'second-key';
  await hear(provider, {});
  const sent = server.requests.map((request) => /authorization: Bearer (\S+)/.exec(request)?.[1]);
  assert.deepEqual(sent, ['first-key', 'second-key']);
});

for (const [name, key] of [
  ['with a line break', () => 'tell-tale\r\nx: y'],
  [
    'that cannot be read',
    () => {
      throw new Error('tell-tale');
    },
  ],
] as const) {
  test(`a key ${name} is a refused credential and nothing is sent`, async (context) => {
    const server = await raw(context, () => {});
    const { failure } = await hear(open(context, server.port, { key }).provider, {});
    assert.equal(failure?.code, 'PROVIDER_AUTH_FAILED');
    assert.doesNotMatch(JSON.stringify(failure), /tell-tale/);
    assert.equal(server.sockets.length, 0);
  });
}

test('closing the provider fails what still runs', async (context) => {
  const server = await raw(context, () => {});
  const { provider } = open(context, server.port);
  const heard = hear(provider, {});
  await provider[Symbol.asyncDispose]();
  assert.equal((await heard).failure?.code, 'NETWORK_ERROR');
});

for (const baseUrl of ['ftp://a/v1', 'http://u:p@a/v1', 'http://a/v1?x=1', 'http://a/v1#x', 'a/v1', 'file:///etc']) {
  test(`${baseUrl} is no base address`, () => {
    using timers = new Timers(systemClock);
    const limits = { connectMs: 1000, maxBodyBytes: 1000, connections: 1 };
    assert.throws(() => openOpenAiCompatible({ id: 'p', baseUrl, timers, limits }), { code: 'validation_failed' });
  });
}
