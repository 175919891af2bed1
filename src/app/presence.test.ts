import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Bus, BusState, KeyValue } from '../bus/bus.ts';
import { openMemoryBus } from '../bus/memory.ts';
import { presenceBucket } from '../contracts/presence.ts';
import { ManualClock } from '../core/clock.ts';
import { BeamlineError } from '../core/errors.ts';
import { Timers } from '../core/timers.ts';
import { readConfig } from '../config/read.ts';
import { openLog } from '../telemetry/log.ts';
import { Metrics } from '../telemetry/metrics.ts';
import { openPresence } from './presence.ts';

function open() {
  const lines: string[] = [];
  const timers = new Timers(new ManualClock(1_790_000_000_000));
  const telemetry = {
    log: openLog('info', { write: (line: string) => void lines.push(line) }),
    metrics: new Metrics(),
  };
  const { config } = readConfig({ env: {} });
  return { bus: openMemoryBus({ timers, telemetry }), ground: { config, timers, telemetry }, lines };
}

const router = (version: string) => ({ module: 'router', id: `router-${version}`, version });
const worker = (version: string) => ({ module: 'worker', id: `worker-${version}`, version });

test('a process is seen while it runs, and not after it', async () => {
  const { bus, ground } = open();
  const bucket = await bus.openBucket(presenceBucket);
  const present = await openPresence(ground, bus, router('1.2.0'));
  assert.deepEqual(
    (await bucket.entries()).map(({ value }) => JSON.parse(value).product_version),
    ['1.2.0'],
  );
  await present[Symbol.asyncDispose]();
  assert.deepEqual(await bucket.entries(), []);
});

test('versions one minor apart serve together; a newcomer that does not fit says so and does not serve', async () => {
  const { bus, ground } = open();
  await using _old = await openPresence(ground, bus, router('1.2.0'));
  await using _next = await openPresence(ground, bus, worker('1.3.4'));
  await assert.rejects(openPresence(ground, bus, worker('2.0.0')), {
    code: 'unavailable',
    message: /worker 2\.0\.0 cannot serve with router router-1\.2\.0 1\.2\.0, worker worker-1\.3\.4 1\.3\.4/,
    details: { reason: 'incompatible_peer' },
  });
  await assert.rejects(openPresence(ground, bus, worker('1.4.0')), /cannot serve with router router-1\.2\.0 1\.2\.0$/);
});

test('what stands in the bucket and is no presence is passed over', async () => {
  const { bus, ground } = open();
  const bucket = await bus.openBucket(presenceBucket);
  await bucket.put('router.stranger', JSON.stringify({ product_version: '9.0.0' }));
  await bucket.put('router.garbage', '{');
  await using _own = await openPresence(ground, bus, router('1.2.0'));
  assert.equal((await bucket.entries()).length, 3);
});

test('a broker that confirms no write shows within five seconds, and so does one that does again', async () => {
  const { bus, ground } = open();
  const { timers } = ground;
  const clock = timers.clock as ManualClock;
  const real = await bus.openBucket(presenceBucket);
  let isStuck = false;
  const never = new Promise<number>(() => undefined);
  const put: KeyValue['put'] = real.put.bind(real);
  real.put = (key, value) => (isStuck ? never : put(key, value));
  const present = await openPresence(ground, bus, router('1.2.0'));
  const pass = async (seconds: number): Promise<void> => {
    for (let ms = 0; ms < seconds * 1_000; ms += 500) {
      clock.advance(500);
      timers.tick();
      // oxlint-disable-next-line no-await-in-loop -- one step after the other
      await new Promise(setImmediate);
    }
  };
  await pass(60);
  assert.equal(present.check().status, 'ok');
  isStuck = true;
  await pass(2);
  assert.equal(present.check().status, 'ok');
  await pass(3);
  assert.deepEqual(present.check(), { status: 'fail', message: 'the broker does not confirm writes' });
  isStuck = false;
  await pass(3);
  assert.equal(present.check().status, 'ok');
  await present[Symbol.asyncDispose]();
});

test('a broker that is back is written to at once, and again four times a second while it is not ready', async () => {
  const { bus, ground } = open();
  const { timers } = ground;
  const clock = timers.clock as ManualClock;
  const real = await bus.openBucket(presenceBucket);
  const put: KeyValue['put'] = real.put.bind(real);
  let tries = 0;
  let isReady = false;
  real.put = (key, value) => {
    tries++;
    return isReady ? put(key, value) : Promise.reject(new BeamlineError('unavailable', 'no store'));
  };
  let state: BusState = 'reconnecting';
  let changed: (state: BusState) => void = () => undefined;
  const away = new Proxy(bus, {
    get(target, name: keyof Bus) {
      if (name === 'state') return state;
      if (name === 'onState')
        return (heard: typeof changed) => ((changed = heard), { [Symbol.dispose]: () => undefined });
      const value: unknown = target[name];
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
  const pass = async (ms: number): Promise<void> => {
    clock.advance(ms);
    timers.tick();
    await new Promise(setImmediate);
  };
  const present = await openPresence(ground, away, router('1.2.0'));
  await pass(1_900);
  assert.deepEqual([tries, present.check().status], [1, 'fail']);
  changed((state = 'connected'));
  await pass(0);
  assert.equal(tries, 2, 'with the connection');
  await pass(300);
  await pass(300);
  assert.equal(tries, 4, 'the store is not there yet');
  isReady = true;
  await pass(300);
  assert.deepEqual([tries, present.check().status], [5, 'ok']);
  await pass(300);
  assert.equal(tries, 5, 'then as ever');
  await present[Symbol.asyncDispose]();
});

test('the clock is as far from that of the broker as its time of a beat lies outside the beat', async () => {
  const { bus, ground } = open();
  const real = await bus.openBucket(presenceBucket);
  const written = real.writtenMs.bind(real);
  let skewMs = 0;
  real.writtenMs = async (key) => ((await written(key)) ?? 0) + skewMs;
  const clock = ground.timers.clock as ManualClock;
  await using present = await openPresence(ground, bus, router('1.2.0'));
  const seen = [];
  for (skewMs of [0, 3_000, -3_000, 0]) {
    clock.advance(2_500);
    ground.timers.tick();
    // oxlint-disable-next-line no-await-in-loop -- one beat after the other
    await new Promise(setImmediate);
    seen.push(present.clockSkewMs());
  }
  assert.deepEqual(seen, [0, 3_000, 3_000, 0]);
});
