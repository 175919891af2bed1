import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from './clock.ts';
import { Timers } from './timers.ts';

const open = () => {
  const clock = new ManualClock();
  const timers = new Timers(clock, { tickMs: 10 });
  const pass = (ms: number): void => {
    clock.advance(ms);
    timers.tick();
  };
  return { timers, pass };
};

test('a timer fires at its moment, not before it, and once', () => {
  const { timers, pass } = open();
  const fired: string[] = [];
  timers.after(25, () => fired.push('a'));
  pass(20);
  assert.deepEqual(fired, []);
  pass(10);
  pass(10);
  assert.deepEqual(fired, ['a']);
  timers[Symbol.dispose]();
});

test('a cancelled timer does not fire, also when another one of the same tick cancels it', () => {
  const { timers, pass } = open();
  const fired: string[] = [];
  const second = timers.after(30, () => fired.push('second'));
  timers.after(30, () => {
    fired.push('first');
    second.cancel();
  });
  pass(40);
  assert.deepEqual(fired, ['first']);
  assert.equal(timers.pending, 0);
});

test('timers far apart, more than one turn of the wheel, keep their order', () => {
  const { timers, pass } = open();
  const fired: number[] = [];
  for (const ms of [20_000, 5, 6_000, 11_000]) timers.after(ms, () => fired.push(ms));
  for (let i = 0; i < 2_100; i++) pass(10);
  assert.deepEqual(fired, [5, 6_000, 11_000, 20_000]);
});

test('a jump of the clock over many turns fires everything that is due', () => {
  const { timers, pass } = open();
  let fired = 0;
  for (let ms = 0; ms < 10_000; ms += 7) timers.after(ms, () => fired++);
  pass(60_000);
  assert.equal(fired, Math.ceil(10_000 / 7));
});

test('what a timer throws is heard, and the others still fire', () => {
  const clock = new ManualClock();
  const faults: unknown[] = [];
  const timers = new Timers(clock, { tickMs: 10, onFault: (fault) => faults.push(fault) });
  let fired = 0;
  timers.after(10, () => {
    throw new RangeError('no');
  });
  timers.after(10, () => fired++);
  clock.advance(20);
  timers.tick();
  assert.equal(fired, 1);
  assert.equal(faults.length, 1);
});

test('sleep ends with the signal', async () => {
  const { timers } = open();
  const stop = new AbortController();
  const asleep = timers.sleep(1_000, stop.signal);
  stop.abort(new Error('stopped'));
  await assert.rejects(asleep, /stopped/);
  assert.equal(timers.pending, 0);
});

test('what is closed keeps no process alive, whoever still asks for a moment', () => {
  const { timers } = open();
  const standing = (): number => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length;
  const before = standing();
  timers.after(10, () => undefined);
  assert.equal(standing(), before + 1);
  timers[Symbol.dispose]();
  timers.after(10, () => undefined);
  assert.equal(standing(), before);
});
