import assert from 'node:assert/strict';
import { test } from 'node:test';
import { levelOf, type Load, nextPressure, NO_PRESSURE, type Pressure, retryAfterSeconds } from './pressure.ts';

const THRESHOLDS = {
  queue_overload: 1_000,
  latency_overload_ms: 5_000,
  inflight_overload: 500,
  event_loop_lag_ms: 200,
};
const CALM: Load = {
  pending_messages: 0,
  latency_p95_ms: 0,
  inflight_messages: 0,
  event_loop_lag_ms: 0,
  worker_slots_free: 4,
};
const sampleOf = (load: Partial<Load>, isFull = false) => ({ load: { ...CALM, ...load }, isFull });
const after = (before: Pressure, load: Partial<Load>, isFull = false): Pressure =>
  nextPressure(before, sampleOf(load, isFull), THRESHOLDS);
const levelAt = (load: Partial<Load>, isFull = false) => levelOf(after(NO_PRESSURE, load, isFull));

const LOOKS: readonly (readonly [what: string, load: Partial<Load>, isFull: boolean, level: string])[] = [
  ['nothing', {}, false, 'inactive'],
  ['everything at its threshold', { pending_messages: 1_000, latency_p95_ms: 5_000 }, false, 'inactive'],
  ['one threshold', { pending_messages: 1_001 }, false, 'warning'],
  ['slow decisions', { latency_p95_ms: 5_001 }, false, 'warning'],
  ['a late loop', { event_loop_lag_ms: 201 }, false, 'warning'],
  ['two thresholds', { latency_p95_ms: 5_001, event_loop_lag_ms: 201 }, false, 'active'],
  ['attempts in flight alone', { inflight_messages: 501 }, false, 'active'],
  ['workers whose lines are full but have a place', {}, true, 'inactive'],
  ['workers without a place and without room to wait', { worker_slots_free: 0 }, true, 'active'],
  ['nobody heard of', { worker_slots_free: 0 }, false, 'inactive'],
];
for (const [what, load, isFull, level] of LOOKS) {
  test(`a router with ${what} is ${level}`, () => assert.equal(levelAt(load, isFull), level));
}

test('a level is taken back after three looks in a row below half of its threshold', () => {
  const low = { inflight_messages: 249 };
  let pressure = after(NO_PRESSURE, { inflight_messages: 501 });
  pressure = after(pressure, low);
  pressure = after(pressure, low);
  assert.equal(levelOf(pressure), 'active');
  pressure = after(pressure, { inflight_messages: 250 });
  for (const expected of ['active', 'active', 'inactive']) {
    pressure = after(pressure, low);
    assert.equal(levelOf(pressure), expected);
  }
});

test('each signal is taken back for itself', () => {
  const both = after(NO_PRESSURE, { pending_messages: 1_001, event_loop_lag_ms: 201 });
  const one = [1, 2, 3].reduce((pressure) => after(pressure, { pending_messages: 1_001 }), both);
  assert.deepEqual([levelOf(both), levelOf(one)], ['active', 'warning']);
});

test('the wait that is advised grows with the overload and has a bound', () => {
  const advised = (inflight_messages: number): number => retryAfterSeconds(sampleOf({ inflight_messages }), THRESHOLDS);
  assert.deepEqual([500, 750, 1_000, 100_000].map(advised), [1, 5, 10, 30]);
});
