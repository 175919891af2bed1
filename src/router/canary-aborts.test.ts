import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '../../test/until.ts';
import type { Bus } from '../bus/bus.ts';
import { openMemoryBus } from '../bus/memory.ts';
import { canaryAbortKey } from '../contracts/canary-abort.ts';
import { controlBucket } from '../contracts/contract-switch.ts';
import { ManualClock } from '../core/clock.ts';
import { BeamlineError } from '../core/errors.ts';
import { Timers } from '../core/timers.ts';
import { parsePolicy } from '../policy/parse.ts';
import type { Policy } from '../policy/policy.ts';
import { openLog } from '../telemetry/log.ts';
import { Metrics } from '../telemetry/metrics.ts';
import { CanaryAborts } from './canary-aborts.ts';

function policyOf(revision: number, share = 10): Policy & { readonly canary: NonNullable<Policy['canary']> } {
  const document = {
    version: '2.0',
    providers: [{ name: 'alder', weight: 1 }, { name: 'birch' }],
    canary: { to: 'birch', share },
  };
  const known = { knownProviders: new Set<string>(), tenantId: 'acme', policyId: 'test', revision };
  const parsed = parsePolicy(document, known);
  assert.ok(parsed.kind === 'valid' && parsed.policy.canary !== undefined);
  return { ...parsed.policy, canary: parsed.policy.canary };
}

function open() {
  const clock = new ManualClock(1_790_000_000_000);
  const timers = new Timers(clock);
  const lines: string[] = [];
  const telemetry = {
    log: openLog('info', { write: (line: string) => void lines.push(line) }),
    metrics: new Metrics(),
  };
  const bus = openMemoryBus({ timers, telemetry });
  const start = (on: Bus = bus) => CanaryAborts.open({ bus: on, timers, log: telemetry.log });
  return { clock, timers, bus, lines, start };
}

test('what one router stops is stopped on all, and on those that start later, until the next revision', async () => {
  const { bus, start } = open();
  const one = await start();
  const two = await start();
  const policy = policyOf(4);
  assert.equal(two.isAborted(policy), false);
  one.abort(policy, policy.canary);
  assert.equal(one.isAborted(policy), true, 'at once where it was judged');
  await until('the second router to hear it', () => two.isAborted(policy));
  const three = await start();
  await until('the third router to read it', () => three.isAborted(policy));
  assert.deepEqual(
    [two.isAborted(policyOf(3)), two.isAborted(policyOf(4, 20)), one.isAborted(policyOf(5))],
    [false, false, false],
  );
  const bucket = await bus.openBucket(controlBucket);
  await until('the record to go', async () => (await bucket.get(canaryAbortKey('acme', 'test'))) === undefined);
  await until('all to forget it', () => !one.isAborted(policy) && !two.isAborted(policy) && !three.isAborted(policy));
  for (const aborts of [one, two, three]) await aborts[Symbol.asyncDispose]();
});

test('an abort that cannot be written holds here, and is written when the bucket is back; garbage is passed over', async () => {
  const { bus, clock, timers, lines, start } = open();
  const bucket = await bus.openBucket(controlBucket);
  await bucket.put(canaryAbortKey('acme', 'other'), '{"share":1}');
  let isAway = true;
  const away = {
    ...bucket,
    watch: bucket.watch.bind(bucket),
    put: (key: string, value: string) =>
      isAway ? Promise.reject(new BeamlineError('unavailable', 'away')) : bucket.put(key, value),
  };
  const aborts = await start({ openBucket: () => Promise.resolve(away) } as unknown as Bus);
  await until('the line', () => lines.some((line) => line.includes('canary_abort_unreadable')));
  const policy = policyOf(4);
  aborts.abort(policy, policy.canary);
  await until('the failure', () => lines.some((line) => line.includes('canary_abort_not_written')));
  assert.equal(aborts.isAborted(policy), true);
  isAway = false;
  await until('the record', async () => {
    clock.advance(1_000);
    timers.tick();
    return (await bucket.get(canaryAbortKey('acme', 'test'))) !== undefined;
  });
  await aborts[Symbol.asyncDispose]();
});
