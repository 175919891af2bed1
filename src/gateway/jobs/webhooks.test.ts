import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '../../../test/until.ts';
import { openMemoryBus } from '../../bus/memory.ts';
import { jobBucket, type JobState } from '../../contracts/job.ts';
import type { WebhookDelivery } from '../../contracts/webhook-delivery.ts';
import { ManualClock } from '../../core/clock.ts';
import { Timers } from '../../core/timers.ts';
import { openLog } from '../../telemetry/log.ts';
import { Metrics } from '../../telemetry/metrics.ts';
import { askRouter } from '../decide-client.ts';
import { newJobId } from './job-id.ts';
import { openJobRouter } from './job-router-fixture.ts';
import { JobWatch } from './job-watch.ts';
import { codeOf, openWorld } from './jobs-fixture.ts';
import { signed, type WebhookAnswer, type WebhookEndpoint, type WebhookRequest } from './webhook-endpoint.ts';
import { openWebhooks, type Webhooks } from './webhooks.ts';

const SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
const START_MS = 1_790_000_000_000;
const MIN = 60_000;
const H = 60 * MIN;

const endpoint = (more: Partial<WebhookEndpoint> = {}): WebhookEndpoint => ({
  id: 'whk_1',
  tenantId: 'acme',
  url: 'https://hooks.example/a?secret=1',
  secrets: [() => SECRET],
  events: new Set(['job.completed', 'job.failed', 'job.cancelled', 'job.expired']),
  includeResult: false,
  ...more,
});

type Script = (request: WebhookRequest) => Promise<WebhookAnswer> | WebhookAnswer;
const ok: WebhookAnswer = { status: 204, retryAfter: undefined };

/** A bus with a router of jobs, whose time a test moves; and as many gateways as it opens. */
async function open() {
  const clock = new ManualClock(START_MS);
  const timers = new Timers(clock);
  const telemetry = { log: openLog('silent', { write: () => undefined }), metrics: new Metrics() };
  const bus = openMemoryBus({ timers, telemetry });
  const router = await openJobRouter(bus, clock);
  const sent: WebhookRequest[] = [];
  const opened: (() => Promise<void>)[] = [];
  const world = {
    clock,
    sent,
    answer: (() => ok) as Script,
    async gateway(endpoints: readonly WebhookEndpoint[], gatewayId = 'gateway-1'): Promise<Webhooks> {
      const jobs = await bus.openBucket(jobBucket);
      const own = { log: telemetry.log, metrics: new Metrics() };
      const watch = new JobWatch({ jobs, timers, log: own.log });
      const webhooks = await openWebhooks(
        { bus, jobs, watch, timers, telemetry: own },
        {
          endpoints,
          gatewayId,
          draw: () => 0.5,
          send: async (request) => {
            sent.push(request);
            return world.answer(request);
          },
        },
      );
      opened.push(async () => {
        await webhooks[Symbol.asyncDispose]();
        await watch[Symbol.asyncDispose]();
      });
      return webhooks;
    },
    /** Moves the time, in steps that a wheel sees. */
    pass(ms: number): void {
      clock.advance(ms);
      timers.tick();
    },
    async ended(webhookId: string | undefined, more: Partial<JobState> = {}, tenantId = 'acme'): Promise<string> {
      const id = newJobId(clock);
      await askRouter(
        bus,
        {
          version: '2',
          request_id: id,
          tenant_id: tenantId,
          task: { type: 'test.echo', payload: { a: 1 } },
          push_assignment: true,
          idempotency_key: id,
          job: { id, expires_at_ms: START_MS + H, ...(webhookId === undefined ? {} : { webhook_id: webhookId }) },
        },
        1_000,
      );
      await router.move(tenantId, id, 'succeeded', more);
      return id;
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(opened.map((close) => close()));
      await router[Symbol.asyncDispose]();
      timers[Symbol.dispose]();
      await bus.drain();
    },
  };
  return world;
}

/** Lets timers that are due fire until the condition holds. */
const settled = <T>(world: { pass(ms: number): void }, what: string, look: () => T | Promise<T>) =>
  until(what, async () => {
    world.pass(20);
    return look();
  });

async function only(webhooks: Webhooks): Promise<WebhookDelivery> {
  const [delivery, ...others] = await webhooks.deliveries('acme', 'whk_1');
  assert.ok(delivery);
  assert.equal(others.length, 0);
  return delivery;
}

test('a message is signed as Standard Webhooks writes it, by both secrets during a rotation', () => {
  const message = {
    id: 'msg_p5jXN8AQM9LWM0D4loKWxJek',
    timestampS: 1_614_265_330,
    body: '{"test": 2432232314}',
  };
  const expected = 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=';
  assert.equal(signed({ secrets: [() => SECRET] }, message)?.['webhook-signature'], expected);
  const both = signed({ secrets: [() => SECRET, () => `whsec_${Buffer.alloc(32).toString('base64')}`] }, message);
  assert.match(both?.['webhook-signature'] ?? '', /^v1,\S{44} v1,\S{44}$/);
  assert.equal(signed({ secrets: [() => 'nonsense', () => undefined] }, message), undefined);
});

test('many gateways tell the end of a job once', async () => {
  await using world = await open();
  const [one] = await Promise.all([world.gateway([endpoint()]), world.gateway([endpoint()], 'gateway-2')]);
  const id = await world.ended('whk_1', { cost_micro_usd: 1_163, result: { output: 'secret' } });
  await world.ended(undefined);
  await settled(world, 'the delivery', async () => (await one.deliveries('acme', 'whk_1'))[0]?.status === 'delivered');
  const delivery = await only(one);
  assert.equal(world.sent.length, 1);
  const [request] = world.sent;
  assert.equal(request?.url, 'https://hooks.example/a?secret=1');
  assert.equal(request?.headers['webhook-id'], delivery.event_id);
  assert.match(delivery.event_id, /^evt_[0-9A-Z]{26}$/);
  assert.deepEqual(JSON.parse(request?.body ?? ''), {
    type: 'job.completed',
    timestamp: new Date(START_MS).toISOString(),
    data: {
      job_id: id,
      tenant_id: 'acme',
      status: 'completed',
      cost_micro_usd: 1_163,
      url: `/api/v1/jobs/${id}`,
    },
  });
  const timestamp = request?.headers['webhook-timestamp'] ?? '';
  const body = request?.body ?? '';
  assert.deepEqual(
    signed(endpoint(), { id: delivery.event_id, timestampS: Number(timestamp), body })?.['webhook-signature'],
    request?.headers['webhook-signature'],
  );
});

test('what ended before anybody listened is told at the start; a result goes along where it was asked for and is small', async () => {
  await using world = await open();
  await world.ended('whk_1', { result: { output: 'small' } });
  const large = await world.ended('whk_1', { result: { output: 'x'.repeat(30_000) } });
  const webhooks = await world.gateway([endpoint({ includeResult: true })]);
  await settled(world, 'both', async () => {
    const all = await webhooks.deliveries('acme', 'whk_1');
    return all.length === 2 && all.every(({ status }) => status === 'delivered');
  });
  const bodies = world.sent.map(
    ({ body }) => (JSON.parse(body) as { data: { job_id: string; result?: unknown } }).data,
  );
  assert.deepEqual(bodies.find(({ job_id }) => job_id !== large)?.result, { output: 'small' });
  assert.equal('result' in (bodies.find(({ job_id }) => job_id === large) ?? { result: 1 }), false);
});

test('a delivery that fails is tried again by the table, under one id, and is dead after the last try', async () => {
  await using world = await open();
  world.answer = () => ({ status: 500, retryAfter: undefined });
  const webhooks = await world.gateway([endpoint()]);
  await world.ended('whk_1');
  // With the jitter of this draw each wait is a tenth longer.
  const waits = [5_000, 5 * MIN, 30 * MIN, 2 * H, 5 * H, 10 * H, 14 * H, 20 * H];
  for (const [index, waitMs] of waits.entries()) {
    const tried = await settled(world, `try ${index + 1}`, async () => {
      const [delivery] = await webhooks.deliveries('acme', 'whk_1');
      return delivery !== undefined && delivery.tries.length === index + 1 && delivery.lease === undefined && delivery;
    });
    const last = tried.tries.at(-1);
    assert.equal(Math.round((tried.next_at_ms - (last?.at_ms ?? 0)) / 10), Math.round((waitMs * 1.1) / 10));
    world.pass(tried.next_at_ms - world.clock.epochMs());
  }
  await settled(world, 'the last try', async () => (await only(webhooks)).status === 'dead');
  const dead = await only(webhooks);
  assert.deepEqual([dead.tries.length, dead.attempt, world.sent.length], [9, 9, 9]);
  assert.equal(new Set(world.sent.map(({ headers }) => headers['webhook-id'])).size, 1);
  assert.equal(new Set(world.sent.map(({ body }) => body)).size, 1);
  world.answer = () => ok;
  assert.equal((await webhooks.resend('acme', 'whk_1', dead.event_id)).status, 'pending');
  await settled(world, 'the resend', async () => (await only(webhooks)).status === 'delivered');
  assert.equal(world.sent.at(-1)?.headers['webhook-id'], dead.event_id);
});

test('an endpoint says itself when to come back, and three days of failure disable it', async () => {
  await using world = await open();
  world.answer = () => ({ status: 503, retryAfter: '3600' });
  const webhooks = await world.gateway([endpoint()]);
  await world.ended('whk_1');
  await settled(world, 'the first try', async () => (await only(webhooks).catch(() => undefined))?.tries.length === 1);
  const tried = await settled(world, 'its end', async () => {
    const delivery = await only(webhooks);
    return delivery.lease === undefined && delivery;
  });
  assert.equal(tried.next_at_ms - (tried.tries[0]?.at_ms ?? 0), H);
  assert.equal((await webhooks.health('acme', 'whk_1')).disabled, undefined);
  world.pass(3 * 24 * H);
  await settled(
    world,
    'the end of patience',
    async () => (await webhooks.health('acme', 'whk_1')).disabled?.reason === 'failing',
  );
});

test('410 disables an endpoint until somebody enables it', async () => {
  await using world = await open();
  world.answer = () => ({ status: 410, retryAfter: undefined });
  const webhooks = await world.gateway([endpoint()]);
  await world.ended('whk_1');
  await settled(world, 'the refusal', async () => (await only(webhooks).catch(() => undefined))?.status === 'dead');
  assert.equal((await webhooks.health('acme', 'whk_1')).disabled?.reason, 'gone');
  const { event_id } = await only(webhooks);
  await assert.rejects(webhooks.resend('acme', 'whk_1', event_id), { code: 'conflict' });
  await world.ended('whk_1');
  await settled(world, 'the second', async () => {
    const all = await webhooks.deliveries('acme', 'whk_1');
    return all.length === 2 && all.every(({ status }) => status === 'dead');
  });
  assert.equal(world.sent.length, 1, 'a disabled endpoint is not called');
  world.answer = () => ok;
  assert.equal((await webhooks.enable('acme', 'whk_1', true)).disabled, undefined);
  await webhooks.resend('acme', 'whk_1', event_id);
  await settled(world, 'the resend', async () => world.sent.length === 2);
});

test('an endpoint that does not answer delays no other', async () => {
  await using world = await open();
  world.answer = ({ url, signal }) =>
    url.includes('slow')
      ? new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)))
      : ok;
  const slow = endpoint({ id: 'slow', url: 'https://slow.example/' });
  const webhooks = await world.gateway([endpoint(), slow]);
  for (let n = 0; n < 10; n++) await world.ended('slow');
  await until('the slow ones', async () => (world.pass(1), world.sent.length === 4));
  await world.ended('whk_1');
  await until('the other', async () => {
    world.pass(1);
    return (await webhooks.deliveries('acme', 'whk_1'))[0]?.status === 'delivered';
  });
  const waiting = await webhooks.deliveries('acme', 'slow');
  assert.deepEqual(new Set(waiting.map(({ status }) => status)), new Set(['pending']));
  world.pass(15_000);
  await until('the time of a try is over', async () => {
    world.pass(1);
    const tries = (await webhooks.deliveries('acme', 'slow')).flatMap(({ tries: all }) => all);
    return tries.some(({ error }) => error === 'no answer in time');
  });
});

test('a gateway that dies during a try leaves it to another one', async () => {
  await using world = await open();
  world.answer = () => new Promise(() => undefined);
  const dying = await world.gateway([endpoint()]);
  await world.ended('whk_1');
  await settled(world, 'the try', () => world.sent.length === 1);
  await dying[Symbol.asyncDispose]();
  world.answer = () => ok;
  const other = await world.gateway([endpoint()], 'gateway-2');
  world.pass(30_000);
  assert.equal((await only(other)).status, 'pending');
  world.pass(60_000);
  await settled(world, 'the second try', async () => (await only(other)).status === 'delivered');
  const { attempt, event_id } = await only(other);
  assert.deepEqual([attempt, world.sent.map(({ headers }) => headers['webhook-id'])], [2, [event_id, event_id]]);
});

test('webhooks are looked into over HTTP by the administrators of their tenant', async () => {
  await using world = await openWorld({
    tenants: ['acme', 'other'],
    webhooks: { endpoints: [endpoint()], gatewayId: 'gateway-1', draw: () => 0.5, send: async () => ok },
  });
  const { send, router } = world;
  const acme = { 'x-tenant-id': 'acme' };
  const other = { 'x-tenant-id': 'other' };
  const made = await send('POST', '/api/v1/jobs', { task: { type: 'a', payload: { a: 1 } }, webhook: 'whk_1' }, acme);
  assert.deepEqual([made.status, made.body['webhook']], [202, 'whk_1']);
  const foreign = await send(
    'POST',
    '/api/v1/jobs',
    { task: { type: 'a', payload: { a: 1 } } },
    {
      ...other,
      'x-beamline-webhook': 'whk_1',
    },
  );
  assert.equal(foreign.status, 400);
  await router.move('acme', String(made.body['id']), 'failed', {
    error: { code: 'internal', message: '', retryable: false },
  });
  const list = async () =>
    (await send('GET', '/api/v1/webhooks/whk_1/deliveries', undefined, acme)).body['data'] as Record<string, unknown>[];
  const [delivery] = await until('the delivery', async () => {
    const all = await list();
    return all[0]?.['status'] === 'delivered' && all;
  });
  assert.deepEqual([delivery?.['type'], delivery?.['job_id']], ['job.failed', made.body['id']]);
  const [shown] = (await send('GET', '/api/v1/webhooks', undefined, acme)).body['data'] as Record<string, unknown>[];
  assert.deepEqual([shown?.['url'], shown?.['enabled']], ['https://hooks.example/a', true]);
  assert.deepEqual((await send('GET', '/api/v1/webhooks', undefined, other)).body['data'], []);
  for (const path of ['whk_1', 'whk_1/deliveries', 'whk_2']) {
    assert.equal((await send('GET', `/api/v1/webhooks/${path}`, undefined, other)).status, 404);
  }
  const event = String(delivery?.['id']);
  const again = await send('POST', `/api/v1/webhooks/whk_1/deliveries/${event}/resend`, undefined, acme);
  assert.equal(again.status, 202);
  await until('the resend', async () => (await list()).some(({ tries }) => Array.isArray(tries) && tries.length === 2));
  const off = await send('PATCH', '/api/v1/webhooks/whk_1', { enabled: false }, acme);
  assert.deepEqual([off.body['enabled'], (off.body['disabled'] as { reason: string }).reason], [false, 'manual']);
  const bad = await send('PATCH', '/api/v1/webhooks/whk_1', { url: 'https://a.example' }, acme);
  assert.deepEqual([bad.status, codeOf(bad)], [400, 'invalid_request']);
  assert.equal((await send('POST', '/api/v1/webhooks/whk_1/deliveries/evt_x/resend', undefined, acme)).status, 404);
});
