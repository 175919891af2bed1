import assert from 'node:assert/strict';
import { createHook } from 'node:async_hooks';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { until } from '../../test/until.ts';
import type { ChatSink } from './provider.ts';
import { answer, content, event, hear, http, JSON_TYPE, open, raw, SSE_HEAD } from './raw-upstream-fixture.ts';

test('abort closes the upstream socket and the sink hears nothing more', async (context) => {
  const server = await raw(context, (socket) => socket.write(SSE_HEAD + event(content('a')) + event(content('b'))));
  const { provider, timers } = open(context, server.port);
  const heard: string[] = [];
  const closed = new Promise<void>((resolve) => {
    const sink: ChatSink = {
      chunk(text) {
        heard.push(text);
        running.abort();
        const [socket] = server.sockets;
        if (socket?.closed === true) resolve();
        else socket?.once('close', () => resolve());
      },
      end: () => heard.push('end'),
      fail: () => heard.push('fail'),
    };
    const body = { model: 'x', messages: [] };
    const running = provider.chat({ model: 'm', body, stream: true, firstChunkMs: 2000, idleMs: 2000 }, sink);
  });
  await closed;
  assert.deepEqual(heard, [content('a')]);
  assert.equal(timers.pending, 0);
});

test('a call that is aborted before it has a socket sends nothing', async (context) => {
  const server = await raw(context, (socket) => socket.write(http(200, [JSON_TYPE], answer)));
  const { provider } = open(context, server.port, { connections: 1 });
  const silent: ChatSink = { chunk: assert.fail, end: () => assert.fail('end'), fail: () => assert.fail('fail') };
  const body = { model: 'x', messages: [] };
  const call = { model: 'm', body, stream: false, firstChunkMs: 2000, idleMs: 2000 };
  const first = hear(provider, {});
  provider.chat(call, silent).abort();
  await first;
  await hear(provider, {});
  assert.equal(server.requests.length, 2);
});

test('a kept socket that the provider has closed is replaced unseen', async (context) => {
  const server = await raw(context, (socket, _request, nth) => {
    socket.write(http(200, [JSON_TYPE], answer));
    if (nth === 1) socket.end();
  });
  const { provider } = open(context, server.port, { connections: 1 });
  const first = await hear(provider, {});
  const [socket] = server.sockets;
  if (socket?.writableFinished === false) await once(socket, 'finish');
  const second = await hear(provider, {});
  const third = await hear(provider, {});
  assert.deepEqual([first.failure, second.failure, third.failure], [undefined, undefined, undefined]);
  assert.deepEqual([server.requests.length, server.sockets.length], [3, 2]);
});

test('a request that was written whole is never sent twice', async (context) => {
  const server = await raw(context, (socket, _request, nth) => {
    if (nth === 1) socket.write(http(200, [JSON_TYPE], answer));
    else socket.destroy();
  });
  const { provider } = open(context, server.port, { connections: 1 });
  assert.equal((await hear(provider, {})).failure, undefined);
  assert.equal((await hear(provider, {})).failure?.code, 'NETWORK_ERROR');
  assert.equal(server.requests.length, 2);
});

/** Answers a first small request of a socket that is `kept`; cuts the first large one when a part of it is there. */
async function cutting(context: TestContext, { kept, cuts }: { kept: boolean; cuts: number }) {
  let left = cuts;
  const server = await raw(context, (socket) => socket.write(http(200, [JSON_TYPE], answer)));
  const { provider } = open(context, server.port, { connections: 1 });
  if (kept) assert.equal((await hear(provider, {})).failure, undefined);
  const cut = (socket: Socket): void => {
    if (left-- > 0) socket.resetAndDestroy();
  };
  for (const socket of server.sockets) socket.once('data', () => cut(socket));
  server.onSocket((socket) => socket.once('data', () => cut(socket)));
  const body = { model: 'x', messages: [{ role: 'user', content: 'x'.repeat(30_000_000) }] };
  const { failure } = await hear(provider, { body, firstChunkMs: 20_000 });
  return { failure, server };
}

test('a kept socket that turns out closed while the request is being written is replaced once', async (context) => {
  const { failure, server } = await cutting(context, { kept: true, cuts: 1 });
  assert.equal(failure, undefined);
  assert.deepEqual([server.requests.length, server.sockets.length], [2, 2], 'the provider had it whole once');
});

test('a second time, or on a new socket, that is a failure', async (context) => {
  const twice = await cutting(context, { kept: true, cuts: 2 });
  assert.equal(twice.failure?.code, 'NETWORK_ERROR');
  assert.equal(twice.server.sockets.length, 2);
  const fresh = await cutting(context, { kept: false, cuts: 1 });
  assert.equal(fresh.failure?.code, 'NETWORK_ERROR');
  assert.equal(fresh.server.sockets.length, 1);
});

test('calls over twice the connections are refused at once', async (context) => {
  const server = await raw(context, () => {});
  const { provider } = open(context, server.port, { connections: 1 });
  const sink: ChatSink = { chunk: assert.fail, end: () => assert.fail('end'), fail: () => assert.fail('fail') };
  const body = { model: 'x', messages: [] };
  const call = { model: 'm', body, stream: false, firstChunkMs: 2000, idleMs: 2000 };
  const running = [provider.chat(call, sink), provider.chat(call, sink)];
  assert.equal((await hear(provider, {})).failure?.code, 'SYSTEM_OVERLOAD');
  for (const each of running) each.abort();
});

test('callers who come and give up while the provider is stuck leave nothing behind', async (context) => {
  let queuedInPool = 0;
  const hook = createHook({
    init: (_, type) => void (queuedInPool += type === 'UNDICI_POOL_QUEUED_REQUEST' ? 1 : 0),
  }).enable();
  context.after(() => hook.disable());
  const server = await raw(context, (socket, _request, nth) => {
    if (nth > 1) socket.write(http(200, [JSON_TYPE], answer));
  });
  const { provider } = open(context, server.port, { connections: 1 });
  const sink: ChatSink = { chunk: assert.fail, end: () => assert.fail('end'), fail: () => assert.fail('fail') };
  const body = { model: 'x', messages: [] };
  const call = { model: 'm', body, stream: false, firstChunkMs: 20_000, idleMs: 2000 };
  const stuck = provider.chat(call, sink);
  await until('the stuck call to be asked', () => server.requests.length === 1);
  for (let nth = 0; nth < 50; nth++) {
    const impatient = provider.chat(call, sink);
    // eslint-disable-next-line no-await-in-loop -- one after the other, each after its turn
    await new Promise((resolve) => setImmediate(resolve));
    impatient.abort();
  }
  assert.equal(queuedInPool, 0);
  const next = hear(provider, { firstChunkMs: 20_000 });
  stuck.abort();
  assert.equal((await next).failure, undefined);
  assert.equal(server.requests.length, 2);
});
