import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:net';
import { type TestContext, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { until } from '../../test/until.ts';
import { systemClock } from '../core/clock.ts';
import { Timers } from '../core/timers.ts';
import { parseEgressAllow } from './egress-allow.ts';
import { Egress, EgressFault, type EgressRequest } from './egress.ts';

interface Served {
  readonly port: number;
  readonly seen: readonly { method: string; url: string; headers: IncomingMessage['headers']; body: string }[];
}

/** A real server on one loopback address. */
async function serve(
  context: TestContext,
  answer: (request: IncomingMessage, response: ServerResponse) => void,
  { host = '127.0.0.1', port = 0 } = {},
): Promise<Served> {
  const seen: { method: string; url: string; headers: IncomingMessage['headers']; body: string }[] = [];
  const server = createHttpServer((request, response) => {
    let body = '';
    request.setEncoding('utf8');
    request.on('data', (text: string) => (body += text));
    request.on('end', () => {
      seen.push({ method: request.method ?? '', url: request.url ?? '', headers: request.headers, body });
      answer(request, response);
    });
  });
  await listen(context, server, port, host);
  return { port: portOf(server), seen };
}

/** A server that nobody may reach; it tells of every connection. */
async function tripwire(context: TestContext, port = 0, host = '127.0.0.1'): Promise<{ port: number; hits(): number }> {
  let hits = 0;
  const server = createServer((socket) => {
    hits++;
    socket.destroy();
  });
  await listen(context, server, port, host);
  return { port: portOf(server), hits: () => hits };
}

async function listen(context: TestContext, server: Server, port: number, host: string): Promise<void> {
  server.listen(port, host);
  await once(server, 'listening');
  context.after(() => {
    server.close();
    if ('closeAllConnections' in server) (server as ReturnType<typeof createHttpServer>).closeAllConnections();
  });
}

function portOf(server: Server): number {
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  return address.port;
}

interface OpenOptions {
  readonly resolve?: (name: string) => Promise<readonly string[]>;
  readonly own?: readonly string[];
}

function open(context: TestContext, allow: readonly string[], { resolve, own = [] }: OpenOptions = {}): Egress {
  const timers = new Timers(systemClock, { tickMs: 5 });
  const egress = new Egress({
    allow: parseEgressAllow(allow),
    timers,
    connectMs: 2_000,
    ownAddresses: () => own,
    ...(resolve === undefined ? {} : { resolve }),
  });
  context.after(async () => {
    await egress[Symbol.asyncDispose]();
    timers[Symbol.dispose]();
  });
  return egress;
}

const get = (url: string, more: Partial<EgressRequest> = {}): EgressRequest => ({
  method: 'GET',
  url,
  headers: {},
  credentials: {},
  body: undefined,
  redirectsMax: 5,
  maxBodyBytes: 10_000,
  signal: new AbortController().signal,
  ...more,
});

const detailOf = (run: Promise<unknown>): Promise<string | undefined> =>
  run.then(
    () => 'answered',
    (fault: unknown) =>
      fault instanceof EgressFault ? `${fault.failure.code} ${fault.failure.detailCode}` : String(fault),
  );

const DENIED = 'SANDBOX_VIOLATION destination_denied';

test('no form of the loopback address and no name that leads there reaches the tripwire', async (context) => {
  const wire = await tripwire(context);
  const names: Record<string, readonly string[]> = {
    'inside.example': ['127.0.0.1'],
    'mixed.example': ['192.0.2.1', '127.0.0.1'],
    'mapped.example': ['::ffff:127.0.0.1'],
    'zero.example': ['0.0.0.0'],
    'many.example': Array.from({ length: 1_000 }, () => '127.0.0.1'),
    'words.example': ['localhost'],
    'nothing.example': [],
  };
  const egress = open(context, [String(wire.port)], { resolve: async (name) => names[name] ?? ['127.0.0.1'] });
  const hosts = ['127.0.0.1', '127.1', '0x7f.1', '2130706433', '017700000001', '0', '[::1]', '[::ffff:127.0.0.1]'];
  for (const host of [...hosts, 'localhost', 'localhost.', '127。0。0。1', ...Object.keys(names).slice(0, -1)]) {
    assert.equal(await detailOf(egress.send(get(`https://${host}:${wire.port}/`))), DENIED, host);
  }
  assert.equal(await detailOf(egress.send(get(`https://nothing.example:${wire.port}/`))), 'NETWORK_ERROR dns');
  assert.equal(wire.hits(), 0);
});

test('the tripwire is alive: what the operator lists is reached', async (context) => {
  const wire = await tripwire(context);
  const egress = open(context, [`127.0.0.1:${wire.port}`]);
  assert.match((await detailOf(egress.send(get(`http://127.0.0.1:${wire.port}/`)))) ?? '', /^NETWORK_ERROR/);
  assert.equal(wire.hits(), 1);
});

test('a listed name may live on a local address, but never on one that nobody lives on', async (context) => {
  const served = await serve(context, (_request, response) => response.end('yes'));
  let address = '127.0.0.1';
  const egress = open(context, [`model.example:${served.port}`], { resolve: async () => [address] });
  const answer = await egress.send(get(`http://model.example:${served.port}/`));
  assert.equal(answer.body.toString(), 'yes');
  assert.equal(served.seen[0]?.headers.host, `model.example:${served.port}`);
  for (address of ['169.254.169.254', '224.0.0.1', '0.0.0.0', '168.63.129.16', '::ffff:127.0.0.1', 'fe80::1']) {
    const other = open(context, [`model.example:${served.port}`], { resolve: async () => [address] });
    assert.equal(await detailOf(other.send(get(`http://model.example:${served.port}/`))), DENIED, address);
  }
});

test('a name that changes its address after it was judged changes nothing, and the next request judges again', async (context) => {
  const served = await serve(context, (_request, response) => response.setHeader('connection', 'close').end('first'), {
    host: '127.0.0.2',
  });
  const wire = await tripwire(context, served.port);
  const answers = [['127.0.0.2'], ['127.0.0.1']];
  let asked = 0;
  const egress = open(context, ['127.0.0.2', String(served.port)], {
    resolve: async () => answers[asked++] ?? ['127.0.0.1'],
  });
  const allowed = get(`https://rebind.example:${served.port}/`);
  // Plain http is refused to a name that is not listed, so the first answer is a failed handshake with the right server.
  assert.match((await detailOf(egress.send(allowed))) ?? '', /^(NETWORK_ERROR|PROVIDER_PROTOCOL_ERROR)/);
  assert.equal(asked, 1, 'one request resolves once');
  assert.equal(await detailOf(egress.send(allowed)), DENIED);
  assert.equal(asked, 2);
  assert.equal(wire.hits(), 0);
});

test('an address of this machine is refused unless it is listed', async (context) => {
  const served = await serve(context, (_request, response) => response.end('me'));
  const resolve = async (): Promise<readonly string[]> => ['8.8.8.8'];
  const own = open(context, [], { resolve, own: ['8.8.8.8'] });
  assert.equal(await detailOf(own.send(get('https://me.example/'))), DENIED);
  const listed = open(context, [`127.0.0.1:${served.port}`], { own: ['127.0.0.1'] });
  assert.equal((await listed.send(get(`http://127.0.0.1:${served.port}/`))).status, 200);
});

for (const status of [301, 302, 303, 307, 308]) {
  test(`a ${status} to a denied address ends there`, async (context) => {
    const wire = await tripwire(context);
    let location = '';
    const served = await serve(context, (_request, response) => response.writeHead(status, { location }).end());
    const egress = open(context, [`127.0.0.1:${served.port}`, String(wire.port)], {
      resolve: async () => ['127.0.0.1'],
    });
    for (location of [
      `https://127.0.0.1:${wire.port}/`,
      `https://0x7f.1:${wire.port}/`,
      `https://name.example:${wire.port}/`,
      `//127.0.0.1:${wire.port}/`,
      'file:///etc/passwd',
      'gopher://example.com/',
      `https://user:pass@example.com:${wire.port}/`,
    ]) {
      assert.equal(await detailOf(egress.send(get(`http://127.0.0.1:${served.port}/`))), DENIED, location);
    }
    assert.equal(wire.hits(), 0);
  });
}

test('at most so many redirects are followed', async (context) => {
  const served = await serve(context, (request, response) => {
    const left = Number(request.url?.slice(1));
    if (left === 0) response.end('there');
    else response.writeHead(302, { location: `/${left - 1}` }).end();
  });
  const egress = open(context, [`127.0.0.1:${served.port}`]);
  assert.equal((await egress.send(get(`http://127.0.0.1:${served.port}/5`))).body.toString(), 'there');
  const url = `http://127.0.0.1:${served.port}/6`;
  assert.equal(await detailOf(egress.send(get(url))), 'PROVIDER_PROTOCOL_ERROR too_many_redirects');
  assert.equal((await egress.send(get(url, { redirectsMax: 0 }))).status, 302);
});

test('credentials stay with the origin that they were meant for', async (context) => {
  const other = await serve(context, (_request, response) => response.end('other'));
  const first = await serve(context, (request, response) => {
    if (request.url === '/here') response.end('here');
    else
      response
        .writeHead(307, { location: request.url === '/same' ? '/here' : `http://127.0.0.1:${other.port}/` })
        .end();
  });
  const egress = open(context, [`127.0.0.1:${first.port}`, `127.0.0.1:${other.port}`]);
  const request = get(`http://127.0.0.1:${first.port}/away`, {
    method: 'POST',
    body: new TextEncoder().encode('body'),
    headers: { 'x-plain': '1', 'x-api-key': 'k', 'content-type': 'text/plain' },
    credentials: { authorization: 'Bearer s', 'x-signed': 's' },
  });
  await egress.send(request);
  assert.equal(first.seen[0]?.headers['x-signed'], 's');
  const [away] = other.seen;
  assert.equal(away?.headers['x-plain'], '1');
  assert.equal(away.body, 'body');
  for (const name of ['authorization', 'x-signed', 'x-api-key']) assert.equal(away.headers[name], undefined, name);
  await egress.send({ ...request, url: `http://127.0.0.1:${first.port}/same` });
  assert.equal(first.seen.at(-1)?.headers.authorization, 'Bearer s');
});

test('a POST becomes a GET without a body where the answer says so', async (context) => {
  const served = await serve(context, (request, response) => {
    if (request.url === '/end') response.end();
    else response.writeHead(Number(request.url?.slice(1)), { location: '/end' }).end();
  });
  const egress = open(context, [`127.0.0.1:${served.port}`]);
  for (const [status, method, body] of [
    [301, 'GET', ''],
    [302, 'GET', ''],
    [303, 'GET', ''],
    [307, 'POST', 'x'],
    [308, 'POST', 'x'],
  ] as const) {
    const bytes = new TextEncoder().encode('x');
    await egress.send(get(`http://127.0.0.1:${served.port}/${status}`, { method: 'POST', body: bytes }));
    assert.equal(`${served.seen.at(-1)?.method} ${served.seen.at(-1)?.body}`, `${method} ${body}`, String(status));
  }
});

test('an answer is cut off at its limit and never decompressed', async (context) => {
  const zipped = gzipSync('a'.repeat(1_000_000));
  const served = await serve(context, (request, response) => {
    if (request.url === '/endless') for (let i = 0; i < 100; i++) response.write('x'.repeat(1_000));
    else response.writeHead(200, { 'content-encoding': 'gzip' }).end(zipped);
  });
  const egress = open(context, [`127.0.0.1:${served.port}`]);
  const url = `http://127.0.0.1:${served.port}`;
  assert.equal(await detailOf(egress.send(get(`${url}/endless`))), 'OUTPUT_TOO_LARGE too_large');
  assert.deepEqual((await egress.send(get(`${url}/zip`))).body, zipped);
  assert.equal(served.seen[0]?.headers['accept-encoding'], 'identity');
});

test('an abort reaches the socket, and its reason is what the caller hears', async (context) => {
  let isClosed = false;
  const served = await serve(context, (request) => request.socket.once('close', () => (isClosed = true)));
  const egress = open(context, [`127.0.0.1:${served.port}`]);
  const stop = new AbortController();
  const running = egress.send(get(`http://127.0.0.1:${served.port}/`, { signal: stop.signal }));
  await until('the request', () => served.seen.length === 1);
  const reason = new Error('enough');
  stop.abort(reason);
  await assert.rejects(running, reason);
  await until('the socket to close', () => isClosed);
});

test('a resolver that never answers is given up', async (context) => {
  const timers = new Timers(systemClock, { tickMs: 5 });
  await using egress = new Egress({
    allow: parseEgressAllow([]),
    timers,
    connectMs: 20,
    resolve: () => new Promise(() => undefined),
  });
  context.after(() => timers[Symbol.dispose]());
  assert.equal(await detailOf(egress.send(get('https://slow.example/'))), 'CONNECTION_TIMEOUT connect');
});
