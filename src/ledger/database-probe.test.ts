import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../core/clock.ts';
import { BeamlineError } from '../core/errors.ts';
import { Timers } from '../core/timers.ts';
import { openLog } from '../telemetry/log.ts';
import type { SqlStore } from '../store/sql.ts';
import { DatabaseProbe } from './database-probe.ts';

/** A store that the test answers by hand. */
function open() {
  const clock = new ManualClock();
  const timers = new Timers(clock);
  const writes: PromiseWithResolvers<number>[] = [];
  const store = {
    run: () => {
      const write = Promise.withResolvers<number>();
      writes.push(write);
      return write.promise;
    },
  } as unknown as SqlStore;
  const lines: string[] = [];
  const log = openLog('info', { write: (line) => void lines.push(line) });
  const probe = new DatabaseProbe({ store, timers, log, isThere: () => true });
  const pass = async (ms: number): Promise<void> => {
    for (let passed = 0; passed < ms; passed += 250) {
      clock.advance(250);
      timers.tick();
      // oxlint-disable-next-line no-await-in-loop -- one step after the other
      await new Promise(setImmediate);
    }
  };
  /** Lets time pass until one more write was begun. */
  const nextWrite = async (): Promise<PromiseWithResolvers<number>> => {
    const before = writes.length;
    // oxlint-disable-next-line no-await-in-loop -- as above
    for (let steps = 0; writes.length === before && steps < 100; steps++) await pass(250);
    const write = writes[before];
    assert.ok(write, 'no write was tried');
    return write;
  };
  const stop = async (): Promise<void> => {
    await probe[Symbol.asyncDispose]();
    timers[Symbol.dispose]();
  };
  return { probe, writes, lines, pass, nextWrite, stop };
}

test('what is folded is proof enough; without it a write is tried', async () => {
  const { probe, writes, pass, nextWrite, stop } = open();
  for (let second = 0; second < 20; second++) {
    probe.proved();
    // oxlint-disable-next-line no-await-in-loop -- one second after the other
    await pass(1_000);
  }
  assert.equal(writes.length, 0);
  const write = await nextWrite();
  write.resolve(1);
  await pass(2_000);
  assert.equal(probe.fault, undefined);
  assert.equal(writes.length, 1, 'a proof holds for some seconds');
  await stop();
});

test('a write that takes longer than a second is told while it waits, and until one is in time', async () => {
  const { probe, writes, pass, nextWrite, stop } = open();
  const late = await nextWrite();
  await pass(750);
  assert.equal(probe.fault, undefined);
  await pass(500);
  assert.equal(probe.fault, 'does not write within a second');
  await pass(10_000);
  assert.equal(writes.length, 1, 'one at a time');
  late.resolve(1);
  const next = await nextWrite();
  assert.equal(probe.fault, 'does not write within a second');
  next.resolve(1);
  await pass(250);
  assert.equal(probe.fault, undefined);
  await stop();
});

test('a write that is refused is told, once in the log, and without the words of the database', async () => {
  const { probe, lines, nextWrite, stop } = open();
  for (let n = 0; n < 3; n++) {
    // oxlint-disable-next-line no-await-in-loop -- one write after the other
    const write = await nextWrite();
    write.reject(new BeamlineError('unavailable', 'no route to db.internal'));
  }
  const last = await nextWrite();
  assert.equal(probe.fault, 'takes no writes');
  assert.equal(lines.length, 1);
  last.resolve(1);
  await stop();
});
