import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openMemoryBus } from '../bus/memory.ts';
import { presenceBucket, presenceKey } from '../contracts/presence.ts';
import { ManualClock } from '../core/clock.ts';
import { Timers } from '../core/timers.ts';
import { openLog } from '../telemetry/log.ts';
import { Metrics } from '../telemetry/metrics.ts';
import { openPeers } from './peers.ts';

test('the processes of a module are counted again and again, and never fewer than one', async () => {
  const clock = new ManualClock(1_790_000_000_000);
  using timers = new Timers(clock);
  const telemetry = { log: openLog('silent', { write: () => undefined }), metrics: new Metrics() };
  const bus = openMemoryBus({ timers, telemetry });
  const bucket = await bus.openBucket(presenceBucket);
  using peers = await openPeers(bus, timers, 'router');
  const look = async (): Promise<number> => {
    clock.advance(5_100);
    timers.tick();
    await new Promise(setImmediate);
    return peers.count();
  };
  assert.equal(peers.count(), 1);
  await bucket.put(presenceKey('router', 'r-1'), '{}');
  await bucket.put(presenceKey('router', 'r-2'), '{}');
  await bucket.put(presenceKey('worker', 'w-1'), '{}');
  assert.equal(await look(), 2);
  await bucket.delete(presenceKey('router', 'r-1'));
  await bucket.delete(presenceKey('router', 'r-2'));
  assert.equal(await look(), 1);
});
