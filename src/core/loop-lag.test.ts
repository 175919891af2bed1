import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from './clock.ts';
import { Timers } from './timers.ts';
import { LoopLag } from './loop-lag.ts';

function open() {
  const clock = new ManualClock();
  const timers = new Timers(clock);
  const lag = new LoopLag(timers);
  const pass = (ms: number): void => {
    clock.advance(ms);
    timers.tick();
  };
  return { lag, pass, timers, [Symbol.dispose]: () => timers[Symbol.dispose]() };
}

test('a loop that turns in time has no lag, and a single hold-up is no percentile', () => {
  using opened = open();
  const { lag, pass } = opened;
  for (let n = 0; n < 300; n++) pass(20);
  pass(2_000);
  assert.equal(lag.p99Ms, 0);
});

test('hold-ups that come again and again are seen, and forgotten after five seconds', () => {
  using opened = open();
  const { lag, pass } = opened;
  for (let n = 0; n < 10; n++) {
    pass(140);
    pass(20);
  }
  assert.ok(lag.p99Ms >= 80 && lag.p99Ms <= 140, String(lag.p99Ms));
  for (let n = 0; n < 250; n++) pass(20);
  assert.equal(lag.p99Ms, 0);
});

test('they are forgotten as soon where the wheel turns more seldom than it is to', () => {
  using opened = open();
  const { lag, pass } = opened;
  for (let n = 0; n < 10; n++) pass(140);
  assert.ok(lag.p99Ms >= 80, String(lag.p99Ms));
  for (let n = 0; n < 125; n++) pass(40);
  assert.equal(lag.p99Ms, 0);
});

test('a disposed one keeps no timer', () => {
  using opened = open();
  const { lag, timers } = opened;
  lag[Symbol.dispose]();
  assert.equal(timers.pending, 0);
});
