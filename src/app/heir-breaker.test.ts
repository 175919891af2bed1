import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../core/clock.ts';
import { HeirBreaker, type Pass } from './heir-breaker.ts';

const PASS = 'pass';

function openBreaker() {
  const clock = new ManualClock();
  const breaker = new HeirBreaker(clock);
  const enter = (): Pass => {
    const pass = breaker.enter();
    assert.ok(typeof pass !== 'number', 'a pass');
    return pass;
  };
  const look = (): number | typeof PASS => {
    const pass = breaker.enter();
    return typeof pass === 'number' ? pass : PASS;
  };
  return { clock, breaker, enter, look, fail: () => enter().heard(false) };
}

test('five failures in a row open it for ten seconds, a success between them does not', () => {
  const { enter, fail, look, clock } = openBreaker();
  for (let i = 0; i < 4; i++) fail();
  enter().heard(true);
  for (let i = 0; i < 4; i++) fail();
  fail();
  assert.equal(look(), 10_000);
  clock.advance(9999);
  assert.equal(look(), 1);
});

test('one probe goes ahead; the wait doubles up to a minute while probes fail, and ends with a good one', () => {
  const { enter, fail, look, clock } = openBreaker();
  for (let i = 0; i < 5; i++) fail();
  clock.advance(10_000);
  for (const spanMs of [20_000, 40_000, 60_000, 60_000]) {
    const probe = enter();
    assert.equal(look(), 0);
    probe.heard(false);
    assert.equal(look(), spanMs);
    clock.advance(spanMs);
  }
  enter().heard(true);
  for (let i = 0; i < 4; i++) fail();
  assert.equal(look(), PASS);
});

test('what was sent before it opened closes it by a success, and changes nothing by a failure', () => {
  const { enter, fail, look, clock } = openBreaker();
  const [bad, good] = [enter(), enter()];
  for (let i = 0; i < 5; i++) fail();
  clock.advance(10_000);
  const probe = enter();
  bad.heard(false);
  assert.equal(look(), 0);
  good.heard(true);
  assert.equal(look(), PASS);
  probe.heard(false);
  assert.equal(look(), PASS);
});
