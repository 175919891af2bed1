import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openMemoryBus } from '../bus/memory.ts';
import { backpressureV2, type RouterLoad } from '../contracts/backpressure.ts';
import { at } from '../contracts/contract.ts';
import { ManualClock } from '../core/clock.ts';
import { Timers } from '../core/timers.ts';
import { openLog } from '../telemetry/log.ts';
import { Metrics } from '../telemetry/metrics.ts';
import { until } from '../../test/until.ts';
import { Backpressure } from './backpressure.ts';
import { CHAT, type EdgeFixture, endFrame, openEdge, type Ordered } from './edge-fixture.ts';
import { openEdgeMetrics } from './edge-metrics.ts';
import { codeOf, openWorld, TASK } from './jobs/jobs-fixture.ts';
import { askRouterLoadOver } from './router-load.ts';

const LOAD: RouterLoad = {
  subject: 'beamline.router.v2.decide',
  router_id: 'r-1',
  status: 'inactive',
  metrics: {
    pending_messages: 0,
    latency_p95_ms: 0,
    inflight_messages: 0,
    event_loop_lag_ms: 0,
    worker_slots_free: 0,
  },
  thresholds: { queue_overload: 1, latency_overload_ms: 1, inflight_overload: 1, event_loop_lag_ms: 1 },
  policy: { retry_after_seconds: 0, max_retry_attempts: 3 },
  timestamp: 1,
};

/** What a gateway knows of a router whose answers a test tells, on a clock moved by hand. */
function open() {
  const clock = new ManualClock(1_790_000_000_000);
  const timers = new Timers(clock);
  const lines: string[] = [];
  const metrics = new Metrics();
  const log = openLog('info', { write: (line) => void lines.push(line) });
  const bus = openMemoryBus({ timers, telemetry: { log, metrics } });
  const exchanges = { active: 0 };
  const backpressure = new Backpressure({
    timers,
    log,
    metrics: openEdgeMetrics(metrics),
    settings: { max_in_flight: 10, sample_ms: 1_000 },
    exchanges,
    askRouterLoad: askRouterLoadOver(bus, clock),
  });
  metrics.beforeRender(() => backpressure.show());
  const router: { status: RouterLoad['status']; asked: number } = { status: 'inactive', asked: 0 };
  const served = bus.serve(at(backpressureV2), {}, () => {
    router.asked++;
    return { success: true, data: { ...LOAD, status: router.status } };
  });
  /** So many samples, each with the whole time that an answer may take. */
  const sample = async (count: number): Promise<void> => {
    for (let left = count * 50; left > 0; left--) {
      clock.advance(20);
      timers.tick();
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  const shown = (signal: string): string | undefined =>
    new RegExp(`gateway_backpressure_state\\{signal="${signal}"\\} (\\d)`).exec(metrics.render())?.[1];
  const close = async (): Promise<void> => {
    backpressure[Symbol.dispose]();
    await bus[Symbol.asyncDispose]();
    timers[Symbol.dispose]();
  };
  return { backpressure, router, served, exchanges, sample, shown, lines, timers, close };
}

test('a gateway asks once a second, and is active after two answers that say so', async () => {
  const it = open();
  await it.sample(3);
  assert.deepEqual([it.router.asked, it.backpressure.isActive, it.backpressure.check().message], [3, false, 'normal']);
  it.router.status = 'active';
  await it.sample(1);
  assert.equal(it.backpressure.isActive, false);
  await it.sample(1);
  assert.deepEqual(
    [it.backpressure.isActive, it.backpressure.check(), it.shown('router')],
    [true, { status: 'warn', message: 'active' }, '2'],
  );
  it.router.status = 'inactive';
  await it.sample(3);
  assert.deepEqual([it.backpressure.isActive, it.shown('router')], [false, '0']);
  const told = it.lines.map((line) => JSON.parse(line) as { readonly message?: string; readonly state?: string });
  assert.deepEqual(
    told.map(({ message, state }) => [message, state]),
    [
      ['gateway_backpressure', 'active'],
      ['gateway_backpressure', 'normal'],
    ],
  );
  await it.close();
});

test('the warning level is shown and refuses nobody', async () => {
  const it = open();
  it.router.status = 'warning';
  await it.sample(2);
  assert.deepEqual(
    [it.backpressure.isActive, it.backpressure.check(), it.shown('router')],
    [false, { status: 'warn', message: 'warning' }, '1'],
  );
  await it.close();
});

test('where no router answers any more nothing is known, and nobody is refused for it', async () => {
  const it = open();
  it.router.status = 'active';
  await it.sample(2);
  await it.served[Symbol.asyncDispose]();
  await it.sample(4);
  assert.equal(it.backpressure.isActive, true);
  await it.sample(1);
  assert.deepEqual(
    [it.backpressure.isActive, it.backpressure.check(), it.shown('router')],
    [false, { status: 'ok', message: 'unknown' }, '3'],
  );
  await it.close();
});

test('what is in flight is a signal of its own', async () => {
  const it = open();
  const seen = [7, 8, 10].map((active) => {
    it.exchanges.active = active;
    return [it.backpressure.check().message, it.shown('in_flight')];
  });
  assert.deepEqual(seen, [
    ['normal', '0'],
    ['warning', '1'],
    ['active', '2'],
  ]);
  await it.close();
});

test('a gateway that has left asks nobody', async () => {
  const it = open();
  it.backpressure[Symbol.dispose]();
  assert.equal(it.timers.pending, 0);
  await it.close();
});

const isTold = async ({ url }: EdgeFixture, message: string): Promise<boolean> => {
  const { checks } = (await (await fetch(`${url}/readyz`)).json()) as {
    readonly checks: { readonly backpressure: { readonly message: string } };
  };
  return checks.backpressure.message === message;
};
const metricOf = ({ metrics }: EdgeFixture, name: string): string | undefined =>
  metrics
    .render()
    .split('\n')
    .find((line) => line.startsWith(name));

test('while all routers are active, what would ask them is refused, and goes on when they are calm', async () => {
  let level: 0 | 2 = 2;
  const script = ({ reader }: Ordered): void => reader.end(endFrame('{}'));
  await using edge = await openEdge({ script, active: () => 0, askRouterLoad: () => Promise.resolve(level) });
  await until('backpressure', () => isTold(edge, 'active'));
  const post = (path: string, body: object): Promise<Response> =>
    fetch(`${edge.url}${path}`, { method: 'POST', headers: edge.headers, body: JSON.stringify(body) });
  const refused = [
    await post('/v1/chat/completions', CHAT),
    await post('/v1/chat/completions', { ...CHAT, stream: true }),
    await post('/v1/embeddings', { model: 'tall', input: 'a lake' }),
    await post('/api/v1/routes/decide', { task: TASK }),
  ];
  for (const response of refused) {
    const waitS = Number(response.headers.get('retry-after'));
    const { error } = (await response.json()) as { readonly error: { readonly code: string } };
    assert.deepEqual([response.status, error.code, waitS >= 5 && waitS <= 30], [503, 'service_overloaded', true]);
  }
  assert.equal(edge.orders.length, 0);
  assert.equal(metricOf(edge, 'gateway_shed_total'), 'gateway_shed_total{reason="router",tenant_id="acme"} 4');
  const read = await fetch(`${edge.url}/v1/models`, { headers: edge.headers });
  assert.equal(read.status, 200);
  await read.body?.cancel();
  level = 0;
  await until('calm', () => isTold(edge, 'normal'));
  const served = await post('/v1/chat/completions', CHAT);
  assert.equal(served.status, 200);
  await served.body?.cancel();
});

test('the bound on requests in flight refuses without any router, and is counted apart', async () => {
  await using edge = await openEdge({ active: () => 2_000 });
  const response = await fetch(`${edge.url}/v1/chat/completions`, {
    method: 'POST',
    headers: edge.headers,
    body: JSON.stringify(CHAT),
  });
  assert.equal(response.status, 503);
  await response.body?.cancel();
  assert.equal(metricOf(edge, 'gateway_shed_total'), 'gateway_shed_total{reason="in_flight",tenant_id="acme"} 1');
});

test('new jobs are refused too; repeats of one that was accepted, reads and cancels are not', async () => {
  let level: 0 | 2 = 0;
  await using world = await openWorld({ askRouterLoad: () => Promise.resolve(level) });
  const { edge, send, router } = world;
  const key = { 'idempotency-key': 'k-1' };
  const first = await send('POST', '/api/v1/jobs', { task: TASK }, key);
  assert.equal(first.status, 202);
  level = 2;
  await until('backpressure', () => isTold(edge, 'active'));
  const asked = router.asked.length;
  for (const more of [{}, { 'idempotency-key': 'k-2' }]) {
    const fresh = await send('POST', '/api/v1/jobs', { task: TASK }, more);
    assert.deepEqual([fresh.status, codeOf(fresh)], [503, 'service_overloaded']);
    assert.ok(Number(fresh.headers.get('retry-after')) >= 5);
  }
  const putOff = await send('POST', '/v1/chat/completions', CHAT, { prefer: 'respond-async' });
  assert.deepEqual([putOff.status, codeOf(putOff)], [503, 'service_overloaded']);
  assert.equal(router.asked.length, asked);
  const repeat = await send('POST', '/api/v1/jobs', { task: TASK }, key);
  assert.deepEqual([repeat.status, repeat.body['id']], [202, first.body['id']]);
  const path = `/api/v1/jobs/${String(first.body['id'])}`;
  assert.equal((await send('GET', path)).status, 200);
  assert.equal((await send('POST', `${path}/cancel`)).status, 202);
});
