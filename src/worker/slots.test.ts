import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ManualClock } from '../core/clock.ts';
import { Timers } from '../core/timers.ts';
import { type SlotLimits, slotLimits, Slots, type SlotWaiter } from './slots.ts';

const LIMITS: SlotLimits = { limit: 4, queueMax: 8, tenantMax: 6, jobsMax: 3, jobsMin: 1, tenantShareMax: 2 };

function open(more: Partial<SlotLimits> = {}) {
  const clock = new ManualClock();
  const timers = new Timers(clock);
  const slots = new Slots({ ...LIMITS, ...more }, timers);
  const log: string[] = [];
  const waiter = (name: string, more: Partial<SlotWaiter> = {}): SlotWaiter => ({
    tenantId: name.slice(0, 1),
    weight: undefined,
    priority: undefined,
    isJob: false,
    run: () => void log.push(name),
    refuse: () => void log.push(`${name} refused`),
    ...more,
  });
  const enter = (name: string, more: Partial<SlotWaiter> = {}, waitMs?: number): SlotWaiter => {
    const entering = waiter(name, more);
    assert.equal(slots.enter(entering, waitMs), true);
    return entering;
  };
  const pass = (ms: number): void => {
    clock.advance(ms);
    timers.tick();
  };
  return { slots, log, enter, waiter, pass };
}

test('one tenant may use all places; with a second one each keeps to its share', () => {
  const { slots, log, enter } = open();
  const first = ['a1', 'a2', 'a3', 'a4'].map((name) => enter(name));
  assert.equal(slots.active, 4);
  for (const name of ['a5', 'b1', 'b2']) enter(name);
  for (const waiter of first.slice(0, 2)) slots.release(waiter);
  assert.deepEqual(log.slice(4), ['b1', 'b2'], 'a holds its share already');
  for (const waiter of first.slice(2)) slots.release(waiter);
  assert.deepEqual(log.slice(6), ['a5']);
});

test('what a tenant may not have is had as soon as the other one is done', () => {
  const { slots, log, enter } = open();
  const other = enter('b1');
  for (const name of ['a1', 'a2', 'a3', 'a4']) enter(name);
  assert.deepEqual(log, ['b1', 'a1', 'a2'], 'one place is free, and a has its share');
  slots.release(other);
  assert.deepEqual(log, ['b1', 'a1', 'a2', 'a3', 'a4']);
});

test('jobs take at most their share, and while they wait a place is kept for them', () => {
  const { slots, log, enter } = open({ tenantShareMax: 4 });
  const job = { isJob: true };
  const jobs = ['a-j1', 'a-j2', 'a-j3', 'a-j4'].map((name) => enter(name, job));
  assert.deepEqual(log, ['a-j1', 'a-j2', 'a-j3']);
  const call = enter('a-c1');
  for (const name of ['a-c2', 'a-c3', 'a-c4', 'a-c5']) enter(name);
  const release = (waiter: SlotWaiter | undefined): void => slots.release(waiter ?? call);
  release(jobs[0]);
  release(jobs[1]);
  assert.deepEqual(log.slice(3), ['a-c1', 'a-c2', 'a-c3'], 'calls first, while a job runs');
  release(jobs[2]);
  assert.equal(log.at(-1), 'a-j4', 'the last place of jobs is kept for the one that waits');
});

test('a line is bounded, as a whole and for each tenant; a job always finds its place', () => {
  const { slots, enter, waiter } = open({ limit: 1, tenantShareMax: 1 });
  for (let n = 0; n < 7; n++) enter(`a${n}`);
  assert.equal(slots.hasRoomFor('a'), false);
  assert.equal(slots.enter(waiter('a7')), false);
  assert.equal(slots.hasRoomFor('b'), true);
  for (let n = 0; n < 2; n++) enter(`b${n}`);
  assert.equal(slots.hasRoomFor('c'), false, 'the whole line is full');
  assert.equal(slots.queueShare, 1);
  enter('c-job', { isJob: true });
  assert.equal(slots.queued, 9);
});

test('who waits too long is refused, and who leaves is forgotten', () => {
  const { slots, log, enter, pass } = open({ limit: 1, tenantShareMax: 1 });
  const running = enter('a1');
  enter('a2', {}, 100);
  const leaver = enter('a3', {}, 100);
  assert.equal(slots.leave(leaver), true);
  assert.equal(slots.leave(leaver), false);
  pass(200);
  assert.deepEqual(log, ['a1', 'a2 refused']);
  slots.release(running);
  assert.equal(slots.active, 0);
});

test('the higher priority of a tenant goes first', () => {
  const { slots, log, enter } = open({ limit: 1, tenantShareMax: 1 });
  const running = enter('a1');
  enter('a-low', { priority: 10 });
  enter('a-high', { priority: 90 });
  slots.release(running);
  assert.equal(log.at(-1), 'a-high');
});

test('a run that ends at once does not run the next one inside itself', () => {
  const { slots, log, enter } = open({ limit: 1, tenantShareMax: 1, queueMax: 5_000, tenantMax: 5_000 });
  const running = enter('a0');
  for (let n = 1; n <= 4_000; n++) {
    const entering: SlotWaiter = enter(`a${n}`, { run: () => (log.push('ran'), slots.release(entering)) });
  }
  slots.release(running);
  assert.equal(log.length, 4_001);
  assert.equal(slots.active, 0);
});

test('shares are whole places', () => {
  const queue = { max: 100, tenant_max: 1_000 };
  const shares = { jobsMax: 0.75, jobsMin: 0.25, tenantMax: 0.5 };
  const of = (limit: number) => {
    const { jobsMax, jobsMin, tenantShareMax, tenantMax } = slotLimits(limit, queue, shares);
    return [jobsMax, jobsMin, tenantShareMax, tenantMax];
  };
  assert.deepEqual(of(1), [1, 0, 1, 100]);
  assert.deepEqual(of(4), [3, 1, 2, 100]);
  assert.deepEqual(of(256), [192, 64, 128, 100]);
});

const step = fc.oneof(
  fc.record({ kind: fc.constant('enter' as const), tenant: fc.constantFrom('a', 'b', 'c'), isJob: fc.boolean() }),
  fc.record({ kind: fc.constantFrom('release' as const, 'leave' as const), which: fc.nat({ max: 50 }) }),
);

test('whoever comes and goes, the bounds hold, nobody runs twice, and no place stands empty without a reason', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
      const { slots } = open();
      const running = new Set<SlotWaiter>();
      const waiting = new Set<SlotWaiter>();
      for (const now of steps) {
        if (now.kind === 'enter') {
          const entering: SlotWaiter = {
            tenantId: now.tenant,
            weight: undefined,
            priority: undefined,
            isJob: now.isJob,
            run() {
              assert.ok(!running.has(entering));
              waiting.delete(entering);
              running.add(entering);
            },
            refuse: () => assert.fail('nobody is refused here'),
          };
          waiting.add(entering);
          if (!slots.enter(entering)) waiting.delete(entering);
        } else {
          const from = now.kind === 'release' ? running : waiting;
          const one = [...from][now.which % Math.max(1, from.size)];
          if (one === undefined) continue;
          from.delete(one);
          if (now.kind === 'release') slots.release(one);
          else slots.leave(one);
        }
        const jobs = [...running].filter(({ isJob }) => isJob).length;
        assert.equal(slots.active, running.size);
        assert.equal(slots.queued, waiting.size);
        assert.ok(running.size <= LIMITS.limit && jobs <= LIMITS.jobsMax);
        const tenants = new Set([...running, ...waiting].map(({ tenantId }) => tenantId));
        if (running.size < LIMITS.limit && tenants.size === 1) {
          assert.ok([...waiting].every(({ isJob }) => isJob && jobs === LIMITS.jobsMax));
        }
      }
    }),
  );
});
