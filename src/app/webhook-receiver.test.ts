// Webhooks to a receiver that is there: a server on the loopback, through the guarded way out that a gateway uses.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { text } from 'node:stream/consumers';
import { until } from '../../test/until.ts';
import { openMemoryBus } from '../bus/memory.ts';
import { jobBucket } from '../contracts/job.ts';
import type { WebhookDelivery } from '../contracts/webhook-delivery.ts';
import { ManualClock, systemClock } from '../core/clock.ts';
import { Timers } from '../core/timers.ts';
import { askRouter } from '../gateway/decide-client.ts';
import { newJobId } from '../gateway/jobs/job-id.ts';
import { openJobRouter } from '../gateway/jobs/job-router-fixture.ts';
import { JobWatch } from '../gateway/jobs/job-watch.ts';
import type { WebhookEndpoint } from '../gateway/jobs/webhook-endpoint.ts';
import { openWebhooks } from '../gateway/jobs/webhooks.ts';
import { Egress } from '../provider/egress.ts';
import { parseEgressAllow } from '../provider/egress-allow.ts';
import { openLog } from '../telemetry/log.ts';
import { Metrics } from '../telemetry/metrics.ts';
import { sendOver } from './webhooks.ts';

const START_MS = 1_790_000_000_000;
const TRY_MS = 15_000;
const KEY = Buffer.alloc(32, 7);

interface Received {
  readonly path: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}
type Answer = (response: ServerResponse, request: IncomingMessage) => void;

/** A receiver that does what the test says, and keeps what it got. */
async function openReceiver() {
  const received: Received[] = [];
  const receiver = { received, url: '', host: '', answer: ((response) => void response.end()) as Answer };
  const server = createServer((request, response) => {
    void text(request).then((body) => {
      received.push({ path: request.url ?? '', headers: request.headers, body });
      receiver.answer(response, request);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  receiver.host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  receiver.url = `http://${receiver.host}`;
  return Object.assign(receiver, {
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  });
}

/** One gateway with one endpoint there, whose time the test moves; the sockets have the time of the machine. */
async function open() {
  await using opening = new AsyncDisposableStack();
  const receiver = opening.use(await openReceiver());
  const clock = new ManualClock(START_MS);
  const timers = opening.use(new Timers(clock));
  const telemetry = { log: openLog('silent', { write: () => undefined }), metrics: new Metrics() };
  const bus = openMemoryBus({ timers, telemetry });
  opening.defer(() => bus.drain());
  const router = opening.use(await openJobRouter(bus, clock));
  const jobs = await bus.openBucket(jobBucket);
  const watch = opening.use(new JobWatch({ jobs, timers, log: telemetry.log }));
  const socketTimers = opening.use(new Timers(systemClock));
  const allow = parseEgressAllow([receiver.host]);
  const egress = opening.use(new Egress({ allow, timers: socketTimers, connectMs: 5_000 }));
  const endpoint: WebhookEndpoint = {
    id: 'whk_1',
    tenantId: 'acme',
    url: `${receiver.url}/hooks`,
    secrets: [() => `whsec_${KEY.toString('base64')}`],
    events: new Set(['job.completed', 'job.failed']),
    includeResult: false,
  };
  const options = { endpoints: [endpoint], send: sendOver(egress), gatewayId: 'gateway-1', draw: () => 0 };
  const webhooks = opening.use(await openWebhooks({ bus, jobs, watch, timers, telemetry }, options));
  const opened = opening.move();
  const pass = (ms: number): void => {
    clock.advance(ms);
    timers.tick();
  };
  return {
    receiver,
    webhooks,
    clock,
    pass,
    /** A job ends that this endpoint wants to hear of. */
    async ended(): Promise<void> {
      const id = newJobId(clock);
      const job = { id, expires_at_ms: START_MS + 3_600_000, webhook_id: 'whk_1' };
      const task = { type: 'test.echo', payload: { a: 1 } };
      const asked = { version: '2' as const, request_id: id, tenant_id: 'acme', task, push_assignment: true };
      await askRouter(bus, { ...asked, idempotency_key: id, job }, 1_000);
      await router.move('acme', id, 'succeeded');
    },
    /** The delivery once so many tries of it are over. */
    after: (tries: number): Promise<WebhookDelivery> =>
      until(`${tries} tries`, async () => {
        pass(20);
        const [delivery] = await webhooks.deliveries('acme', 'whk_1');
        return delivery !== undefined && delivery.tries.length === tries && delivery.lease === undefined && delivery;
      }),
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

const told = ({ status, tries }: WebhookDelivery): readonly unknown[] => [
  status,
  ...tries.map(({ http_status, error }) => http_status ?? error),
];

test('a receiver gets the bytes that were signed, and nothing but what it needs', async () => {
  await using world = await open();
  await world.ended();
  assert.deepEqual(told(await world.after(1)), ['delivered', 200]);
  const [{ path, headers, body } = assert.fail('nothing came'), ...more] = world.receiver.received;
  assert.deepEqual([path, more.length], ['/hooks', 0]);
  const signature = createHmac('sha256', KEY)
    .update(`${String(headers['webhook-id'])}.${String(headers['webhook-timestamp'])}.${body}`)
    .digest('base64');
  assert.equal(headers['webhook-signature'], `v1,${signature}`);
  assert.equal((JSON.parse(body) as { type: string }).type, 'job.completed');
  assert.equal(headers['authorization'], undefined);
});

// What the receiver does, and how the try is told.
const FAILING: readonly (readonly [what: string, answer: Answer, told: number | RegExp])[] = [
  ['answers 500', (response) => void response.writeHead(500).end('no'), 500],
  ['answers 400', (response) => void response.writeHead(400).end(), 400],
  ['resets the connection', (response) => void response.socket?.resetAndDestroy(), /./],
  ['closes without an answer', (response) => void response.socket?.end(), /./],
  ['answers no HTTP', (response) => void response.socket?.end('SSH-2.0-x\r\n\r\n'), /./],
  [
    'breaks off its answer',
    (response) => void response.writeHead(200, { 'content-length': 9 }).write('1', () => response.socket?.destroy()),
    /./,
  ],
  ['answers with more than is read', (response) => void response.end(Buffer.alloc(2_000_000)), /./],
];

for (const [what, answer, expected] of FAILING) {
  test(`a receiver that ${what} gets it again, under the same id`, async () => {
    await using world = await open();
    world.receiver.answer = answer;
    await world.ended();
    const failed = await world.after(1);
    const [tried] = failed.tries;
    if (typeof expected === 'number') assert.equal(tried?.http_status, expected);
    else assert.match(tried?.error ?? '', expected);
    assert.equal(failed.next_at_ms - (tried?.at_ms ?? 0), 5_000);
    world.receiver.answer = (response) => void response.writeHead(204).end();
    world.pass(5_000);
    const { received } = world.receiver;
    assert.equal((await world.after(2)).status, 'delivered');
    assert.deepEqual(
      received.map(({ headers, body }) => [headers['webhook-id'], body]),
      Array(2).fill([failed.event_id, received[0]?.body]),
    );
  });
}

// Before and after its head: what is waited for is the whole answer.
for (const [what, begin] of [
  ['does not answer', () => undefined],
  ['never ends its answer', (response) => void response.writeHead(200).write('so ')],
] as const satisfies readonly (readonly [string, Answer])[]) {
  test(`a receiver that ${what} loses the connection when its time is over, and gets it again`, async () => {
    await using world = await open();
    let isCut = false;
    world.receiver.answer = (response) => {
      response.once('close', () => (isCut = !response.writableFinished));
      begin(response);
    };
    await world.ended();
    await until('the try', () => (world.pass(20), world.receiver.received.length === 1));
    world.pass(TRY_MS);
    const failed = await world.after(1);
    assert.deepEqual(told(failed), ['pending', 'no answer in time']);
    await until('the end of the connection', () => isCut);
    world.receiver.answer = (response) => void response.end();
    world.pass(failed.next_at_ms - world.clock.epochMs());
    assert.equal((await world.after(2)).status, 'delivered');
  });
}

for (const status of [301, 302, 303, 307, 308]) {
  test(`a redirect by ${status} is not followed, and counts as a failure`, async () => {
    await using world = await open();
    const { receiver } = world;
    receiver.answer = (response) => void response.writeHead(status, { location: `${receiver.url}/elsewhere` }).end();
    await world.ended();
    assert.deepEqual(told(await world.after(1)), ['pending', status]);
    world.pass(5_000);
    assert.deepEqual(told(await world.after(2)), ['pending', status, status]);
    assert.deepEqual(new Set(receiver.received.map(({ path }) => path)), new Set(['/hooks']));
  });
}

test('410 ends the delivery and every later one without a call, until somebody enables the endpoint', async () => {
  await using world = await open();
  const { receiver, webhooks } = world;
  receiver.answer = (response) => void response.writeHead(410).end();
  await world.ended();
  const gone = await world.after(1);
  assert.deepEqual(told(gone), ['dead', 410]);
  await world.ended();
  await until('the second', async () => {
    world.pass(20);
    const all = await webhooks.deliveries('acme', 'whk_1');
    return all.length === 2 && all.every(({ status }) => status === 'dead');
  });
  assert.equal(receiver.received.length, 1);
  receiver.answer = (response) => void response.end();
  await webhooks.enable('acme', 'whk_1', true);
  await webhooks.resend('acme', 'whk_1', gone.event_id);
  await until('the resend', () => (world.pass(20), receiver.received.length === 2));
  assert.equal(receiver.received[1]?.headers['webhook-id'], gone.event_id);
});

test('a receiver that says when to come back is asked then', async () => {
  await using world = await open();
  world.receiver.answer = (response) => void response.writeHead(429, { 'retry-after': '600' }).end();
  await world.ended();
  const { next_at_ms: nextMs, tries } = await world.after(1);
  assert.equal(nextMs - (tries[0]?.at_ms ?? 0), 600_000);
});
