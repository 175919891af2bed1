// What bounds the jobs that a router takes and sends: the room in their bucket, the count and the share of a tenant.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { at } from '../../contracts/contract.ts';
import { workerHeartbeat } from '../../contracts/heartbeat.ts';
import { openJobs, orderOf, rest } from './jobs-fixture.ts';

test('a bucket of jobs that is nearly full takes no more, and what it took can end', async () => {
  const { start, ask, control, script, held, pass, stop, state, bucket } = await openJobs(undefined, {
    jobs_bytes_max: 100_000,
  });
  await start();
  const large = (id: string) =>
    ask(
      orderOf({ task: { type: 'ai.chat', model: 'small', payload: { messages: [], pad: 'x'.repeat(8_000) } } }, { id }),
    );
  const accepted: string[] = [];
  let refused: Awaited<ReturnType<typeof large>> | undefined;
  for (let n = 0; refused === undefined && n < 20; n++) {
    script.push('hold');
    // eslint-disable-next-line no-await-in-loop -- one after the other
    const answer = await large(`job_${n}`);
    if (answer.ok) accepted.push(`job_${n}`);
    else refused = answer;
    // eslint-disable-next-line no-await-in-loop -- it looks again
    await pass(1_250);
  }
  const { code, retryable, retry_after_ms, details } = refused?.error ?? {};
  assert.deepEqual([code, retryable, retry_after_ms], ['service_overloaded', true, 30_000]);
  assert.deepEqual(details, { scope: 'storage', reason: 'jobs_full' });
  assert.ok(accepted.length > 3);
  assert.equal((await control('annotate', { tags: ['x'] })).error?.code, 'service_overloaded');
  // Whoever repeats is told of the first.
  assert.equal((await large('job_0')).duplicate, true);
  for (const one of held) {
    // eslint-disable-next-line no-await-in-loop -- one after the other
    await one.finish({ output: 'y'.repeat(1_000) });
  }
  await pass(500);
  const states = await Promise.all(accepted.map((id) => state(id)));
  assert.deepEqual(new Set(states.map((one) => one?.status)), new Set(['succeeded']));
  assert.equal((await bucket.status()).bytesMax, 100_000);
  await stop();
});

const beatOf = (io: number, cpu: number) =>
  ({
    version: '1',
    worker_id: 'w-1',
    timestamp: '2026-11-21T10:00:00.000Z',
    status: 'ready',
    resources: { cpu: 0, gpu: 0, mem_bytes: 1, jobs_in_flight: 0 },
    slots: { io: { active: 0, limit: io, queued: 0 }, cpu: { active: 0, limit: cpu, queued: 0 } },
  }) as const;

test('orders that come at once do not pass the bound of a tenant together', async () => {
  const { start, ask, script, stop } = await openJobs(undefined, { jobs_outstanding: 2 });
  await start();
  for (let n = 0; n < 8; n++) script.push('hold');
  const answers = await Promise.all(Array.from({ length: 8 }, (_, n) => ask(orderOf({}, { id: `job_${n}` }))));
  assert.equal(answers.filter(({ ok }) => ok).length, 2);
  await stop();
});

test('tenants share the windows by weight, and their orders carry it', async () => {
  const { bus, start, ask, script, orders, held, stop } = await openJobs(undefined, { dispatch_window: 0 });
  await start();
  for (let n = 0; n < 100; n++) script.push('hold');
  for (let n = 0; n < 40; n++) {
    // eslint-disable-next-line no-await-in-loop -- both have many that wait
    await ask(orderOf({ tenant: { weight: 2 } }, { id: `heavy_${n}` }));
    // eslint-disable-next-line no-await-in-loop -- as above
    await ask(orderOf({ tenant_id: 'umbra', policy_id: 'default' }, { id: `light_${n}` }));
  }
  const sentOf = (tenant: string): number => orders.filter(({ tenant_id }) => tenant_id === tenant).length;
  assert.deepEqual([sentOf('acme'), sentOf('umbra')], [4, 4], 'nobody knows the fleet');
  bus.publish(at(workerHeartbeat), beatOf(12, 2));
  await held[0]?.finish();
  await rest();
  assert.deepEqual([sentOf('acme'), sentOf('umbra')], [17, 8]);
  const weights = new Set(orders.map(({ tenant_id, tenant_weight = 1 }) => `${tenant_id} ${tenant_weight}`));
  assert.deepEqual(weights, new Set(['acme 2', 'umbra 1']));
  await stop();
});

test('jobs of one class do not fill the window of the other', async () => {
  const { bus, start, ask, script, orders, stop } = await openJobs(undefined, { dispatch_window: 0 });
  await start();
  bus.publish(at(workerHeartbeat), beatOf(12, 3));
  for (let n = 0; n < 60; n++) script.push('hold');
  const transform = { type: 'transform', payload: { expression: '1', data: null } };
  for (let n = 0; n < 30; n++) {
    // eslint-disable-next-line no-await-in-loop -- the flood comes first
    await ask(orderOf({ task: transform }, { id: `cpu_${n}` }));
  }
  const sentOf = (type: string): number => orders.filter(({ job }) => job.type === type).length;
  assert.equal(sentOf('transform'), 6);
  await ask(orderOf({}, { id: 'io_1' }));
  assert.equal(sentOf('ai.chat'), 1);
  await stop();
});
