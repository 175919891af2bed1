import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '../../test/until.ts';
import type { Bus } from '../bus/bus.ts';
import { openMemoryBus } from '../bus/memory.ts';
import { breakerOverrideKey } from '../contracts/breaker-override.ts';
import { controlBucket } from '../contracts/contract-switch.ts';
import { ManualClock } from '../core/clock.ts';
import { BeamlineError } from '../core/errors.ts';
import { Timers } from '../core/timers.ts';
import { openLog } from '../telemetry/log.ts';
import { Metrics } from '../telemetry/metrics.ts';
import { BreakerOverrides } from './breaker-overrides.ts';
import { Breakers } from './breakers.ts';

const clock = new ManualClock(1_790_000_000_000);
const timers = new Timers(clock);
const lines: string[] = [];
const telemetry = { log: openLog('info', { write: (line: string) => void lines.push(line) }), metrics: new Metrics() };
const forced = { tenantId: 'acme', providerId: 'alder', reset: false } as const;

async function openRouter(bus: Bus) {
  const breakers = new Breakers({ ...telemetry, metrics: new Metrics() });
  const live = {
    force: (...[tenantId, providerId, mode]: [string, string, 'auto' | 'force_open' | 'force_closed']) =>
      breakers.force(tenantId, providerId, mode, clock.nowMs()),
  };
  const overrides = await BreakerOverrides.open({ bus, timers, log: telemetry.log, live });
  const state = (): string | undefined => breakers.list(clock.nowMs())[0]?.state;
  return { overrides, state };
}

test('what one router is told holds in all, and in those that start later', async () => {
  const bus = openMemoryBus({ timers, telemetry });
  const one = await openRouter(bus);
  const two = await openRouter(bus);
  assert.equal((await one.overrides.force({ ...forced, mode: 'force_open' })).state, 'open');
  await until('the second router to hear it', () => two.state() === 'open');
  const three = await openRouter(bus);
  await until('the third router to read it', () => three.state() === 'open');
  await two.overrides.force({ ...forced, mode: 'auto', reset: true });
  await until('all to be closed', () => one.state() === 'closed' && three.state() === 'closed');
  for (const { overrides } of [one, two, three]) await overrides[Symbol.asyncDispose]();
});

test('an override that cannot be written is not obeyed either; garbage is told and passed over', async () => {
  const bus = openMemoryBus({ timers, telemetry });
  const bucket = await bus.openBucket(controlBucket);
  await bucket.put(breakerOverrideKey('acme', 'birch'), '{"mode":"force_open"}');
  const away = {
    ...bucket,
    put: () => Promise.reject(new BeamlineError('unavailable', 'away')),
    watch: bucket.watch.bind(bucket),
  };
  const broken = { openBucket: () => Promise.resolve(away) } as unknown as Bus;
  const { overrides, state } = await openRouter(broken);
  await until('the line', () => lines.some((line) => line.includes('breaker_override_unreadable')));
  await assert.rejects(overrides.force({ ...forced, mode: 'force_open' }), { code: 'unavailable' });
  assert.equal(state(), undefined);
  await overrides[Symbol.asyncDispose]();
});
