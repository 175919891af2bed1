import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Bus } from '../bus/bus.ts';
import { openMemoryBus } from '../bus/memory.ts';
import { backpressureV2, type RouterLoad } from '../contracts/backpressure.ts';
import { at } from '../contracts/contract.ts';
import { ManualClock } from '../core/clock.ts';
import { Timers } from '../core/timers.ts';
import { openLog } from '../telemetry/log.ts';
import { Metrics } from '../telemetry/metrics.ts';
import { serveBackpressure } from './backpressure.ts';
import { CORRELATION, openRouter, settled } from './router-fixture.ts';

const ask = (bus: Bus, subject?: string) =>
  bus.request(
    at(backpressureV2),
    { version: '2', request_id: 'rq-1', ...(subject === undefined ? {} : { subject }) },
    { timeoutMs: 250, correlation: CORRELATION },
  );

/** Routers on one bus, each with as many attempts in flight as it is told; a clock moved by hand. */
function open(...inFlight: readonly number[]) {
  const clock = new ManualClock(1_790_000_000_000);
  const timers = new Timers(clock);
  const lines: string[] = [];
  const telemetry = { log: openLog('info', { write: (line) => void lines.push(line) }), metrics: new Metrics() };
  const bus = openMemoryBus({ timers, telemetry });
  const loads = inFlight.map((size) => ({ size }));
  const room = { slotsFree: 4, isFull: false };
  const decides = { pending: 0, takeP95Ms: () => 0 };
  const routers = loads.map((load, n) =>
    serveBackpressure({
      bus,
      timers,
      telemetry,
      settings: { id: `r-${n + 1}`, in_flight_max: 1_000 },
      fleet: { room: () => room },
      inFlight: load,
      decides,
    }),
  );
  const pass = async (ms: number): Promise<void> => {
    for (let left = ms; left > 0; left -= 20) {
      clock.advance(20);
      timers.tick();
    }
    await settled();
  };
  const asked = async (waitMs: number, subject?: string): Promise<RouterLoad | string | undefined> => {
    let reply: RouterLoad | string | undefined;
    ask(bus, subject).then(
      ({ data }) => (reply = data),
      (fault: { readonly code: string }) => (reply = fault.code),
    );
    await settled();
    if (waitMs > 0) await pass(waitMs);
    return reply;
  };
  const close = async (): Promise<void> => {
    await Promise.all(routers.map((router) => router[Symbol.asyncDispose]()));
    await bus[Symbol.asyncDispose]();
    timers[Symbol.dispose]();
  };
  return { asked, pass, close, loads, room, decides, lines, timers, metrics: telemetry.metrics };
}

test('a calm router says at once what it has, and what would be too much of it', async () => {
  const it = open(900);
  it.decides.pending = 7;
  await it.pass(1_000);
  assert.deepEqual(await it.asked(0), {
    subject: 'beamline.router.v2.decide',
    router_id: 'r-1',
    status: 'inactive',
    metrics: {
      pending_messages: 7,
      latency_p95_ms: 0,
      inflight_messages: 900,
      event_loop_lag_ms: 0,
      worker_slots_free: 4,
    },
    thresholds: { queue_overload: 1_000, latency_overload_ms: 5_000, inflight_overload: 900, event_loop_lag_ms: 200 },
    policy: { retry_after_seconds: 0, max_retry_attempts: 3 },
    timestamp: 1_790_000_001_000,
  });
  await it.close();
});

test('a router with too many attempts in flight is active, says so late, and shows it', async () => {
  const it = open(901);
  await it.pass(1_000);
  assert.equal(await it.asked(140), undefined);
  await it.pass(120);
  const told = await it.asked(180);
  assert.ok(typeof told === 'object');
  assert.deepEqual([told.status, told.policy.retry_after_seconds], ['active', 1]);
  assert.match(it.metrics.render(), /^router_backpressure_state 2$/m);
  it.loads.forEach((load) => (load.size = 0));
  await it.pass(3_000);
  assert.match(it.metrics.render(), /^router_backpressure_state 0$/m);
  const states = it.lines.map((line) => (JSON.parse(line) as { readonly state?: string }).state);
  assert.deepEqual(states, ['active', 'inactive']);
  await it.close();
});

test('the first reply is that of the calmest router, and active only if all are', async () => {
  const it = open(901, 0, 901);
  await it.pass(1_000);
  const calm = await it.asked(0);
  assert.ok(typeof calm === 'object');
  assert.deepEqual([calm.router_id, calm.status], ['r-2', 'inactive']);
  await it.pass(200);
  it.loads.forEach((load) => (load.size = 901));
  await it.pass(1_000);
  const all = await it.asked(180);
  assert.ok(typeof all === 'object');
  assert.equal(all.status, 'active');
  await it.close();
});

test('a router with one threshold passed answers between the calm and the active ones', async () => {
  const it = open(0);
  it.decides.pending = 1_001;
  await it.pass(1_000);
  assert.equal(await it.asked(60), undefined);
  await it.pass(60);
  const told = await it.asked(100);
  assert.ok(typeof told === 'object');
  assert.equal(told.status, 'warning');
  await it.close();
});

test('workers that have no place and full lines make a router active', async () => {
  const it = open(0);
  Object.assign(it.room, { slotsFree: 0, isFull: true });
  await it.pass(1_000);
  const told = await it.asked(180);
  assert.ok(typeof told === 'object');
  assert.equal(told.status, 'active');
  await it.close();
});

test('of a subject that is not decided on, nothing is known', async () => {
  const it = open(0);
  const told = await it.asked(0, 'caf.exec.result.v1');
  assert.ok(typeof told === 'object');
  assert.deepEqual([told.subject, told.status], ['caf.exec.result.v1', 'unknown']);
  await it.close();
});

test('a router that has left says nothing and keeps no timer', async () => {
  const it = open(0);
  await it.close();
  assert.equal(it.timers.pending, 0);
});

test('a running router tells its attempts in flight and the places of its workers', async () => {
  const it = await openRouter(undefined, { inFlightMax: 2 });
  it.beat('w-1', { slots: { io: { active: 1, limit: 8, queued: 0 }, cpu: { active: 0, limit: 2, queued: 0 } } });
  await it.decide();
  await it.pass(1_000);
  const calm = await ask(it.bus);
  assert.deepEqual([calm.data?.status, calm.data?.metrics.worker_slots_free], ['inactive', 7]);
  await it.decide();
  await it.pass(1_000);
  const asking = ask(it.bus);
  await settled();
  await it.pass(200);
  const busy = (await asking).data;
  assert.deepEqual([busy?.status, busy?.metrics.inflight_messages], ['active', 2]);
  await it.stop();
});
