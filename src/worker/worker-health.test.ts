import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Check } from '../core/health.ts';
import { ManualClock } from '../core/clock.ts';
import { Timers } from '../core/timers.ts';
import { Slots } from './slots.ts';
import { openWorker } from './worker-fixture.ts';
import { type WorkerHealth, workerChecks } from './worker-health.ts';

const slots = new Slots(
  { limit: 4, queueMax: 8, tenantMax: 6, jobsMax: 3, jobsMin: 1, tenantShareMax: 2 },
  new Timers(new ManualClock()),
);
const WELL: WorkerHealth = {
  settings: { id: 'w-1', pool: 'default' },
  bus: { state: 'connected' },
  fetch: { isBound: true, holds: [] },
  outbox: { isFull: false, isBroken: false, size: 0 },
  load: { level: 'healthy', silentMs: 20 },
  slots: { io: slots, cpu: slots },
  providers: ['hand'],
  clockSkewMs: () => 0,
};

const FAULTS: readonly (readonly [more: Partial<WorkerHealth>, name: string, check: Check])[] = [
  [{ bus: { state: 'reconnecting' } }, 'bus', { status: 'fail', message: 'reconnecting' }],
  [{ fetch: { isBound: false, holds: [] } }, 'consumer', { status: 'fail', message: 'not bound' }],
  [{ fetch: { isBound: false, holds: ['starting'] } }, 'consumer', { status: 'fail', message: 'held: starting' }],
  [{ fetch: { isBound: false, holds: ['overload'] } }, 'consumer', { status: 'warn', message: 'held: overload' }],
  [{ outbox: { isFull: true, isBroken: false, size: 9 } }, 'outbox', { status: 'fail', message: 'full' }],
  [{ outbox: { isFull: true, isBroken: true, size: 9 } }, 'outbox', { status: 'fail', message: 'cannot be written' }],
  [{ load: { level: 'critical', silentMs: 20 } }, 'load', { status: 'warn', message: 'critical' }],
  [{ load: { level: 'healthy', silentMs: 5_000 } }, 'loop', { status: 'fail', message: 'stalled' }],
  [{ clockSkewMs: () => 2_001 }, 'clock', { status: 'fail', message: 'too far from the clock of the broker' }],
];

test('a worker that is well says so, with or without an outbox', () => {
  const { outbox: _, ...rest } = WELL;
  for (const health of [WELL, { ...rest, outbox: undefined }]) {
    assert.deepEqual(new Set(Object.values(workerChecks(health)).map(({ status }) => status)), new Set(['ok']));
  }
});

for (const [more, name, check] of FAULTS) {
  test(`${name} of a worker may be ${check.message}, and nothing else suffers`, () => {
    const { [name]: told, ...others } = workerChecks({ ...WELL, ...more });
    assert.deepEqual(told, check);
    assert.ok(Object.values(others).every(({ status }) => status === 'ok'));
  });
}

test('a worker whose loop stands still says so until it turns again', async () => {
  const world = await openWorker();
  const loop = (): Check | undefined => world.worker.checks?.()['loop'];
  world.pass(1_000);
  assert.deepEqual(loop(), { status: 'ok' });
  (world.timers.clock as ManualClock).advance(6_000);
  assert.deepEqual(loop(), { status: 'fail', message: 'stalled' });
  world.timers.tick();
  assert.deepEqual(loop(), { status: 'ok' });
  await world.stop();
});
