import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { atTurnEnd } from './turn.ts';

test('what is put off runs later, once, in the order of the calls', async () => {
  const ran: number[] = [];
  atTurnEnd(() => ran.push(1));
  atTurnEnd(() => ran.push(2));
  assert.deepEqual(ran, []);
  await nextTurn();
  assert.deepEqual(ran, [1, 2]);
  await nextTurn();
  assert.deepEqual(ran, [1, 2]);
});

test('what is put off meanwhile runs in the next turn', async () => {
  const ran: string[] = [];
  atTurnEnd(() => {
    ran.push('first');
    atTurnEnd(() => ran.push('second'));
  });
  await nextTurn();
  await nextTurn();
  assert.deepEqual(ran, ['first', 'second']);
});

test('a fault ends its own work only', async () => {
  const ran: string[] = [];
  const faults: unknown[] = [];
  const hear = (fault: unknown): number => faults.push(fault);
  const others = process.listeners('uncaughtException');
  process.removeAllListeners('uncaughtException');
  process.once('uncaughtException', hear);
  atTurnEnd(() => {
    throw new Error('broken');
  });
  atTurnEnd(() => ran.push('after'));
  await nextTurn();
  await nextTurn();
  for (const other of others) process.on('uncaughtException', other);
  assert.deepEqual(ran, ['after']);
  assert.equal(faults.length, 1);
});
