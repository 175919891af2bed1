import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { ManualClock } from '../core/clock.ts';
import { Timers } from '../core/timers.ts';
import { usageEvent } from './ledger-fixture.ts';
import { UsageBacklog } from './usage-backlog.ts';
import type { UsageDelivery } from './usage-intake.ts';

function open(bytesMax = 10_000_000) {
  const clock = new ManualClock();
  const timers = new Timers(clock);
  const folded: string[] = [];
  const told = { acked: 0, naked: 0 };
  const state = { busy: 1 };
  const backlog = new UsageBacklog({
    timers,
    bytesMax,
    busy: () => state.busy,
    intake: { take: ({ message }) => void folded.push(message.assignment_id), idle: () => Promise.resolve() },
  });
  const take = (n: number, more: Partial<Parameters<typeof usageEvent>[0]> = {}): void => {
    const message = usageEvent({ assignment_id: `a-${n}`, ...more });
    const delivery: UsageDelivery = {
      message,
      seq: n,
      count: 1,
      ack: () => void told.acked++,
      nak: () => void told.naked++,
      term: () => undefined,
      working: () => undefined,
    };
    backlog.take(delivery);
  };
  const pass = async (): Promise<void> => {
    clock.advance(60);
    timers.tick();
    for (let n = 0; n < 20; n++) {
      // oxlint-disable-next-line no-await-in-loop -- lets the slices run
      await nextTurn();
    }
  };
  return { backlog, folded, told, state, take, pass, [Symbol.dispose]: () => timers[Symbol.dispose]() };
}

const ids = (count: number): string[] => Array.from({ length: count }, (_, n) => `a-${n}`);

test('a busy process takes and acknowledges, and folds when it rests, in order', async () => {
  using opened = open();
  const { folded, told, state, take, pass } = opened;
  for (let n = 0; n < 100; n++) take(n);
  await pass();
  assert.deepEqual([folded.length, told.acked], [0, 100]);
  state.busy = 0.1;
  await pass();
  assert.deepEqual(folded, ids(100));
});

test('a rest folds a few slices only; whoever reads has everything first', async () => {
  using opened = open();
  const { backlog, folded, state, take, pass } = opened;
  for (let n = 0; n < 1_000; n++) take(n);
  state.busy = 0;
  await pass();
  assert.ok(folded.length > 0 && folded.length < 1_000, String(folded.length));
  await backlog.drain();
  assert.deepEqual(folded, ids(1_000));
  assert.equal(backlog.bytes, 0);
});

test('above its bound it folds although the process is busy; far above it deliveries come again; none is dropped', async () => {
  using opened = open(300_000);
  const { backlog, folded, told, take } = opened;
  const large = { metadata: 'x', run_id: 'r'.repeat(128) };
  for (let n = 0; n < 5_000; n++) take(n, large);
  assert.ok(told.naked > 0 && told.acked + told.naked === 5_000);
  await nextTurn();
  await nextTurn();
  assert.ok(folded.length > 0);
  await backlog.drain();
  assert.equal(folded.length, told.acked);
});

test('an event larger than a chunk passes, and what was written meanwhile comes after it', async () => {
  using opened = open();
  const { backlog, folded, take } = opened;
  take(0, { model: 'é'.repeat(200_000) });
  take(1);
  await backlog[Symbol.asyncDispose]();
  assert.deepEqual(folded, ['a-0', 'a-1']);
});
