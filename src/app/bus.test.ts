import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { readConfig } from '../config/read.ts';
import { systemClock } from '../core/clock.ts';
import { Timers } from '../core/timers.ts';
import { openLog } from '../telemetry/log.ts';
import { Metrics } from '../telemetry/metrics.ts';
import { openBus } from './bus.ts';
import { policyDataDir } from './data-dir.ts';

const spec = { name: 'jobs', bytesMax: 1_048_576 };

const groundOf = (flags: Readonly<Record<string, unknown>>, timers: Timers) => ({
  config: readConfig({ env: {}, flags }).config,
  timers,
  telemetry: { log: openLog('silent', { write: () => undefined }), metrics: new Metrics() },
});

test('without NATS a data folder keeps what the bus holds, and one process works with it', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'beamline-data-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  using timers = new Timers(systemClock);
  const ground = () => groundOf({ data_dir: folder }, timers);
  {
    await using bus = await openBus(ground(), 'up');
    await (await bus.openBucket(spec)).put('acme.a', 'kept');
    await assert.rejects(openBus(ground(), 'up'), { code: 'unavailable' });
  }
  await using bus = await openBus(ground(), 'up');
  assert.equal((await (await bus.openBucket(spec)).get('acme.a'))?.value, 'kept');
  assert.ok(existsSync(join(folder, 'bus')));
});

test('policies and decisions are kept below the data folder unless they have one of their own', () => {
  using timers = new Timers(systemClock);
  const dirOf = (flags: Readonly<Record<string, unknown>>) => policyDataDir(groundOf(flags, timers).config);
  assert.equal(dirOf({}), undefined);
  assert.equal(dirOf({ data_dir: '/data' }), '/data/policies');
  assert.equal(dirOf({ data_dir: '/data', 'policy.data_dir': '/own' }), '/own');
});
