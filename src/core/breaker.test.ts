import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Breaker, type BreakerMode, type BreakerReason, type BreakerState } from './breaker.ts';
import type { BreakerSettings } from './breaker-settings.ts';

const SETTINGS: BreakerSettings = {
  failureThreshold: 5,
  successThreshold: 2,
  openMs: 60_000,
  halfOpenMax: 3,
  errorRate: 0.5,
  windowSeconds: 60,
  samplesMin: 10,
  latencyMs: 0,
};

/** A breaker with its own clock; results are of attempts that were sent now unless they say otherwise. */
function open(more: Partial<BreakerSettings> = {}) {
  const moves: (readonly [BreakerState, BreakerReason])[] = [];
  const breaker = new Breaker((to, reason) => moves.push([to, reason]));
  const at = { ms: 1_000 };
  breaker.configure({ ...SETTINGS, ...more }, at.ms);
  const record = (isFailure: boolean, result: { key?: string; sentMs?: number; latencyMs?: number } = {}): void =>
    breaker.record({ key: '-', nowMs: at.ms, sentMs: at.ms, latencyMs: 5, isFailure, ...result });
  const fail = (times = 1): void => {
    for (let i = 0; i < times; i++) record(true);
  };
  const succeed = (times = 1): void => {
    for (let i = 0; i < times; i++) record(false);
  };
  return { breaker, at, moves, record, fail, succeed, state: () => breaker.state(at.ms) };
}

test('one failure on an idle breaker does not open it', () => {
  const { fail, state } = open();
  fail();
  assert.equal(state(), 'closed');
});

test('consecutive failures open it, and a success between them starts the count again', () => {
  const { fail, succeed, moves } = open({ samplesMin: 100 });
  fail(4);
  succeed();
  fail(4);
  assert.deepEqual(moves, []);
  fail();
  assert.deepEqual(moves, [['open', 'failure_threshold_exceeded']]);
});

test('a share of failures opens it once there are enough samples in the window', () => {
  const { fail, succeed, at, moves } = open();
  for (let i = 0; i < 4; i++) {
    fail();
    succeed();
  }
  at.ms += 60_000;
  for (let i = 0; i < 4; i++) {
    succeed();
    fail();
  }
  succeed();
  assert.deepEqual(moves, [], 'the first samples have left the window');
  fail();
  assert.deepEqual(moves, [['open', 'error_rate_threshold_exceeded']]);
});

test('slow answers open it when more than one in twenty is above the limit', () => {
  const { record, moves } = open({ latencyMs: 100, samplesMin: 20 });
  for (let i = 0; i < 19; i++) record(false, { latencyMs: 100 });
  record(false, { latencyMs: 101 });
  assert.deepEqual(moves, [], 'the p95 of twenty is the nineteenth');
  record(false, { latencyMs: 101 });
  assert.deepEqual(moves, [['open', 'latency_threshold_exceeded']]);
});

test('after its time it admits a few probes; successes close it', () => {
  const { breaker, at, fail, record, moves, state } = open();
  fail(5);
  at.ms += 59_999;
  assert.equal(breaker.admit('a', at.ms, at.ms + 1_000), false);
  at.ms++;
  assert.equal(state(), 'half_open');
  for (const key of ['a', 'b', 'c']) assert.equal(breaker.admit(key, at.ms, at.ms + 1_000), true);
  assert.equal(breaker.admit('d', at.ms, at.ms + 1_000), false);
  assert.equal(breaker.refuses(at.ms), true);
  record(false, { key: 'a' });
  assert.equal(breaker.refuses(at.ms), false, 'a permit came back');
  record(false, { key: 'b' });
  assert.deepEqual(moves, [
    ['open', 'failure_threshold_exceeded'],
    ['half_open', 'timeout_elapsed'],
    ['closed', 'success_threshold_met'],
  ]);
});

test('one failed probe opens it again, for the whole time', () => {
  const { breaker, at, fail, record, moves, state } = open();
  fail(5);
  at.ms += 60_000;
  breaker.admit('a', at.ms, at.ms + 1_000);
  at.ms += 10;
  record(true, { key: 'a' });
  assert.deepEqual(moves.at(-1), ['open', 'half_open_failure']);
  at.ms += 59_999;
  assert.equal(state(), 'open');
});

test('a permit ends with its attempt or at its deadline, and says nothing then', () => {
  const { breaker, at, fail, record, state } = open({ halfOpenMax: 1 });
  fail(5);
  at.ms += 60_000;
  assert.equal(breaker.admit('a', at.ms, at.ms + 1_000), true);
  breaker.release('a');
  assert.equal(breaker.admit('b', at.ms, at.ms + 1_000), true);
  at.ms += 999;
  assert.equal(breaker.refuses(at.ms), true);
  at.ms++;
  assert.equal(breaker.admit('c', at.ms, at.ms + 1_000), true);
  assert.equal(state(), 'half_open');
  record(true, { key: 'a' });
  record(true, { key: 'b' });
  assert.equal(state(), 'half_open', 'late results of permits that have ended');
  record(true, { key: 'c' });
  assert.equal(state(), 'open');
});

test('results of attempts from before the last transition are ignored, probes are not', () => {
  const { breaker, at, fail, record, state } = open({ successThreshold: 1 });
  fail(5);
  at.ms += 60_000;
  assert.equal(state(), 'half_open');
  record(true, { sentMs: at.ms - 1 });
  assert.equal(state(), 'half_open');
  breaker.admit('a', at.ms, at.ms + 1_000);
  record(false, { key: 'a', sentMs: at.ms - 1 });
  assert.equal(state(), 'closed');
});

test('an administrator holds it open or closed until it is let go', () => {
  const { breaker, at, fail, moves, state } = open();
  breaker.force('force_open', at.ms);
  at.ms += 600_000;
  assert.equal(state(), 'open');
  breaker.force('auto', at.ms);
  assert.equal(state(), 'half_open');
  breaker.force('force_closed', at.ms);
  fail(20);
  assert.equal(state(), 'closed');
  breaker.force('auto', at.ms);
  assert.equal(state(), 'open', 'what was counted counts again');
  assert.deepEqual(
    moves.map(([, reason]) => reason),
    ['forced', 'timeout_elapsed', 'forced', 'failure_threshold_exceeded'],
  );
});

test('without settings it only counts; the first settings may open it at once', () => {
  const moves: BreakerReason[] = [];
  const breaker = new Breaker((_, reason) => moves.push(reason));
  for (let i = 0; i < 20; i++) breaker.record({ key: '-', nowMs: 0, sentMs: 0, latencyMs: 0, isFailure: true });
  assert.deepEqual([breaker.state(0), breaker.errorRate(0)], ['closed', 1]);
  breaker.configure(SETTINGS, 0);
  assert.deepEqual([breaker.state(0), moves], ['open', ['failure_threshold_exceeded']]);
});

// The reference: it keeps every result since the last transition in a list and computes everything from it.

interface Result {
  readonly second: number;
  readonly isFailure: boolean;
  readonly latencyMs: number;
}

class Model {
  readonly settings: BreakerSettings;
  nowMs = 0;
  state: BreakerState = 'closed';
  sinceMs = -Infinity;
  isForced = false;
  results: Result[] = [];
  permits: { key: string; untilMs: number }[] = [];
  lapsed = new Set<string>();
  moves: string[] = [];

  constructor(settings: BreakerSettings) {
    this.settings = settings;
  }

  move(to: BreakerState, reason: BreakerReason, atMs = this.nowMs): void {
    this.state = to;
    this.sinceMs = atMs;
    this.results = [];
    this.permits = [];
    this.lapsed = new Set();
    this.moves.push(`${to} ${reason}`);
  }

  pass(ms: number): void {
    this.nowMs += ms;
    const dueMs = this.sinceMs + this.settings.openMs;
    if (this.state === 'open' && !this.isForced && this.nowMs >= dueMs)
      this.move('half_open', 'timeout_elapsed', dueMs);
    for (const permit of this.permits) if (permit.untilMs <= this.nowMs) this.release(permit.key);
  }

  record(key: string, sentMs: number, isFailure: boolean, latencyMs: number): void {
    const isProbe = this.permits.some((permit) => permit.key === key);
    this.permits = this.permits.filter((permit) => permit.key !== key);
    if (this.lapsed.delete(key)) return;
    if (!isProbe && sentMs < this.sinceMs) return;
    this.results.push({ second: Math.floor(this.nowMs / 1_000), isFailure, latencyMs });
    if (this.state === 'closed') this.judge();
    else if (this.state === 'half_open' && isFailure) this.move('open', 'half_open_failure');
    else if (this.state === 'half_open' && this.results.length >= this.settings.successThreshold)
      this.move('closed', 'success_threshold_met');
  }

  judge(): void {
    if (this.isForced || this.state !== 'closed') return;
    const { failureThreshold, errorRate, windowSeconds, samplesMin, latencyMs } = this.settings;
    const lastSuccess = this.results.findLastIndex(({ isFailure }) => !isFailure);
    if (this.results.length - 1 - lastSuccess >= failureThreshold)
      return this.move('open', 'failure_threshold_exceeded');
    const inWindow = this.results.filter(({ second }) => second > Math.floor(this.nowMs / 1_000) - windowSeconds);
    const failures = inWindow.filter(({ isFailure }) => isFailure).length;
    if (inWindow.length < samplesMin) return;
    if (failures > 0 && failures / inWindow.length >= errorRate)
      return this.move('open', 'error_rate_threshold_exceeded');
    const sorted = inWindow
      .filter(({ isFailure }) => !isFailure)
      .map((result) => result.latencyMs)
      .toSorted((a, b) => a - b);
    const p95 = sorted[Math.ceil((sorted.length * 95) / 100) - 1] ?? 0;
    if (latencyMs > 0 && sorted.length >= samplesMin && p95 > latencyMs)
      this.move('open', 'latency_threshold_exceeded');
  }

  admit(key: string, forMs: number): boolean {
    if (this.state === 'open') return false;
    if (this.state === 'closed') return true;
    if (this.permits.length >= this.settings.halfOpenMax) return false;
    this.permits.push({ key, untilMs: this.nowMs + forMs });
    this.lapsed.delete(key);
    return true;
  }

  release(key: string): void {
    if (this.permits.some((permit) => permit.key === key)) this.lapsed.add(key);
    this.permits = this.permits.filter((permit) => permit.key !== key);
  }

  force(mode: BreakerMode): void {
    const wasForced = this.isForced;
    this.isForced = mode !== 'auto';
    if (mode === 'auto') {
      if (wasForced && this.state === 'open' && this.nowMs > this.sinceMs + this.settings.openMs)
        this.move('half_open', 'timeout_elapsed');
      this.pass(0);
      return this.judge();
    }
    const to = mode === 'force_open' ? 'open' : 'closed';
    if (this.state !== to) this.move(to, 'forced');
  }
}

interface Real {
  readonly breaker: Breaker;
  readonly moves: string[];
}

/** One step of both, and then both must show the same. */
const command = (name: string, step: (model: Model, real: Real) => void): fc.Command<Model, Real> => ({
  check: () => true,
  toString: () => name,
  run(model, real) {
    step(model, real);
    const { nowMs } = model;
    assert.equal(real.breaker.state(nowMs), model.state);
    const isFull = model.state === 'half_open' && model.permits.length >= model.settings.halfOpenMax;
    assert.equal(real.breaker.refuses(nowMs), model.state === 'open' || isFull);
    assert.deepEqual(real.moves, model.moves);
  },
});

const key = fc.constantFrom('a', 'b', 'c', 'd', 'e');
/** Few different times, so that they often meet. */
const quarter = fc.nat(6).map((count) => count * 250);
const commands = [
  fc.oneof(fc.nat(5_000), quarter, quarter).map((ms) => command(`pass ${ms}`, (model) => model.pass(ms))),
  fc.record({ key, isFailure: fc.boolean(), ageMs: quarter, latencyMs: fc.nat(200) }).map((result) =>
    command(`record ${JSON.stringify(result)}`, (model, { breaker }) => {
      const { nowMs } = model;
      const sentMs = nowMs - result.ageMs;
      model.record(result.key, sentMs, result.isFailure, result.latencyMs);
      breaker.record({ ...result, nowMs, sentMs });
    }),
  ),
  fc.record({ key, forMs: fc.constantFrom(250, 500, 1_000) }).map((permit) =>
    command(`admit ${JSON.stringify(permit)}`, (model, { breaker }) => {
      if (model.permits.some((held) => held.key === permit.key)) return;
      const { nowMs } = model;
      assert.equal(breaker.admit(permit.key, nowMs, nowMs + permit.forMs), model.admit(permit.key, permit.forMs));
    }),
  ),
  key.map((name) =>
    command(`release ${name}`, (model, { breaker }) => {
      model.release(name);
      breaker.release(name);
    }),
  ),
  fc.constantFrom<BreakerMode>('auto', 'auto', 'auto', 'force_open', 'force_closed').map((mode) =>
    command(mode, (model, { breaker }) => {
      model.force(mode);
      breaker.force(mode, model.nowMs);
    }),
  ),
];

const settings: fc.Arbitrary<BreakerSettings> = fc.record({
  failureThreshold: fc.integer({ min: 1, max: 6 }),
  successThreshold: fc.integer({ min: 1, max: 3 }),
  openMs: fc.constantFrom(1_000, 1_500, 2_000),
  halfOpenMax: fc.integer({ min: 1, max: 3 }),
  errorRate: fc.constantFrom(0, 0.1, 0.5, 1),
  windowSeconds: fc.integer({ min: 1, max: 6 }),
  samplesMin: fc.integer({ min: 1, max: 8 }),
  latencyMs: fc.constantFrom(0, 100),
});

test('it behaves as a list of results does', () => {
  fc.assert(
    fc.property(settings, fc.commands(commands, { size: '+1' }), (chosen, steps) => {
      fc.modelRun(() => {
        const moves: string[] = [];
        const breaker = new Breaker((to, reason) => moves.push(`${to} ${reason}`));
        breaker.configure(chosen, 0);
        return { model: new Model(chosen), real: { breaker, moves } };
      }, steps);
    }),
    { numRuns: 1_000 },
  );
});
