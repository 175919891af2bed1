import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../core/clock.ts';
import { Timers } from '../core/timers.ts';
import { Patience, type Silence } from './patience.ts';

/** Moves time on to each moment, tells of progress there, and returns what was heard at which tick. */
function heard(
  limits: { firstChunkMs: number; idleMs: number },
  progressAtMs: readonly number[],
  untilMs: number,
): unknown {
  const clock = new ManualClock();
  using timers = new Timers(clock, { tickMs: 10 });
  const silences: [Silence, number][] = [];
  const patience = new Patience(timers, limits, { tooSilent: (silence) => silences.push([silence, clock.nowMs()]) });
  let entriesMax = 0;
  for (let ms = 0; ms < untilMs; ms += 10) {
    if (progressAtMs.includes(ms)) patience.progress();
    entriesMax = Math.max(entriesMax, timers.pending);
    clock.advance(10);
    timers.tick();
  }
  assert.equal(entriesMax, 1);
  return silences;
}

for (const [name, limits, progress, expected] of [
  ['no content', { firstChunkMs: 100, idleMs: 50 }, [], [['first_chunk', 100]]],
  ['a stall after content', { firstChunkMs: 100, idleMs: 50 }, [30], [['idle', 80]]],
  ['an idle limit longer than the first', { firstChunkMs: 100, idleMs: 300 }, [30], [['idle', 330]]],
  ['a stall after steady content', { firstChunkMs: 100, idleMs: 50 }, [30, 60, 90, 120, 150], [['idle', 200]]],
] as const) {
  test(`${name} is heard once, by one entry of the wheel`, () => {
    assert.deepEqual(heard(limits, progress, 1000), expected);
  });
}

test('hears nothing while content comes in time, nor after stop', () => {
  const clock = new ManualClock();
  using timers = new Timers(clock, { tickMs: 10 });
  const patience = new Patience(timers, { firstChunkMs: 100, idleMs: 50 }, { tooSilent: () => assert.fail('heard') });
  for (let ms = 0; ms < 500; ms += 40) {
    patience.progress();
    clock.advance(40);
    timers.tick();
  }
  patience.stop();
  clock.advance(1000);
  timers.tick();
  assert.equal(timers.pending, 0);
});
