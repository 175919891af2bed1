import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { type TestContext, test } from 'node:test';
import { systemClock } from '../core/clock.ts';
import { Timers } from '../core/timers.ts';
import { parseEgressAllow } from './egress-allow.ts';
import { EgressDenied, egressConnector, type EgressConnectorOptions } from './egress-connector.ts';

/** A listener on the loopback address that keeps what it is sent. */
async function listener(context: TestContext): Promise<{ port: number; hits(): number; text(): string }> {
  let hits = 0;
  let text = '';
  const server = createServer((socket) => {
    hits++;
    socket.on('error', () => {});
    socket.on('data', (bytes) => (text += bytes.toString()));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  context.after(() => server.close());
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  return { port: address.port, hits: () => hits, text: () => text };
}

/** Why no socket was opened; `open` where one was. */
async function tried(
  context: TestContext,
  at: { hostname: string; port: number },
  options: Omit<EgressConnectorOptions, 'timers' | 'connectMs' | 'ownAddresses'>,
): Promise<string> {
  const timers = new Timers(systemClock, { tickMs: 5 });
  context.after(() => timers[Symbol.dispose]());
  const connector = egressConnector({ ...options, timers, connectMs: 2_000, ownAddresses: () => [] });
  const host = `${at.hostname}:${at.port}`;
  return new Promise((resolve) => {
    connector({ hostname: at.hostname, host, protocol: 'http:', port: String(at.port) }, (fault, socket) => {
      socket?.destroy();
      resolve(fault instanceof EgressDenied ? fault.reason : (fault?.message ?? 'open'));
    });
  });
}

test('a literal is judged although no resolver is asked about it', async (context) => {
  const wire = await listener(context);
  let asked = 0;
  const resolve = async (): Promise<readonly string[]> => {
    asked++;
    return ['127.0.0.2'];
  };
  const allow = parseEgressAllow(['127.0.0.2']);
  assert.equal(await tried(context, { hostname: '127.0.0.1', port: wire.port }, { allow, resolve }), 'loopback');
  assert.equal(await tried(context, { hostname: '[::1]', port: wire.port }, { allow, resolve }), 'loopback');
  assert.equal(asked, 0);
  assert.equal(wire.hits(), 0);
});

test('every address of a name is judged, the last one too', async (context) => {
  const wire = await listener(context);
  const allow = parseEgressAllow([`127.0.0.1:${wire.port}`]);
  const at = { hostname: 'name.example', port: wire.port };
  const trying = (list: readonly string[]): Promise<string> => tried(context, at, { allow, resolve: async () => list });
  assert.equal(await trying(['127.0.0.1']), 'open');
  const hits = wire.hits();
  assert.equal(await trying(['127.0.0.1', '127.0.0.2']), 'loopback');
  assert.equal(await trying(['127.0.0.1', '::ffff:127.0.0.1']), 'embedded_ipv4');
  assert.equal(await trying(Array<string>(65).fill('127.0.0.1')), 'too_many_addresses');
  assert.equal(wire.hits(), hits);
});

test('a socket that reached another address than the one that was judged is closed unwritten', async (context) => {
  const wire = await listener(context);
  const outcome = await tried(
    context,
    { hostname: 'name.example', port: wire.port },
    {
      allow: parseEgressAllow(['127.0.0.0/8']),
      resolve: async () => ['127.0.0.2'],
      openSocket: () => (_wanted, callback) => {
        const socket = connect(wire.port, '127.0.0.1', () => callback(null, socket));
      },
    },
  );
  assert.equal(outcome, 'pinned');
  assert.equal(wire.text(), '');
});
