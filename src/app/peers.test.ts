import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openMemoryBus } from '../bus/memory.ts';
import { presenceBucket, presenceKey } from '../contracts/presence.ts';
import { ManualClock } from '../core/clock.ts';
import { Timers } from '../core/timers.ts';
import { openLog } from '../telemetry/log.ts';
import { Metrics } from '../telemetry/metrics.ts';
import { openPeers } from './peers.ts';

test('the processes with a router are counted again and again, this one always, and each has its place', async () => {
  const clock = new ManualClock(1_790_000_000_000);
  using timers = new Timers(clock);
  const telemetry = { log: openLog('silent', { write: () => undefined }), metrics: new Metrics() };
  const bus = openMemoryBus({ timers, telemetry });
  const bucket = await bus.openBucket(presenceBucket);
  using peers = await openPeers(bus, timers, presenceKey('router', 'r-2'));
  const look = async () => {
    clock.advance(5_100);
    timers.tick();
    await new Promise(setImmediate);
    return peers.share();
  };
  assert.deepEqual(peers.share(), { count: 1, rank: 0 });
  await bucket.put(presenceKey('router', 'r-1'), '{}');
  await bucket.put(presenceKey('router', 'r-2'), '{}');
  await bucket.put(presenceKey('up', 'u-1'), '{}');
  await bucket.put(presenceKey('worker', 'w-1'), '{}');
  assert.deepEqual(await look(), { count: 3, rank: 1 });
  await bucket.delete(presenceKey('router', 'r-1'));
  await bucket.delete(presenceKey('router', 'r-2'));
  assert.deepEqual(await look(), { count: 2, rank: 0 });
});
