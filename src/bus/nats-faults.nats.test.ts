import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connect, headers, type NatsConnection } from '@nats-io/transport-node';
import { type NatsServer, startNatsServer } from '../../test/nats-server.ts';
import { execCall } from '../contracts/assignment.ts';
import { cancel } from '../contracts/cancel.ts';
import { at, everyOf } from '../contracts/contract.ts';
import { decideV1, decideV2 } from '../contracts/decide.ts';
import { frames } from '../contracts/frames.ts';
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
import { lawOf } from './nats-law.ts';
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
  assert.match(
    opened.metrics(),
    /bus_contract_violations_total\{contract="caf\.exec\.call\.v2\.<pool>",rule="schema"\} 3/,
  );
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
  assert.match(
    opened.metrics(),
    /bus_contract_violations_total\{contract="caf\.worker\.heartbeat\.v1",rule="schema"\} 3/,
  );
});

const v2 = { x_trace_id: 'trace-1', x_tenant_id: 'acme', x_contract_version: 'v2' };
const written = (more: Readonly<Record<string, string>>, ...twice: readonly (readonly [string, string])[]) => {
  const made = headers();
  for (const [name, value] of [...Object.entries(more), ...twice]) made.append(name, value);
  return made;
};

test('a request of v2 without its headers is refused, and one that spells them otherwise is served', async () => {
  await using opened = await openAll();
  await using raw = await openRaw(opened.server);
  const served: (string | undefined)[] = [];
  opened.bus.serve(pool, workers, (request, received) => {
    served.push(received.traceId);
    return accepted(request);
  });
  await opened.bus.flush();
  const { x_trace_id: _, ...untraced } = v2;
  const odd = { 'X-Trace-Id': 'trace-2', 'x-Tenant-id': 'acme', X_CONTRACT_VERSION: 'v2', traceparent: 'x' };
  const asked = [
    undefined,
    written(untraced),
    written({ ...v2, x_trace_id: '' }),
    written({ ...v2, x_contract_version: 'v1' }),
    written({ ...v2, x_tenant_id: 'umbrella' }),
    written(v2, ['x-tenant-id', 'umbrella']),
    written({ trace_id: 'trace-1', tenant_id: 'acme', version: '1' }),
    written(odd),
    written(v2, ['x-trace-id', 'trace-1']),
    written({ ...v2, x_tenant_id: '-' }),
  ];
  const body = JSON.stringify(assignment('a'));
  const replies = await Promise.all(
    asked.map((with_) => raw.request(pool.subject, body, { timeout: 5_000, ...(with_ && { headers: with_ }) })),
  );
  assert.deepEqual(
    replies.map((reply) => (reply.json() as { status: string }).status),
    [...asked.slice(0, 7).map(() => 'rejected'), 'accepted', 'accepted', 'accepted'],
  );
  assert.deepEqual(served, ['trace-2', 'trace-1', 'trace-1']);
  const counted = (rule: string) =>
    opened
      .metrics()
      .split('\n')
      .find((line) => line.includes('call.v2') && line.includes(`rule="${rule}"`))
      ?.at(-1);
  assert.deepEqual(['missing_header', 'version', 'tenant_mismatch', 'header_twice'].map(counted), ['4', '1', '1', '1']);
});

test('header and payload with different tenants are told by the intake code, whatever the version', async () => {
  await using opened = await openAll();
  await using raw = await openRaw(opened.server);
  const contract = at(decideV1);
  opened.bus.serve(contract, { queue: 'router' }, () => assert.fail('served'));
  await opened.bus.flush();
  const body = JSON.stringify({ version: '1', request_id: 'req-7', tenant_id: 'acme', task: { type: 'ai.chat' } });
  const reply = await raw.request(contract.subject, body, { timeout: 5_000, headers: written({ tenant_id: 'other' }) });
  assert.partialDeepStrictEqual(reply.json(), {
    ok: false,
    error: { code: 'invalid_request', intake_error_code: 'CORRELATION_FIELDS_INVALID' },
  });
});

test('the law reads the bytes of a message, and decodes no header', async () => {
  await using opened = await openAll();
  await using raw = await openRaw(opened.server);
  const law = lawOf('base_v2');
  const rules: (string | undefined)[] = [];
  raw.subscribe('t', {
    callback: (_, msg) => {
      rules.push(law(msg, { tenant_id: 'acme' }));
      const { _headers: decoded, _rdata: bytes } = msg as unknown as { _headers?: unknown; _rdata?: unknown };
      assert.deepEqual([decoded, bytes instanceof Uint8Array], [undefined, true]);
    },
  });
  for (const made of [written(v2), written({ ...v2, x_tenant_id: 'other' })]) raw.publish('t', '{}', { headers: made });
  raw.publish('t', '{}');
  await until('three', () => rules.length === 3);
  assert.deepEqual(rules, [undefined, 'tenant_mismatch', 'missing_header']);
});

test('an event of v2 without its headers is dropped and counted; later frames need none', async () => {
  await using opened = await openAll();
  await using raw = await openRaw(opened.server);
  const got: string[] = [];
  opened.bus.subscribe(at(cancel), {}, (message) => void got.push(message.assignment_id));
  opened.bus.subscribe(everyOf(frames), {}, ({ assignment_id, seq }) => void got.push(`${assignment_id}-${seq}`));
  await opened.bus.flush();
  const cancelled = (id: string) =>
    JSON.stringify({
      version: '2',
      tenant_id: 'acme',
      assignment_id: id,
      attempt: 1,
      reason: 'deadline',
      requested_at_ms: 1,
    });
  const frame = (id: string, seq: number) => JSON.stringify({ type: 'heartbeat', assignment_id: id, attempt: 1, seq });
  raw.publish(cancel.template, cancelled('bare'));
  raw.publish(cancel.template, cancelled('other'), { headers: written({ ...v2, x_tenant_id: 'other' }) });
  raw.publish(cancel.template, cancelled('good'), { headers: written(v2) });
  raw.publish('beamline.exec.v2.frames.g1.s1', frame('bare', 0));
  raw.publish('beamline.exec.v2.frames.g1.s1', frame('good', 0), { headers: written(v2) });
  raw.publish('beamline.exec.v2.frames.g1.s1', frame('later', 1));
  await until('the good ones', () => got.length === 3);
  assert.deepEqual(got, ['good', 'good-0', 'later-1']);
  assert.match(opened.metrics(), /contract="caf\.exec\.cancel\.v2",rule="missing_header"\} 1\n/);
  assert.match(opened.metrics(), /contract="caf\.exec\.cancel\.v2",rule="tenant_mismatch"\} 1\n/);
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
  assert.match(opened.metrics(), /bus_contract_violations_total\{contract="caf\.exec\.result\.v1",rule="schema"\} 1/);
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
