// Versions of our own roles side by side: one minor apart serves, more does not, and says so.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Bus } from '../../src/bus/bus.ts';
import { openGround } from '../../src/bus/conformance-fixture.ts';
import { openNatsBus } from '../../src/bus/nats.ts';
import { presenceBucket, presenceKey } from '../../src/contracts/presence.ts';
import { PRODUCT_VERSION } from '../../src/cli/product.ts';
import { startNatsServer } from '../nats-server.ts';
import { startBeamline } from '../process.ts';
import { until } from '../until.ts';

const [major = '0', minor = '0'] = PRODUCT_VERSION.split('.');

async function tell(bus: Bus, version: string): Promise<void> {
  const bucket = await bus.openBucket(presenceBucket);
  const present = { version: '2', module: 'router', process_id: 'rt-1', product_version: version, started_at_ms: 1 };
  await bucket.put(presenceKey('router', 'rt-1'), JSON.stringify(present));
}

test('a worker serves beside the next minor, and not beside the next major', async () => {
  await using server = await startNatsServer();
  using ground = openGround();
  await using bus = await openNatsBus({ url: server.url, name: 'peer', ...ground });

  await tell(bus, `${major}.${Number(minor) + 1}.0`);
  const fitting = startBeamline(['worker', '--nats', server.url]);
  await fitting.until(/worker_ready/);
  const bucket = await bus.openBucket(presenceBucket);
  await until('the worker to be seen', async () =>
    (await bucket.entries()).some(({ key }) => key.startsWith('worker.')),
  );
  await fitting.stop();

  await tell(bus, `${Number(major) + 1}.0.0`);
  const stranger = startBeamline(['worker', '--nats', server.url]);
  await stranger.ended;
  const said = stranger.output();
  assert.match(said, /cannot serve with router rt-1/);
  assert.doesNotMatch(said, /worker_ready/);
});
