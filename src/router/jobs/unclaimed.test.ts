import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Bus } from '../../bus/bus.ts';
import { at } from '../../contracts/contract.ts';
import { type WorkerHeartbeat, workerHeartbeat } from '../../contracts/heartbeat.ts';
import { assignmentIdOf } from '../../contracts/job.ts';
import { assignStream, resultStream } from '../../contracts/streams.ts';
import { JOB_ID, openJobs, orderOf } from './jobs-fixture.ts';

const ASSIGNMENT = assignmentIdOf('acme', JOB_ID);
const ORDERS = assignStream('default');

/** What stands on the stream of orders. */
const standing = async (bus: Bus): Promise<readonly unknown[]> =>
  (await bus.read(ORDERS, { fromSeq: 1, limit: 10 })).map(({ seq, headers }) => [seq, headers['Nats-Msg-Id']]);

test('an attempt that its stream has lost is sent again under its id, once nobody can know of it', async () => {
  const { bus, start, ask, pass, state, metrics, stop } = await openJobs(undefined, { hasWorker: false });
  await start();
  await ask(orderOf());
  const [sent] = (await state())?.attempts ?? [];
  assert.deepEqual([sent?.status, sent?.stored_seq], ['published', 1]);
  await bus.remove(ORDERS, 1);
  await pass(39_000);
  assert.deepEqual(await standing(bus), [], 'its end may be on its way');
  // A stream that was not killed knows the id for two minutes.
  await pass(120_000);
  assert.deepEqual(await standing(bus), [[2, `asg:acme:${ASSIGNMENT}:1`]]);
  const again = await state();
  assert.deepEqual(
    again?.attempts.map(({ attempt, status, stored_seq }) => [attempt, status, stored_seq]),
    [[1, 'published', 2]],
  );
  assert.equal(again?.attempts[0]?.due_at_ms, sent?.due_at_ms, 'it has no more time than it had');
  assert.match(metrics.render(), /router_jobs_total\{result="sent_again"\} 1\n/);
  await stop();
});

test('an attempt that waits on its stream is left there', async () => {
  const { bus, start, ask, pass, stop } = await openJobs(undefined, { hasWorker: false });
  await start();
  await ask(orderOf());
  await pass(600_000);
  assert.deepEqual(await standing(bus), [[1, `asg:acme:${ASSIGNMENT}:1`]]);
  await stop();
});

for (const [what, heard, calls] of [
  ['fell silent is sent again', 'w-2', 2],
  ['is there is left to it', 'w-1', 1],
] as const) {
  test(`an attempt that its stream counts as settled, and whose worker ${what}`, async () => {
    const { bus, start, ask, pass, state, script, orders, stop } = await openJobs();
    script.push('vanish');
    await start();
    await ask(orderOf());
    for (let second = 0; second < 180; second++) {
      bus.publish(at(workerHeartbeat), beatOf(heard));
      // eslint-disable-next-line no-await-in-loop -- the clock goes on between
      await pass(1_000);
    }
    assert.deepEqual(
      orders.map(({ attempt }) => attempt),
      [1, 1].slice(0, calls),
    );
    assert.equal((await state())?.status, calls === 2 ? 'succeeded' : 'running');
    await stop();
  });
}

const beatOf = (worker_id: string): WorkerHeartbeat => ({
  version: '1',
  worker_id,
  timestamp: '2026-11-21T10:00:00.000Z',
  status: 'ready',
  resources: { cpu: 0, gpu: 0, mem_bytes: 1, jobs_in_flight: 0 },
});

/** Asked at 30, 60, 120 and 240 seconds; by then its stream has forgotten the id. */
const WAITS: readonly (readonly [string, number, number | undefined])[] = [
  ['no result waits', 255_000, undefined],
  ['a result waits that is younger than the loss', 255_000, 3_000_000],
  ['a result waits that is older than the loss', 305_000, 0],
];

for (const [what, sentMs, resultMs] of WAITS) {
  test(`what is lost is sent again after ${sentMs / 1_000} seconds where ${what}`, async () => {
    const { bus, clock, start, ask, pass, stop } = await openJobs(undefined, { hasWorker: false });
    const oldestAtMs = resultMs === undefined ? undefined : clock.epochMs() + resultMs;
    const progress: Bus['progress'] = async (stream, consumer) =>
      stream.name === resultStream.name ? { lastSeq: 1, settledSeq: 0, oldestAtMs } : bus.progress(stream, consumer);
    const withResult = new Proxy(bus, {
      get(target, name) {
        if (name === 'progress') return progress;
        const value: unknown = Reflect.get(target, name, target);
        return typeof value === 'function' ? (value.bind(target) as unknown) : value;
      },
    });
    const router = await start(withResult);
    await ask(orderOf());
    await pass(125_000);
    await bus.remove(ORDERS, 1);
    await pass(sentMs - 125_000 - 10_000);
    assert.deepEqual(await standing(bus), []);
    await pass(10_000);
    assert.deepEqual(await standing(bus), [[2, `asg:acme:${ASSIGNMENT}:1`]]);
    const stopped = router[Symbol.asyncDispose]();
    await pass(1_000);
    await stopped;
    await stop();
  });
}
