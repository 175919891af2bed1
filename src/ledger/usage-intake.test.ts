import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../core/clock.ts';
import { Timers } from '../core/timers.ts';
import { openLog } from '../telemetry/log.ts';
import { type UsageDelivery, UsageIntake } from './usage-intake.ts';
import type { FoldedUsage } from './usage-row.ts';

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

/** Folds by hand; events are numbers. */
function open() {
  const clock = new ManualClock();
  const timers = new Timers(clock);
  const folds: { readonly size: number; readonly commit: () => void }[] = [];
  let acked = 0;
  let made = 0;
  const intake = new UsageIntake({
    timers,
    log: openLog('silent', { write: () => undefined }),
    batch: 4,
    rowOf: () => {
      made++;
      return {} as FoldedUsage;
    },
    fold: ({ length: size }) => new Promise((resolve) => folds.push({ size, commit: resolve })),
    giveUp: async () => undefined,
    onCommitted: () => undefined,
    onRefused: () => undefined,
  });
  const delivery = () => ({
    ack: () => acked++,
    nak: () => undefined,
    term: () => undefined,
    working: () => undefined,
  });
  return {
    intake,
    folds,
    acked: () => acked,
    made: () => made,
    take: (count: number): void => {
      for (let n = 0; n < count; n++) intake.take(delivery() as unknown as UsageDelivery);
    },
    pass: async (ms: number): Promise<void> => {
      clock.advance(ms);
      timers.tick();
      await turn();
    },
    [Symbol.dispose]: () => timers[Symbol.dispose](),
  };
}

test('events that come while others are folded wait for more, unless they are a batch', async () => {
  using opened = open();
  const { folds, take, pass, acked } = opened;
  take(2);
  await pass(100);
  take(3);
  folds[0]?.commit();
  await turn();
  assert.deepEqual([folds.length, acked()], [1, 2], 'the three wait');
  take(2);
  await turn();
  assert.equal(folds[1]?.size, 4, 'a batch does not');
  folds[1].commit();
  await turn();
  assert.equal(folds.length, 2);
  await pass(100);
  assert.equal(folds[2]?.size, 1);
  folds[2].commit();
  await turn();
  assert.equal(acked(), 7);
});

test('whoever wants all that is held does not wait for more', async () => {
  using opened = open();
  const { intake, folds, take, pass } = opened;
  take(1);
  await pass(100);
  take(2);
  const idle = intake.idle();
  folds[0]?.commit();
  await turn();
  assert.equal(folds[1]?.size, 2);
  folds[1].commit();
  await idle;
  assert.equal(intake.held, 0);
});

test('the rows of the next batch are made while this one is folded, once', async () => {
  using opened = open();
  const { folds, take, made, acked } = opened;
  take(4);
  take(6);
  await turn();
  await turn();
  assert.deepEqual([folds.length, made()], [1, 8]);
  folds[0]?.commit();
  await turn();
  assert.deepEqual([folds[1]?.size, made()], [4, 8]);
  folds[1]?.commit();
  await turn();
  assert.equal(acked(), 8);
});
