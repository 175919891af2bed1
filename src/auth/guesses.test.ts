import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Guesses } from './guesses.ts';

test('an address waits for the rest of the minute when it failed too often in it', () => {
  const guesses = new Guesses(2);
  assert.deepEqual(
    [0, 1_000, 2_000, 59_999].map((nowMs) => guesses.failed('192.0.2.1', nowMs)),
    [0, 0, 58_000, 1],
  );
  assert.equal(guesses.failed('192.0.2.2', 2_000), 0);
  assert.equal(guesses.failed('192.0.2.1', 60_000), 0, 'another minute');
});

test('addresses of one /64 count together', () => {
  const guesses = new Guesses(1);
  guesses.failed('2001:db8:0:1::1', 0);
  assert.ok(guesses.failed('2001:db8:0:1:5::2', 0) > 0);
  assert.equal(guesses.failed('2001:db8:0:2::1', 0), 0);
  guesses.failed('::ffff:192.0.2.1', 0);
  assert.equal(guesses.failed('::ffff:192.0.2.2', 0), 0);
});

test('without a limit nobody waits', () => {
  const guesses = new Guesses(0);
  for (let i = 0; i < 100; i++) assert.equal(guesses.failed('192.0.2.1', 0), 0);
});
