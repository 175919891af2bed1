// A router's policies over the HTTP store: what a start has when the store is there, away, or gone with a snapshot left.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { until } from '../../test/until.ts';
import { openMemoryBus } from '../bus/memory.ts';
import { readConfig } from '../config/read.ts';
import { systemClock } from '../core/clock.ts';
import { Timers } from '../core/timers.ts';
import { openLog } from '../telemetry/log.ts';
import { Metrics } from '../telemetry/metrics.ts';
import { FakeHeir } from './heir-fixture.ts';
import { openPolicies } from './policies.ts';

const PROVIDERS = [{ id: 'p', type: 'sim' }];
const policy = (weight: number) => ({ version: '2.0', providers: [{ name: 'p', weight }] });

async function start(port: number, dataDir: string) {
  await using opening = new AsyncDisposableStack();
  const timers = opening.use(new Timers(systemClock, { tickMs: 5 }));
  const telemetry = { log: openLog('silent', { write: () => undefined }), metrics: new Metrics() };
  const { config } = readConfig({
    env: {},
    flags: {
      heir_policy_store_enabled: true,
      heir_policy_store_url: `http://127.0.0.1:${port}`,
      heir_policy_store_poll: 20,
      'providers.list': PROVIDERS,
    },
  });
  const ground = { config, timers, telemetry };
  const bus = opening.use(openMemoryBus(ground));
  const { replica, store } = opening.use(await openPolicies(ground, bus, { tenants: ['t1'], dataDir }));
  const opened = opening.move();
  const revision = (policyId: string): number | string => {
    try {
      return replica.find('t1', policyId).revision;
    } catch (fault) {
      return (fault as { code: string }).code;
    }
  };
  return { replica, store, revision, [Symbol.asyncDispose]: () => opened.disposeAsync() };
}

test('a restart with only the snapshot serves what was known, deletions included, until the store is back', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'beamline-heir-start-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const store = new FakeHeir();
  const port = await store.listen();
  store.write('a', policy(1));
  store.write('b', policy(1));
  {
    await using first = await start(port, folder);
    assert.deepEqual([first.revision('a'), first.revision('b')], [1, 2]);
    store.write('b', null);
    await until('the deletion', () => first.revision('b') === 'policy_not_found');
    const { record } = await first.store.put(
      { tenantId: 't1', policyId: 'c', expectedRevision: 0, by: 'somebody' },
      policy(3),
    );
    assert.deepEqual([record.revision, first.revision('c')], [4, 4]);
  }
  await store[Symbol.asyncDispose]();
  await using second = await start(port, folder);
  assert.deepEqual(['a', 'b', 'c'].map(second.revision), [1, 'policy_not_found', 4]);
  assert.equal(second.replica.isStale(systemClock.nowMs()), true);
  await assert.rejects(
    second.store.put({ tenantId: 't1', policyId: 'a', expectedRevision: undefined, by: 'somebody' }, policy(2)),
    { code: 'unavailable' },
  );
  assert.equal(second.revision('a'), 1);
});

test('a start without store and snapshot is not ready, and is when the store comes', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'beamline-heir-start-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const store = new FakeHeir();
  const port = await store.listen();
  await store[Symbol.asyncDispose]();
  await using started = await start(port, folder);
  assert.deepEqual([started.replica.isReady, started.revision('a')], [false, 'unavailable']);
  await using again = new FakeHeir();
  again.write('a', policy(1));
  await again.listen(port);
  await until('the policy', () => started.revision('a') === 1);
  assert.equal(started.replica.isStale(systemClock.nowMs()), false);
});
