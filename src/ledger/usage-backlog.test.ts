import assert from 'node:assert/strict';
import { test } from 'node:test';
import { usageEvent } from './ledger-fixture.ts';
import { UsageBacklog } from './usage-backlog.ts';
import type { UsageDelivery } from './usage-intake.ts';

function open(bytesMax = 10_000_000) {
  const folded: string[] = [];
  const told = { acked: 0, forgotten: 0 };
  const backlog = new UsageBacklog({
    bytesMax,
    forgotten: { add: (count = 1) => void (told.forgotten += count) },
    intake: { take: ({ message }) => void folded.push(message.assignment_id), idle: () => Promise.resolve() },
  });
  const take = (n: number, more: Partial<Parameters<typeof usageEvent>[0]> = {}): void => {
    const message = usageEvent({ assignment_id: `a-${n}`, ...more });
    const silent = { nak: () => undefined, term: () => undefined, working: () => undefined };
    const facts = { message, seq: n, count: 1, storedAtMs: 0 };
    const delivery: UsageDelivery = { ...facts, ack: () => void told.acked++, ...silent };
    backlog.take(delivery);
  };
  return { backlog, folded, told, take };
}

const ids = (from: number, until: number): string[] => Array.from({ length: until - from }, (_, n) => `a-${from + n}`);

test('events are acknowledged at once and folded in order when somebody reads, each once', async () => {
  const { backlog, folded, told, take } = open();
  for (let n = 0; n < 1_000; n++) take(n);
  assert.deepEqual([folded.length, told.acked], [0, 1_000]);
  await Promise.all([backlog.drain(), backlog.drain()]);
  assert.deepEqual(folded, ids(0, 1_000));
  for (let n = 1_000; n < 1_010; n++) take(n);
  await backlog.drain();
  assert.deepEqual(folded, ids(0, 1_010));
  assert.equal(backlog.bytes, 0);
});

test('above its bound the oldest are pushed out and counted, never the newest', async () => {
  const { backlog, folded, told, take } = open(600_000);
  for (let n = 0; n < 5_000; n++) take(n, { run_id: 'r'.repeat(128) });
  assert.ok(backlog.bytes <= 900_000 && told.forgotten > 0, `${backlog.bytes} bytes`);
  await backlog.drain();
  assert.deepEqual(folded, ids(told.forgotten, 5_000));
});

test('an event larger than a chunk passes, and what came after it follows', async () => {
  const { backlog, folded, take } = open();
  take(0, { model: 'é'.repeat(200_000) });
  take(1);
  await backlog.drain();
  assert.deepEqual(folded, ['a-0', 'a-1']);
});
