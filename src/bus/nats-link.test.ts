import { test } from 'node:test';
import { ManualClock } from '../core/clock.ts';
import { Timers } from '../core/timers.ts';
import { openLog } from '../telemetry/log.ts';
import { Metrics } from '../telemetry/metrics.ts';
import { NatsLink } from './nats-link.ts';

test('however long a server was away, the next dial comes within a second', async () => {
  const clock = new ManualClock();
  using timers = new Timers(clock);
  const telemetry = { log: openLog('silent', { write: () => undefined }), metrics: new Metrics() };
  const link = new NatsLink({ url: 'nats://127.0.0.1:1', name: 'test', timers, telemetry, random: () => 1 });
  for (const failures of [4, 20, 10_000]) {
    const waited = link.backOff(failures);
    clock.advance(1_000);
    timers.tick();
    // eslint-disable-next-line no-await-in-loop -- one after the other; a longer wait would never end
    await waited;
  }
});
