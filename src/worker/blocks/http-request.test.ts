import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { blobId } from '../../core/blob-ref.ts';
import { systemClock } from '../../core/clock.ts';
import { Timers } from '../../core/timers.ts';
import { parseEgressAllow } from '../../provider/egress-allow.ts';
import { Egress } from '../../provider/egress.ts';
import { openBlobFiles } from '../../store/blob-files.ts';
import type { BlobStore } from '../../store/blobs.ts';
import { failureOf, runBlock } from './block-fixture.ts';
import { httpRequest } from './http-request.ts';

interface Seen {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

interface Opened {
  readonly block: ReturnType<typeof httpRequest>;
  readonly base: string;
  readonly seen: readonly Seen[];
  readonly blobs: BlobStore | undefined;
}

async function open(
  context: TestContext,
  answer: (request: Seen, response: ServerResponse) => void,
  { withBlobs = false, isAllowed = true } = {},
): Promise<Opened> {
  const seen: Seen[] = [];
  const server = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8');
    request.on('data', (text: string) => (body += text));
    request.on('end', () => {
      const one = { method: request.method ?? '', url: request.url ?? '', headers: request.headers, body };
      seen.push(one);
      answer(one, response);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  const host = `127.0.0.1:${address.port}`;
  const timers = new Timers(systemClock);
  const egress = new Egress({ allow: parseEgressAllow(isAllowed ? [host] : []), timers, connectMs: 2_000 });
  const dir = mkdtempSync(join(tmpdir(), 'http-'));
  const blobs = withBlobs ? await openBlobFiles({ dir, quotaBytes: 100_000_000, timers }) : undefined;
  const secret = { name: 'pay', tenants: ['acme'], header: 'Authorization', scheme: 'Bearer', value: () => 's3cret' };
  context.after(async () => {
    await egress[Symbol.asyncDispose]();
    await blobs?.[Symbol.asyncDispose]();
    timers[Symbol.dispose]();
    server.closeAllConnections();
    server.close();
    rmSync(dir, { recursive: true, force: true });
  });
  const secrets = [
    { ...secret, hosts: [host] },
    { ...secret, name: 'elsewhere', hosts: ['pay.example.com'] },
    { ...secret, name: 'gone', hosts: ['127.0.0.1'], value: () => undefined },
  ];
  return { block: httpRequest({ egress, secrets, blobs }), base: `http://${host}`, seen, blobs };
}

type Input = Parameters<ReturnType<typeof httpRequest>['execute']>[0];

test('a request carries its method, query, headers and body, and its answer comes back', async (context) => {
  const { block, base, seen } = await open(context, (_request, response) =>
    response
      .writeHead(201, { 'content-type': 'application/json', 'set-cookie': 'a=b', 'x-id': '7' })
      .end('{"ok":[true]}'),
  );
  const { output, usage } = await runBlock(block, {
    method: 'POST',
    url: `${base}/a?x=1#frag`,
    query: { 'q&': 'ä b', n: 2, is: true },
    headers: { 'X-Custom': 'yes' },
    body: { amount: 5 },
  });
  assert.equal(output.status, 201);
  assert.deepEqual([output.body, output.body_encoding, output.bytes], [{ ok: [true] }, 'json', 13]);
  assert.deepEqual([output.headers['x-id'], output.headers['set-cookie']], ['7', undefined]);
  assert.deepEqual(usage, { requests: 1, bytes_out: 12, bytes_in: 13 });
  const [request] = seen;
  assert.equal(`${request?.method} ${request?.url}`, 'POST /a?x=1&q%26=%C3%A4%20b&n=2&is=true');
  assert.deepEqual([request?.headers['x-custom'], request?.headers['content-type']], ['yes', 'application/json']);
  assert.equal(request?.body, '{"amount":5}');
});

test('a body is what it is: text, bytes, or JSON that says so and is', async (context) => {
  const bodies: Readonly<Record<string, readonly [type: string, body: string | Buffer, encoding?: string]>> = {
    '/text': ['text/plain', 'hallo'],
    '/bytes': ['application/octet-stream', Buffer.from([255, 0])],
    '/broken': ['application/json', '{"a":1,"a":2}'],
    '/problem': ['application/problem+json; charset=utf-8', '{}'],
    '/zip': ['application/json', gzipSync('{}'), 'gzip'],
    '/empty': ['text/plain', ''],
  };
  const { block, base } = await open(context, ({ url }, response) => {
    const [type, body, encoding] = bodies[url] ?? ['', ''];
    response
      .writeHead(200, { 'content-type': type, ...(encoding === undefined ? {} : { 'content-encoding': encoding }) })
      .end(body);
  });
  const seen: Record<string, unknown> = {};
  for (const path of Object.keys(bodies)) {
    const { output } = await runBlock(block, { method: 'GET', url: `${base}${path}` });
    seen[path] = `${output.body_encoding} ${JSON.stringify(output.body)}`;
  }
  assert.deepEqual(seen, {
    '/text': 'utf8 "hallo"',
    '/bytes': 'base64 "/wA="',
    '/broken': String.raw`utf8 "{\"a\":1,\"a\":2}"`,
    '/problem': 'json {}',
    '/zip': `base64 ${JSON.stringify(gzipSync('{}').toString('base64'))}`,
    '/empty': 'undefined undefined',
  });
});

test('what follows a status depends on it, unless it was expected', async (context) => {
  const { block, base } = await open(context, ({ url }, response) =>
    response.writeHead(Number(url.slice(1)), { 'retry-after': '2' }).end('private words'),
  );
  for (const [status, outcome] of [
    [200, 'done'],
    [204, 'done'],
    [302, 'PROVIDER_PROTOCOL_ERROR redirect'],
    [401, 'EXECUTION_FAILED http_status'],
    [404, 'EXECUTION_FAILED http_status'],
    [408, 'CONNECTION_TIMEOUT upstream'],
    [429, 'PROVIDER_RATE_LIMITED'],
    [500, 'PROVIDER_UNAVAILABLE http_5xx'],
    [503, 'PROVIDER_UNAVAILABLE http_5xx'],
    [504, 'CONNECTION_TIMEOUT upstream'],
  ] as const) {
    assert.equal(
      await failureOf(runBlock(block, { method: 'GET', url: `${base}/${status}` })),
      outcome,
      String(status),
    );
  }
  const expected = await runBlock(block, { method: 'GET', url: `${base}/404`, expect_status: [404] });
  assert.equal(expected.output.body, 'private words');
  const unexpected = runBlock(block, { method: 'GET', url: `${base}/200`, expect_status: [404] });
  assert.equal(await failureOf(unexpected), 'EXECUTION_FAILED http_status');
  const limited = await runBlock(block, { method: 'GET', url: `${base}/429` }).catch((fault: unknown) => fault);
  const { failure } = limited as { failure: object };
  assert.deepEqual(failure, {
    code: 'PROVIDER_RATE_LIMITED',
    message: 'the server answered with status 429',
    retryAfterMs: 2_000,
    httpStatus: 429,
  });
});

const HEADERS: readonly (readonly [name: string, value: string, outcome: string])[] = [
  ['Host', 'evil', 'SANDBOX_VIOLATION header'],
  ['content-length', '1', 'SANDBOX_VIOLATION header'],
  ['Transfer-Encoding', 'chunked', 'SANDBOX_VIOLATION header'],
  ['connection', 'close', 'SANDBOX_VIOLATION header'],
  ['Metadata-Flavor', 'Google', 'SANDBOX_VIOLATION header'],
  ['metadata', 'true', 'SANDBOX_VIOLATION header'],
  ['X-aws-ec2-metadata-token', 't', 'SANDBOX_VIOLATION header'],
  ['upgrade', 'websocket', 'SANDBOX_VIOLATION header'],
  ['Authorization', 'Bearer x', 'SANDBOX_VIOLATION raw_credential'],
  ['cookie', 'a=b', 'SANDBOX_VIOLATION raw_credential'],
  ['x-ok', 'a\r\nx-evil: 1', 'INVALID_INPUT header'],
  ['x-ok', 'a\0', 'INVALID_INPUT header'],
  ['x\nok', 'a', 'INVALID_INPUT header'],
  ['x ok', 'a', 'INVALID_INPUT header'],
  ['', 'a', 'INVALID_INPUT header'],
  ['x-ok', 'ł', 'INVALID_INPUT header'],
  ['x-ok', 'a'.repeat(17_000), 'INVALID_INPUT headers_too_large'],
];

test('a header that frames the message, proves who asks or opens a door is refused before anything is sent', async (context) => {
  const { block, base, seen } = await open(context, (_request, response) => response.end());
  for (const [name, value, outcome] of HEADERS) {
    const run = runBlock(block, { method: 'GET', url: base, headers: { [name]: value } });
    assert.equal(await failureOf(run), outcome, name);
  }
  const twice = runBlock(block, { method: 'GET', url: base, headers: { 'x-a': '1', 'X-A': '2' } });
  assert.equal(await failureOf(twice), 'INVALID_INPUT header');
  assert.equal(seen.length, 0);
});

test('a secret goes by its name, of its tenant, to its host, and nowhere else', async (context) => {
  const { block, base, seen } = await open(context, (_request, response) => response.end());
  const input: Input = { method: 'GET', url: base, auth_ref: 'secret:pay' };
  await runBlock(block, input);
  assert.equal(seen[0]?.headers.authorization, 'Bearer s3cret');
  const outcome = (more: Partial<Input>, tenantId = 'acme'): Promise<string> =>
    failureOf(runBlock(block, { ...input, ...more }, { tenantId }));
  assert.equal(await outcome({}, 'other'), 'PERMISSION_DENIED secret');
  assert.equal(await outcome({ auth_ref: 'secret:elsewhere' }), 'PERMISSION_DENIED secret_host');
  assert.equal(await outcome({ auth_ref: 'secret:unknown' }), 'PERMISSION_DENIED secret');
  assert.equal(await outcome({ auth_ref: 'env:HOME' }), 'INVALID_INPUT auth_ref');
  assert.equal(await outcome({ auth_ref: 'secret:gone' }), 'RESOURCE_UNAVAILABLE secret');
  assert.equal(seen.length, 1);
});

test('the key of idempotent work is sent, and no text of a caller breaks out of it', async (context) => {
  const { block, base, seen } = await open(context, (_request, response) => response.end());
  const input: Input = { method: 'POST', url: base, idempotent: true };
  await runBlock(block, input, { idempotencyKey: 'key-1' });
  await runBlock(block, input, { idempotencyKey: 'a\r\nx-evil: 1' });
  await runBlock(block, { ...input, idempotent: false });
  const keys = seen.map(({ headers }) => headers['idempotency-key']);
  assert.equal(keys[0], 'key-1');
  assert.match(String(keys[1]), /^[0-9a-f]{64}$/);
  assert.deepEqual([keys[2], seen[1]?.headers['x-evil']], [undefined, undefined]);
});

test('repeating is said to be as harmless as it is', async (context) => {
  const { block } = await open(context, () => undefined);
  const url = 'https://example.com';
  assert.equal(block.effect({ url, method: 'GET' }), 'none');
  assert.equal(block.effect({ url, method: 'POST' }), 'external');
  assert.equal(block.effect({ url, method: 'DELETE', idempotent: true }), 'idempotent');
});

test('bodies have their limits in both directions, and a store of blobs moves one of them', async (context) => {
  const answer = ({ url }: Seen, response: ServerResponse): void => {
    response.end(Buffer.alloc(Number(url.slice(1))));
  };
  const { block, base } = await open(context, answer);
  const get = (size: number): Input => ({ method: 'GET', url: `${base}/${size}` });
  assert.equal((await runBlock(block, get(4_194_304))).output.bytes, 4_194_304);
  assert.equal(await failureOf(runBlock(block, get(4_194_305))), 'OUTPUT_TOO_LARGE too_large');
  const put: Input = { method: 'PUT', url: `${base}/0`, body: 'x'.repeat(1_048_576) };
  assert.equal(await failureOf(runBlock(block, put)), 'done');
  assert.equal(await failureOf(runBlock(block, { ...put, body: `${String(put.body)}x` })), 'INVALID_INPUT too_large');
  assert.equal(await failureOf(runBlock(block, { ...put, method: 'GET' })), 'INVALID_INPUT body');
  assert.equal(
    await failureOf(runBlock(block, { method: 'PUT', url: base, body_ref: 'blob://acme/x' })),
    'INVALID_INPUT not_found',
  );

  const stored = await open(context, answer, { withBlobs: true });
  const large = await runBlock(stored.block, { method: 'GET', url: `${stored.base}/4194305` });
  assert.ok(blobId('acme', large.output.body_ref ?? ''));
  assert.equal((await stored.blobs?.read('acme', large.output.body_ref ?? ''))?.length, 4_194_305);
  const small = (await runBlock(stored.block, { method: 'GET', url: `${stored.base}/1000` })).output;
  assert.deepEqual([small.body_ref, small.body_encoding], [undefined, 'utf8']);
  const middle = (await runBlock(stored.block, { method: 'GET', url: `${stored.base}/200000` })).output;
  assert.ok(blobId('acme', middle.body_ref ?? ''), 'zeros take six characters each in JSON');
  const huge = runBlock(stored.block, { method: 'GET', url: `${stored.base}/16777217` });
  assert.equal(await failureOf(huge), 'OUTPUT_TOO_LARGE too_large');
  const ref = (await stored.blobs?.keep('acme', new TextEncoder().encode('from a blob'))) ?? '';
  await runBlock(stored.block, { method: 'PUT', url: `${stored.base}/0`, body_ref: ref });
  assert.equal(stored.seen.at(-1)?.body, 'from a blob');
});

test('an address that may not be called is not called', async (context) => {
  const { block, base, seen } = await open(context, (_request, response) => response.end(), { isAllowed: false });
  assert.equal(await failureOf(runBlock(block, { method: 'GET', url: base })), 'SANDBOX_VIOLATION destination_denied');
  const named = base.replace('http://127.0.0.1', 'https://localhost');
  assert.equal(await failureOf(runBlock(block, { method: 'GET', url: named })), 'SANDBOX_VIOLATION destination_denied');
  assert.equal(await failureOf(runBlock(block, { method: 'GET', url: 'nowhere' })), 'INVALID_INPUT invalid_url');
  assert.equal(seen.length, 0);
  for (const method of ['CONNECT', 'TRACE']) assert.equal(block.input.check({ method, url: base }), false);
});

test('an abort ends the request with its reason', async (context) => {
  const { block, base } = await open(context, () => undefined);
  const stop = new AbortController();
  const run = runBlock(block, { method: 'GET', url: base }, { signal: stop.signal });
  const reason = new Error('enough');
  stop.abort(reason);
  await assert.rejects(run, reason);
});
