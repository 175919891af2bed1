import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { until } from '../../test/until.ts';
import { openMemoryBus } from '../bus/memory.ts';
import { stickyBucket } from '../contracts/sticky-binding.ts';
import { ManualClock } from '../core/clock.ts';
import { Timers } from '../core/timers.ts';
import { openLog } from '../telemetry/log.ts';
import { Metrics } from '../telemetry/metrics.ts';
import { SharedBindings } from './shared-bindings.ts';
import { StickyBindings } from './sticky-bindings.ts';

const TTL_MS = 1_800_000;
const SESSION = 'acme support 10 session_id =s-1';

async function open() {
  const clock = new ManualClock(1_790_000_000_000);
  const timers = new Timers(clock);
  const log = openLog('silent', { write: () => undefined });
  const bus = openMemoryBus({ timers, telemetry: { log, metrics: new Metrics() } });
  const opened = new AsyncDisposableStack();
  after(async () => {
    await opened.disposeAsync();
    await bus[Symbol.asyncDispose]();
    timers[Symbol.dispose]();
  });
  const join = async (): Promise<StickyBindings> =>
    new StickyBindings(clock, opened.use(await SharedBindings.open({ bus, timers, log })));
  const bucket = await bus.openBucket(stickyBucket);
  const pass = async (ms: number): Promise<void> => {
    for (let left = ms; left > 0; left -= 500) {
      clock.advance(Math.min(500, left));
      timers.tick();
    }
    for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate);
  };
  const revision = async (): Promise<number | undefined> => (await bucket.entries())[0]?.revision;
  return { join, pass, bucket, revision };
}

test('a session that one router bound stays with its provider on the others, also on those that start later', async () => {
  const { join, pass } = await open();
  const [one, two] = [await join(), await join()];
  one.set(SESSION, 'birch', TTL_MS);
  assert.equal(two.get(SESSION), undefined);
  await pass(1_500);
  await until('the second router to hear it', () => two.get(SESSION) === 'birch');
  assert.equal(two.get('zeta support 10 session_id =s-1'), undefined);
  const three = await join();
  await until('the third router to read it', () => three.get(SESSION) === 'birch');
  await pass(TTL_MS);
  assert.deepEqual(
    [one, two, three].map((router) => router.get(SESSION)),
    [undefined, undefined, undefined],
  );
});

test('the newer binding of two routers holds on both', async () => {
  const { join, pass } = await open();
  const [one, two] = [await join(), await join()];
  one.set(SESSION, 'birch', TTL_MS);
  await pass(1_500);
  await until('the second router to hear it', () => two.get(SESSION) === 'birch');
  two.set(SESSION, 'cedar', TTL_MS);
  assert.deepEqual([one.get(SESSION), two.get(SESSION)], ['birch', 'cedar']);
  await pass(1_500);
  await until('the first router to hear it', () => one.get(SESSION) === 'cedar');
  one.set(SESSION, 'cedar', TTL_MS);
  assert.equal(two.get(SESSION), 'cedar');
});

test('a renewal is written once a minute at most, and a change too', async () => {
  const { join, pass, revision } = await open();
  const one = await join();
  one.set(SESSION, 'birch', TTL_MS);
  await pass(1_500);
  const first = await revision();
  for (let n = 0; n < 20; n++) {
    one.set(SESSION, 'birch', TTL_MS);
    // eslint-disable-next-line no-await-in-loop -- time passes between renewals
    await pass(2_000);
  }
  one.set(SESSION, 'cedar', TTL_MS);
  await pass(2_000);
  assert.equal(await revision(), first);
  await pass(20_000);
  assert.equal(await revision(), (first ?? 0) + 1);
  await pass(61_000);
  one.set(SESSION, 'cedar', TTL_MS);
  await pass(1_500);
  assert.equal(await revision(), (first ?? 0) + 2);
});

test('what stands in the bucket names no session, and what cannot be read binds nobody', async () => {
  const { join, pass, bucket } = await open();
  const [one, two] = [await join(), await join()];
  one.set(SESSION, 'birch', TTL_MS);
  await pass(1_500);
  const [entry] = await bucket.entries();
  assert.match(entry?.key ?? '', /^acme\.[0-9a-f]{64}$/);
  assert.ok(!entry?.value.includes('s-1'));
  await until('the second router to hear it', () => two.get(SESSION) === 'birch');
  await bucket.put(entry?.key ?? '', '{"version":"2"}');
  await until('the second router to forget it', () => two.get(SESSION) === undefined);
  assert.equal(one.get(SESSION), 'birch');
});

test('a thousand new sessions are written a few at a time', async () => {
  const { join, pass, bucket } = await open();
  const one = await join();
  for (let n = 0; n < 1_000; n++) one.set(`${SESSION}${n}`, 'birch', TTL_MS);
  await pass(1_500);
  const few = (await bucket.entries()).length;
  assert.ok(few > 0 && few <= 256, String(few));
  await pass(5_000);
  assert.equal((await bucket.entries()).length, 1_000);
});
