import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { CHAT, endFrame, openEdge, SETTINGS } from './edge-fixture.ts';
import { BODY_DEPTH_MAX } from './read-body.ts';
import { exchangeRaw, openRaw, parseRaw } from './raw-http.ts';

const edge = await openEdge({ script: ({ reader }) => reader.end(endFrame('{"id":"x"}')) });
after(() => edge[Symbol.asyncDispose]());

interface Sent {
  readonly line?: string;
  readonly headers?: readonly string[];
  readonly without?: readonly string[];
  readonly body?: string | Buffer;
}

const CHAT_LINE = 'POST /v1/chat/completions HTTP/1.1';

function bytesOf({ line = CHAT_LINE, headers = [], without = [], body = JSON.stringify(CHAT) }: Sent): Buffer {
  const bytes = Buffer.from(body);
  const usual = [
    'host: beamline.test',
    `authorization: Bearer ${edge.key}`,
    'content-type: application/json',
    `content-length: ${bytes.length}`,
  ].filter((header) => !without.includes(header.split(':')[0] ?? ''));
  return Buffer.concat([Buffer.from(`${[line, ...usual, ...headers].join('\r\n')}\r\n\r\n`), bytes]);
}

const deep = (levels: number): string => `{"model":"tall","messages":${'['.repeat(levels)}${']'.repeat(levels)}}`;
const get = (path: string): Sent => ({ line: `GET ${path} HTTP/1.1`, without: ['content-length'], body: '' });

// name, request, status, code in the envelope, `details.reason` or `param` where there is one
const BODIES: readonly (readonly [string, Sent, number, string, string?])[] = [
  ['malformed JSON', { body: '{"model":' }, 400, 'invalid_request'],
  ['an empty body', { body: '' }, 400, 'invalid_request'],
  ['an array', { body: '[]' }, 400, 'invalid_request'],
  ['a model that is a number', { body: '{"model":1,"messages":[{"role":"user"}]}' }, 400, 'invalid_request', 'model'],
  ['no messages', { body: '{"model":"tall"}' }, 400, 'invalid_request', 'messages'],
  ['a temperature of 3', { body: JSON.stringify({ ...CHAT, temperature: 3 }) }, 400, 'invalid_request', 'temperature'],
  ['JSON that is too deep', { body: deep(65) }, 400, 'invalid_request'],
  ['JSON that is too deep for a message', { body: deep(BODY_DEPTH_MAX) }, 400, 'invalid_request'],
  ['an integer that would lose digits', { body: '{"model":"tall","seed":9007199254740993}' }, 400, 'invalid_request'],
  ['too many values', { body: `{"model":"tall","messages":[${'1,'.repeat(100_001)}1]}` }, 400, 'invalid_request'],
  ['a __proto__ key', { body: '{"__proto__":{"a":1},"model":"tall"}' }, 400, 'invalid_request'],
  ['constructor.prototype', { body: '{"constructor":{"prototype":{}}}' }, 400, 'invalid_request'],
  ['a duplicate key', { body: '{"model":"tall","model":"tall"}' }, 400, 'invalid_request'],
  ['invalid UTF-8', { body: Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d]) }, 400, 'invalid_request'],
  ['a byte order mark', { body: `\ufeff${JSON.stringify(CHAT)}` }, 400, 'invalid_request'],
  ['a lone surrogate', { body: '{"model":"\\ud800"}' }, 400, 'invalid_request'],
  ['a number that is not finite', { body: '{"model":"tall","n":1e999}' }, 400, 'invalid_request'],
  [
    'a body that is declared too large',
    { headers: ['content-length: 999999999'], without: ['content-length'] },
    413,
    'request_too_large',
  ],
  [
    'a wrong content type',
    { headers: ['content-type: text/plain'], without: ['content-type'] },
    415,
    'unsupported_media_type',
  ],
  ['no content type', { without: ['content-type'] }, 415, 'unsupported_media_type'],
  [
    'another charset',
    { headers: ['content-type: application/json; charset=latin1'], without: ['content-type'] },
    415,
    'unsupported_media_type',
  ],
  ['a content encoding', { headers: ['content-encoding: gzip'] }, 415, 'unsupported_media_type'],
  ['a missing key', { without: ['authorization'] }, 401, 'invalid_api_key'],
  ['a wrong key', { headers: ['authorization: Bearer nonsense'], without: ['authorization'] }, 401, 'invalid_api_key'],
  ['two different keys', { headers: ['x-api-key: other'] }, 401, 'invalid_api_key'],
  ['a foreign tenant', { headers: ['x-tenant-id: other'] }, 403, 'forbidden'],
  ['an illegal tenant', { headers: ['x-tenant-id: a.b'] }, 400, 'invalid_request'],
  ['an illegal timeout', { headers: ['x-beamline-timeout-ms: soon'] }, 400, 'invalid_request'],
  ['an unknown model', { body: JSON.stringify({ ...CHAT, model: 'oak' }) }, 404, 'model_not_found', 'model'],
  ['two host headers', { headers: ['host: other.test'] }, 400, 'invalid_request'],
  ['no host header', { without: ['host'] }, 400, 'invalid_request'],
  ['two authorization headers', { headers: ['authorization: Bearer other'] }, 400, 'invalid_request'],
  ['two content types', { headers: ['content-type: application/json'] }, 400, 'invalid_request'],
  ['two trace parents', { headers: ['traceparent: a', 'Traceparent: b'] }, 400, 'invalid_request'],
  [
    'a foreign absolute target',
    { line: 'POST http://other.test/v1/chat/completions HTTP/1.1' },
    400,
    'invalid_request',
  ],
  ['an unserved expectation', { headers: ['expect: tea'] }, 400, 'invalid_request'],
  ['too many headers', { headers: Array.from({ length: 101 }, (_, i) => `x-${i}: 1`) }, 431, 'headers_too_large'],
  ['a header that is too large', { headers: [`x-large: ${'x'.repeat(20_000)}`] }, 431, 'headers_too_large'],
  ['an encoded slash', get('/v1/models/birch%2Ftall'), 400, 'invalid_request'],
  ['a dot segment', get('/v1/./models'), 400, 'invalid_request'],
  ['an encoded dot segment', get('/v1/%2e%2E/models'), 400, 'invalid_request'],
  ['a broken escape', get('/v1/models/%zz'), 400, 'invalid_request'],
  ['a repeated query key', get('/v1/models?a=1&%61=2'), 400, 'invalid_request'],
  [
    'too many query keys',
    get(`/v1/models?${Array.from({ length: 101 }, (_, i) => `k${i}=1`).join('&')}`),
    400,
    'invalid_request',
  ],
  ['an unknown path', get('/v1/nothing'), 404, 'not_found'],
  ['an unknown model name', get('/v1/models/oak'), 404, 'model_not_found', 'model'],
  ['a wrong method', get('/v1/chat/completions'), 405, 'method_not_allowed'],
  ['a method of nobody', { line: 'PROPFIND /v1/models HTTP/1.1' }, 405, 'method_not_allowed'],
  ['a path that is not built', { line: 'POST /v1/completions HTTP/1.1' }, 501, 'not_implemented'],
];

for (const [name, sent, status, code, param] of BODIES) {
  test(`${name} is answered ${status} ${code} in the OpenAI envelope`, async () => {
    const answer = await exchangeRaw(edge.url, bytesOf(sent));
    assert.equal(answer.status, status);
    const { error } = JSON.parse(answer.body) as { error: Record<string, unknown> };
    assert.deepEqual(Object.keys(error).toSorted(), ['code', 'message', 'param', 'request_id', 'type']);
    assert.equal(error['code'], code);
    if (param !== undefined) assert.equal(error['param'], param);
    assert.equal(error['request_id'], answer.headers.get('x-beamline-request-id'));
    assert.match(answer.headers.get('x-request-id') ?? '', /^req_[0-9A-Z]{26}$/);
    assert.match(answer.headers.get('traceparent') ?? '', /^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
    assert.equal(answer.headers.get('x-should-retry'), 'false');
  });
}

test('a parameter that is too long for any object is a path that is not there', async () => {
  const path = `/api/v1/jobs/${'x'.repeat(3_000)}`;
  for (const [method, status] of [
    ['GET', 404],
    ['HEAD', 404],
    ['PUT', 405],
  ] as const) {
    const answer = await fetch(edge.url + path, { method });
    assert.deepEqual([method, answer.status], [method, status]);
  }
});

// name, path, body, reason
const REASONS: readonly (readonly [string, string | Buffer, string])[] = [
  ['malformed JSON', '{', 'syntax'],
  ['a duplicate key', '{"task":1,"task":2}', 'duplicate_key'],
  ['a byte order mark', '\ufeff{}', 'byte_order_mark'],
  ['a lone surrogate', '{"a":"\\udc00"}', 'lone_surrogate'],
  ['a number that is not finite', '{"a":1e999}', 'non_finite_number'],
  ['an integer that would lose digits', '{"a":123456789012345678901234567890}', 'inexact_number'],
  ['a number that would become zero', '{"a":1e-400}', 'inexact_number'],
  ['JSON that is too deep', deep(70), 'depth'],
  ['JSON that is too deep for a message', deep(BODY_DEPTH_MAX), 'depth'],
  ['JSON that is just not too deep', deep(BODY_DEPTH_MAX - 1), 'schema'],
  ['a text', '"task"', 'not_an_object'],
  ['a task without a type', '{"task":{}}', 'schema'],
];

for (const [name, body, reason] of REASONS) {
  test(`${name} is a native problem with the reason ${reason}`, async () => {
    const answer = await exchangeRaw(edge.url, bytesOf({ line: 'POST /api/v1/routes/decide HTTP/1.1', body }));
    // A service key may ask for decisions; what is refused is the body.
    assert.equal(answer.status, 400);
    assert.equal(answer.headers.get('content-type'), 'application/problem+json');
    const problem = JSON.parse(answer.body) as { error: { code: string; details: { reason: string } }; status: number };
    assert.deepEqual(
      [problem.status, problem.error.code, problem.error.details.reason],
      [400, 'invalid_request', reason],
    );
  });
}

for (const path of ['/v1/messages', '/v1/messages/count_tokens']) {
  test(`${path} refuses in the Anthropic envelope`, async () => {
    const answer = await exchangeRaw(edge.url, bytesOf({ line: `POST ${path} HTTP/1.1`, without: ['authorization'] }));
    assert.equal(answer.status, 401);
    const { type, error } = JSON.parse(answer.body) as { type: string; error: { type: string } };
    assert.deepEqual([type, error.type], ['error', 'authentication_error']);
    assert.equal(answer.headers.get('request-id'), answer.headers.get('x-request-id'));
  });
}

test('a wrong method is answered with the methods of the path', async () => {
  const chat = await fetch(`${edge.url}/v1/chat/completions`);
  const models = await fetch(`${edge.url}/v1/models`, { method: 'DELETE' });
  await Promise.all([chat.text(), models.text()]);
  assert.deepEqual([chat.headers.get('allow'), models.headers.get('allow')], ['POST', 'GET, HEAD']);
});

test('a body of unknown length is refused at the limit, and the socket closes', async () => {
  using raw = openRaw(edge.url);
  const head = bytesOf({ line: 'POST /api/v1/routes/decide HTTP/1.1', without: ['content-length'], body: '' });
  raw.socket.write(head.subarray(0, -2));
  raw.socket.write('transfer-encoding: chunked\r\n\r\n');
  raw.socket.write(`1400\r\n${' '.repeat(0x1400)}\r\n`);
  const answer = parseRaw(await raw.closed());
  assert.deepEqual([answer.status, answer.headers.get('connection')], [413, 'close']);
});

test('a body that breaks its own framing is refused once', async () => {
  using raw = openRaw(edge.url);
  raw.socket.write(bytesOf({ without: ['content-length'], body: '' }).subarray(0, -2));
  raw.socket.write('transfer-encoding: chunked\r\n\r\nzz\r\n');
  const text = await raw.closed();
  assert.equal(parseRaw(text).status, 400);
  assert.equal(text.split('HTTP/1.1 ').length, 2);
});

test('what is not HTTP is answered 400 and closed', async () => {
  using raw = openRaw(edge.url);
  raw.socket.write('hello\r\n\r\n');
  const answer = parseRaw(await raw.closed());
  assert.deepEqual([answer.status, answer.headers.get('connection')], [400, 'close']);
});

test('an absolute target of this server is served', async () => {
  const answer = await exchangeRaw(
    edge.url,
    bytesOf({ line: 'POST http://beamline.test/v1/chat/completions HTTP/1.1' }),
  );
  assert.deepEqual([answer.status, answer.body], [200, '{"id":"x"}']);
});

test('100 Continue comes after the key was checked, not before', async () => {
  using good = openRaw(edge.url);
  const bytes = bytesOf({ headers: ['expect: 100-continue'] });
  const end = bytes.indexOf('\r\n\r\n') + 4;
  good.socket.write(bytes.subarray(0, end));
  await good.until((text) => text.startsWith('HTTP/1.1 100 Continue\r\n\r\n'));
  good.socket.write(bytes.subarray(end));
  await good.until((text) => text.includes('HTTP/1.1 200') && text.endsWith('{"id":"x"}'));

  const refused = bytesOf({ headers: ['expect: 100-continue'], without: ['authorization'] });
  const answer = await exchangeRaw(edge.url, refused.subarray(0, refused.indexOf('\r\n\r\n') + 4));
  assert.equal(answer.status, 401);
});

const slow = { ...SETTINGS, http: { ...SETTINGS.http, headers_timeout_ms: 100, body_timeout_ms: 100 } };

for (const [name, cut] of [
  ['head', 20],
  ['body', -5],
] as const) {
  test(`a ${name} that does not come in time is answered 408, which may be retried`, async () => {
    await using impatient = await openEdge({ settings: slow });
    using raw = openRaw(impatient.url);
    const bytes = Buffer.from(bytesOf({}).toString().replace(edge.key, impatient.key));
    raw.socket.write(bytes.subarray(0, cut));
    const answer = parseRaw(await raw.closed());
    assert.deepEqual([answer.status, answer.headers.get('x-should-retry')], [408, 'true']);
    assert.deepEqual([answer.body.includes('request_timeout'), answer.headers.get('connection')], [true, 'close']);
  });
}

test('no bad input was answered 5xx, and each got one access line', () => {
  const requests = edge.lines
    .map((line) => JSON.parse(line) as { message: string; request_id: string; status: number })
    .filter(({ message }) => message === 'request');
  assert.ok(requests.length > BODIES.length);
  assert.equal(new Set(requests.map(({ request_id }) => request_id)).size, requests.length);
  assert.deepEqual(
    requests.filter(({ status }) => status >= 500 && status !== 501),
    [],
  );
});

test('the limits of bodies that hold are told at the start', () => {
  const line = edge.lines.find((text) => text.includes('gateway_listening')) ?? '{}';
  const { body_limit } = JSON.parse(line) as { body_limit?: unknown };
  assert.deepEqual(body_limit, { inference: 654_464, native: 4_096 });
});

const size = (text: string): string => Buffer.byteLength(text).toString(16);
const whole = JSON.stringify(CHAT);
const chunks = `${size(whole)}\r\n${whole}\r\n0\r\n\r\n`;
const chunked = (more: Sent): Sent => ({
  ...more,
  headers: ['transfer-encoding: chunked', ...(more.headers ?? [])],
  without: ['content-length'],
});

// What a request may not be in HTTP itself; each answer closes the socket, and nothing is ordered.
const UNSOUND: readonly (readonly [string, Sent, number])[] = [
  ['content-length and transfer-encoding', { headers: ['transfer-encoding: chunked'], body: chunks }, 400],
  ['two lengths', { headers: ['content-length: 3'] }, 400],
  ['a length that is a list', { headers: ['content-length: 1, 1'], without: ['content-length'] }, 400],
  ['a length with a sign', { headers: ['content-length: +1'], without: ['content-length'] }, 400],
  ['an encoding that is none', { headers: ['transfer-encoding: xchunked'], without: ['content-length'] }, 400],
  ['an encoding after the chunks', chunked({ headers: ['transfer-encoding: identity'], body: chunks }), 400],
  ['a space before a colon', { headers: ['x-odd : 1'] }, 400],
  ['a bare carriage return', { headers: ['x-odd: a\rb'] }, 400],
  ['a folded header', { headers: ['x-odd: a\r\n b'] }, 400],
  ['a header with a zero byte', { headers: ['x-odd: a\0b'] }, 400],
  ['a chunk without a size', chunked({ body: `zz\r\n${whole}` }), 400],
  ['chunks that end in line feeds', chunked({ body: `${size(whole)}\n${whole}\n0\n\n` }), 400],
  ['chunks in HTTP/1.0', chunked({ line: CHAT_LINE.replace('1.1', '1.0'), body: chunks }), 400],
  ['large extensions of a chunk', chunked({ body: `${size(whole)};x=${'y'.repeat(20_480)}\r\n${whole}\r\n` }), 413],
  ['a large trailer', chunked({ body: `${size(whole)}\r\n${whole}\r\n0\r\nx: ${'y'.repeat(20_480)}\r\n\r\n` }), 431],
  ['a web socket', { ...get('/v1/models'), headers: ['connection: upgrade', 'upgrade: WebSocket'] }, 400],
  ['CONNECT', { line: 'CONNECT beamline.test:443 HTTP/1.1', without: ['content-length'], body: '' }, 405],
  ['TRACE', { line: 'TRACE /v1/models HTTP/1.1', without: ['content-length'], body: '' }, 405],
  ['a method of nobody', { line: 'BREW /v1/models HTTP/1.1', without: ['content-length'], body: '' }, 400],
];

for (const [name, sent, status] of UNSOUND) {
  test(`${name}: ${status}, and the socket is closed`, async () => {
    const before = edge.orders.length;
    using raw = openRaw(edge.url);
    raw.socket.write(bytesOf(sent));
    assert.equal(parseRaw(await raw.closed()).status, status);
    assert.equal(edge.orders.length, before);
  });
}

test('an offer of HTTP/2 is not taken, and the request is served', async () => {
  const headers = ['connection: upgrade, http2-settings', 'upgrade: h2c', 'http2-settings: x'];
  assert.equal((await exchangeRaw(edge.url, bytesOf({ ...get('/v1/models'), headers }))).status, 200);
});
