import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connect, headers, type NatsConnection } from '@nats-io/transport-node';
import { type NatsServer, startNatsServer } from '../../test/nats-server.ts';
import { execCall } from '../contracts/assignment.ts';
import { at } from '../contracts/contract.ts';
import { decideV2 } from '../contracts/decide.ts';
import { workerHeartbeat } from '../contracts/heartbeat.ts';
import { execResult } from '../contracts/result.ts';
import type { ConsumerSpec, StreamSpec } from '../contracts/streams.ts';
import type { Bus } from './bus.ts';
import {
  accepted,
  assignment,
  correlation,
  gate,
  heartbeat,
  openGround,
  refused,
  soon,
  until,
  within,
} from './conformance-fixture.ts';
import { openNatsBus } from './nats.ts';

const pool = at(execCall, { pool: 'default' });
const beat = at(workerHeartbeat);
const workers = { queue: 'worker' };
const stream: StreamSpec = {
  name: 'CAF_RESULT',
  subject: execResult.template,
  retention: 'workqueue',
  ageMsMax: 0,
  bytesMax: 1_048_576,
};
const consumer: ConsumerSpec = {
  durable: 'router-results',
  ackWaitMs: 1_000,
  ackPendingMax: 100,
  nakDelaysMs: [20],
};

interface Opened extends AsyncDisposable {
  readonly server: NatsServer;
  readonly bus: Bus;
  readonly peer: Bus;
  readonly metrics: () => string;
}

async function openAll(options: { outboundBytesMax?: number } = {}): Promise<Opened> {
  const server = await startNatsServer();
  const ground = openGround();
  const bus = await openNatsBus({ url: server.url, name: 'bus', ...ground, ...options });
  const peer = await openNatsBus({ url: server.url, name: 'peer', ...ground, telemetry: openGround().telemetry });
  return {
    server,
    bus,
    peer,
    metrics: () => ground.metrics.render(),
    async [Symbol.asyncDispose]() {
      await Promise.all([bus.drain(), peer.drain()]);
      await server.stop();
      ground[Symbol.dispose]();
    },
  };
}

/** A client that keeps no contract. */
const openRaw = (server: NatsServer): Promise<NatsConnection> => connect({ servers: server.url });

const garbage: readonly (readonly [name: string, bytes: Uint8Array])[] = [
  ['nothing', new Uint8Array(0)],
  ['no JSON', Buffer.from('{"version":')],
  ['no UTF-8', Buffer.from([0x7b, 0xff, 0xfe, 0x7d])],
  ['null', Buffer.from('null')],
  ['an array', Buffer.from('[1,2]')],
  ['a field missing', Buffer.from(JSON.stringify({ ...assignment('a'), tenant_id: undefined }))],
  ['too deep', Buffer.from('['.repeat(10_000) + ']'.repeat(10_000))],
  ['too large', Buffer.alloc(900_000, 0x20)],
];

test('a request that cannot be read is answered by a refusal, and the handler never sees it', async () => {
  await using opened = await openAll();
  await using raw = await openRaw(opened.server);
  const served: string[] = [];
  opened.bus.serve(pool, workers, (request) => {
    served.push(request.assignment_id);
    return accepted(request);
  });
  await opened.bus.flush();
  const replies = await Promise.all(garbage.map(([, bytes]) => raw.request(pool.subject, bytes, { timeout: 5_000 })));
  assert.deepEqual(
    replies.map((reply) => (reply.json() as { status: string }).status),
    garbage.map(() => 'rejected'),
  );
  assert.equal((await opened.peer.request(pool, assignment('good'), soon)).status, 'accepted');
  assert.deepEqual(served, ['good']);
  assert.match(opened.metrics(), /bus_invalid_messages_total\{subject="caf\.exec\.call\.v2\.<pool>"\} 8/);
});

test('a refusal names the request and a foreign version', async () => {
  await using opened = await openAll();
  await using raw = await openRaw(opened.server);
  const subject = at(decideV2);
  opened.bus.serve(subject, { queue: 'router' }, () => assert.fail('served'));
  await opened.bus.flush();
  const body = JSON.stringify({ version: '3', request_id: 'req-7', tenant_id: 'acme' });
  const reply = (await raw.request(subject.subject, body, { timeout: 5_000 })).json();
  assert.partialDeepStrictEqual(reply, {
    ok: false,
    error: { code: 'invalid_request', intake_error_code: 'VERSION_UNSUPPORTED' },
    context: { request_id: 'req-7', tenant_id: 'acme' },
  });
});

test('a reply is never led to a subject of ours, and a request without one is dropped', async () => {
  await using opened = await openAll();
  await using raw = await openRaw(opened.server);
  const served: string[] = [];
  const led: string[] = [];
  raw.subscribe('caf.exec.result.v1', { callback: (_, msg) => void led.push(msg.subject) });
  opened.bus.serve(pool, workers, (request) => {
    served.push(request.assignment_id);
    return accepted(request);
  });
  await Promise.all([opened.bus.flush(), raw.flush()]);
  const body = JSON.stringify(assignment('forged'));
  raw.publish(pool.subject, body, { reply: 'caf.exec.result.v1' });
  raw.publish(pool.subject, body, { reply: '$JS.API.STREAM.DELETE.CAF_RESULT' });
  raw.publish(pool.subject, body);
  await raw.flush();
  await opened.peer.request(pool, assignment('good'), soon);
  await raw.flush();
  assert.deepEqual([served, led], [['good'], []]);
  assert.match(opened.metrics(), /reason="no_reply_subject"\} 3/);
});

test('an event that cannot be read is dropped and counted, and odd headers hurt nobody', async () => {
  await using opened = await openAll();
  await using raw = await openRaw(opened.server);
  const got: (string | undefined)[] = [];
  opened.bus.subscribe(beat, {}, (message, received) => {
    got.push(message.worker_id, received.traceId, received.tenantId);
  });
  await opened.bus.flush();
  for (const [, bytes] of garbage) raw.publish(beat.subject, bytes);
  const odd = headers();
  odd.set('X-Trace-Id', 'trace-1');
  odd.set('TENANT_ID', 'not an id');
  for (let i = 0; i < 200; i++) odd.append(`bomb-${i}`, 'x');
  raw.publish(beat.subject, JSON.stringify(heartbeat('w')), { headers: odd });
  await until('the good one', () => got.length > 0);
  assert.deepEqual(got, ['w', 'trace-1', undefined]);
  assert.match(opened.metrics(), /bus_invalid_messages_total\{subject="caf\.worker\.heartbeat\.v1"\} 8/);
});

test('a reply that is off contract ends the request as invalid_reply', async () => {
  await using opened = await openAll();
  await using raw = await openRaw(opened.server);
  raw.subscribe(pool.subject, { callback: (_, msg) => void msg.respond('{"status":"perhaps"}') });
  await raw.flush();
  await refused('invalid_reply', opened.bus.request(pool, assignment('a'), soon));
});

test('a stream message that cannot be read is counted and given up', async () => {
  await using opened = await openAll();
  await using raw = await openRaw(opened.server);
  await opened.bus.ensureStream(stream);
  await raw.request(stream.subject, '{"tenant_id":7}', { timeout: 5_000 });
  const seen: string[] = [];
  await opened.bus.consume(
    { stream, consumer: { ...consumer, ackWaitMs: 200 }, message: execResult.message },
    (delivery) => {
      seen.push(`${delivery.message.assignment_id}#${delivery.count}`);
      if (delivery.count === 3) delivery.ack();
    },
  );
  const message = { assignment_id: 'good', tenant_id: 'acme', status: 'success' } as const;
  await opened.bus.append(at(execResult), message, { messageId: 'good', timeoutMs: 5_000, correlation });
  await until('two ack waits went by', () => seen.includes('good#3'));
  assert.match(opened.metrics(), /bus_invalid_messages_total\{subject="caf\.exec\.result\.v1"\} 1/);
});

test('a lost connection ends what waits, and everything works again when the server is back', async () => {
  await using opened = await openAll();
  const { server, bus, peer } = opened;
  const held = gate();
  const states: string[] = [];
  using _ = bus.onState((state) => void states.push(state));
  const beats: string[] = [];
  const results: string[] = [];
  const entries: string[] = [];
  const serving = peer.serve(pool, workers, async (request) => {
    if (request.assignment_id === 'lost') await held.opened;
    return accepted(request);
  });
  bus.subscribe(beat, {}, (message) => void beats.push(message.worker_id));
  await bus.consume({ stream, consumer, message: execResult.message }, (delivery) => {
    results.push(delivery.message.assignment_id ?? '');
    delivery.ack();
  });
  const bucket = await bus.openBucket({ name: 'policies', bytesMax: 1_048_576 });
  await bucket.put('acme.a', '1');
  const watching = new AbortController();
  const watch = (async () => {
    for await (const { value } of bucket.watch(watching.signal)) entries.push(value);
  })();
  await until('the watcher reads', () => entries.length === 1);
  await Promise.all([bus.flush(), peer.flush()]);
  const waiting = refused('unavailable', bus.request(pool, assignment('lost'), within(60_000)));
  await until('the handler runs', () => serving.pending === 1);

  await server.kill();
  assert.equal((await waiting).details['reason'], 'connection_lost');
  await until('the loss is known', () => bus.state === 'reconnecting' && peer.state === 'reconnecting');
  await refused('unavailable', bus.request(pool, assignment('a'), soon));
  await refused('unavailable', () => bus.publish(beat, heartbeat('w')));
  await refused('unavailable', bucket.get('acme.a'));
  held.open();
  const result = { assignment_id: 'over', tenant_id: 'acme', status: 'success' } as const;
  const appended = bus.append(at(execResult), result, { messageId: 'over', timeoutMs: 20_000, correlation });

  await server.restart();
  await until('both are back', () => bus.state === 'connected' && peer.state === 'connected');
  assert.deepEqual(states, ['reconnecting', 'connected']);
  await Promise.all([bus.flush(), peer.flush()]);
  assert.equal((await bus.request(pool, assignment('b'), soon)).status, 'accepted');
  peer.publish(beat, heartbeat('back'));
  assert.equal((await appended).duplicate, false);
  await until('event and delivery', () => beats.includes('back') && results.includes('over'));
  await until('the bucket takes', () =>
    bucket.put('acme.a', '2').then(
      () => true,
      () => false,
    ),
  );
  await until('the watcher goes on', () => entries.at(-1) === '2');
  watching.abort();
  await watch;
  assert.deepEqual(entries, ['1', '2']);
});

test('a bus opens without its server, and finds it later with its streams and consumers', async () => {
  await using server = await startNatsServer();
  await server.kill();
  using ground = openGround();
  await using bus = await openNatsBus({ url: server.url, name: 'early', ...ground });
  assert.equal(bus.state, 'reconnecting');
  const results: string[] = [];
  await bus.ensureStream(stream);
  await bus.consume({ stream, consumer, message: execResult.message }, (delivery) => {
    results.push(delivery.message.assignment_id ?? '');
    delivery.ack();
  });
  const bucket = await bus.openBucket({ name: 'policies', bytesMax: 1_048_576 });
  await refused('unavailable', bucket.get('a'));
  bus.serve(pool, workers, accepted);
  await server.restart();
  await until('it is there', () => bus.state === 'connected');
  await bus.flush();
  assert.equal((await bus.request(pool, assignment('a'), soon)).status, 'accepted');
  const result = { assignment_id: 'first', tenant_id: 'acme', status: 'success' } as const;
  await bus.append(at(execResult), result, { messageId: 'first', timeoutMs: 10_000, correlation });
  await until('the delivery', () => results.length === 1);
});

test('a server that is stopped gets no more than the outbound bound, and all works again when it goes on', async () => {
  await using opened = await openAll({ outboundBytesMax: 2_097_152 });
  const { server, bus } = opened;
  const metadata = { filler: 'x'.repeat(50_000) };
  server.freeze();
  let sent = 0;
  const fault = await refused('unavailable', () => {
    for (; sent < 1_000; sent++) bus.publish(beat, { ...heartbeat('w'), metadata });
  });
  server.thaw();
  assert.equal(fault.details['reason'], 'outbound_full');
  assert.ok(sent > 20 && sent <= 42, `${sent} of 50 kB each were taken`);
  await until('it takes again', () => {
    try {
      bus.publish(beat, heartbeat('w'));
      return true;
    } catch {
      return false;
    }
  });
});

test('a bus ends although its server is gone', async () => {
  await using opened = await openAll();
  opened.bus.serve(pool, workers, accepted);
  await opened.bus.consume({ stream, consumer, message: execResult.message }, (delivery) => delivery.ack());
  opened.server.freeze();
  await opened.bus.drain();
  assert.equal(opened.bus.state, 'closed');
  await opened.server.kill();
});
