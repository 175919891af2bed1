import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { WorkerHeartbeat } from '../contracts/heartbeat.ts';
import { ManualClock } from '../core/clock.ts';
import { Timers } from '../core/timers.ts';
import { Fleet } from './fleet.ts';

function open() {
  const clock = new ManualClock();
  const timers = new Timers(clock);
  const lost: string[] = [];
  const fleet = new Fleet(timers, 3_000, (workerId) => lost.push(workerId));
  const beat = (worker_id: string, more: Partial<WorkerHeartbeat> = {}): void =>
    fleet.heard({
      version: '1',
      worker_id,
      timestamp: '2026-11-21T10:00:00.000Z',
      status: 'ready',
      resources: { cpu: 0, gpu: 0, mem_bytes: 1, jobs_in_flight: 0 },
      ...more,
    });
  const pass = (ms: number): void => {
    for (let left = ms; left > 0; left -= 100) {
      clock.advance(Math.min(100, left));
      timers.tick();
    }
  };
  const takes = (pool: string): boolean => fleet.hasCapacity(pool, clock.nowMs());
  return { fleet, lost, beat, pass, takes, [Symbol.dispose]: () => timers[Symbol.dispose]() };
}

test('a router that has heard no worker takes every pool for able', () => {
  using opened = open();
  assert.deepEqual(
    [opened.takes('default'), opened.fleet.factor('default'), opened.fleet.slots('default', 'io')],
    [true, 1, 0],
  );
});

test('a pool has capacity while one live worker takes work', () => {
  using opened = open();
  const { beat, takes } = opened;
  beat('w-1', { overload_status: 'critical' });
  assert.equal(takes('default'), false);
  beat('w-2', { overload_status: 'overloaded' });
  assert.equal(takes('default'), true);
  beat('w-2', { status: 'draining' });
  assert.equal(takes('default'), false);
  beat('w-1');
  assert.equal(takes('default'), true);
  beat('w-1', { status: 'stopped' });
  assert.deepEqual([takes('default'), opened.fleet.size], [false, 1]);
});

test('a pool is judged by the best of its workers', () => {
  using opened = open();
  const { fleet, beat } = opened;
  beat('w-1', { overload_status: 'overloaded' });
  assert.equal(fleet.factor('default'), 0.3);
  beat('w-2', { overload_status: 'degraded' });
  assert.equal(fleet.factor('default'), 0.7);
  beat('w-2', { overload_status: 'healthy' });
  assert.equal(fleet.factor('default'), 1);
  beat('w-2', { pool: 'lab', overload_status: 'degraded' });
  assert.deepEqual([fleet.factor('default'), fleet.factor('lab')], [0.3, 0.7]);
});

test('the slots of a pool are those of its live workers', () => {
  using opened = open();
  const { fleet, beat, pass } = opened;
  const slots = { io: { active: 0, limit: 8, queued: 0 } };
  beat('w-1', { slots });
  beat('w-2', { slots });
  beat('w-2', { slots });
  assert.equal(fleet.slots('default', 'io'), 16);
  pass(2_000);
  beat('w-1', { slots });
  pass(2_000);
  assert.deepEqual([fleet.slots('default', 'io'), opened.lost], [8, ['w-2']]);
});

test('a pool that nobody spoke of is missed once every worker must have spoken', () => {
  using opened = open();
  const { beat, pass, takes } = opened;
  beat('w-1');
  assert.equal(takes('lab'), true);
  pass(2_000);
  beat('w-1');
  pass(1_000);
  assert.deepEqual([takes('default'), takes('lab')], [true, false]);
});

test('a worker that falls silent leaves its pool; when all are silent nothing is known', () => {
  using opened = open();
  const { beat, pass, takes, lost } = opened;
  beat('w-1');
  beat('w-2', { pool: 'lab' });
  pass(2_000);
  beat('w-2', { pool: 'lab' });
  pass(2_000);
  assert.deepEqual([lost, takes('default'), takes('lab')], [['w-1'], false, true]);
  pass(3_000);
  assert.deepEqual([lost, takes('default'), takes('lab')], [['w-1', 'w-2'], true, true]);
});

test('the room of the fleet is what its live workers have left, and full when none has room to wait', () => {
  using opened = open();
  const { beat, fleet, pass } = opened;
  const io = (active: number) => ({ slots: { io: { active, limit: 4, queued: 0 } } });
  assert.deepEqual(fleet.room(), { slotsFree: 0, isFull: false });
  beat('w-1', { ...io(4), overload_status: 'critical' });
  beat('w-2', { ...io(1), pool: 'other' });
  assert.deepEqual(fleet.room(), { slotsFree: 3, isFull: false });
  beat('w-2', { ...io(4), pool: 'other', overload_status: 'critical' });
  assert.deepEqual(fleet.room(), { slotsFree: 0, isFull: true });
  pass(4_000);
  assert.deepEqual(fleet.room(), { slotsFree: 0, isFull: false });
});

test('a worker is silent once all must have spoken and it was not heard', () => {
  using opened = open();
  const { fleet, beat, pass } = opened;
  const silent = (workerId: string, nowMs: number): boolean => fleet.isSilent(workerId, nowMs);
  assert.equal(silent('w-2', 0), false, 'this router has heard nobody');
  beat('w-1');
  assert.equal(silent('w-2', 2_900), false, 'it may not have spoken yet');
  for (let n = 0; n < 4; n++) {
    pass(1_000);
    beat('w-1');
  }
  assert.deepEqual([silent('w-1', 4_000), silent('w-2', 4_000)], [false, true]);
});
