import assert from 'node:assert/strict';
import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { startNatsServer } from '../../test/nats-server.ts';
import { until } from '../../test/until.ts';
import type { BucketSpec } from '../contracts/bucket.ts';
import { ManualClock } from '../core/clock.ts';
import { Timers } from '../core/timers.ts';
import { openGround } from './conformance-fixture.ts';
import { openNatsBus } from './nats.ts';
import { NatsLink } from './nats-link.ts';

const spec: BucketSpec = { name: 'jobs', bytesMax: 1_048_576, supersedes: (ours, standing) => ours > standing };

test('what a server has lost that was killed is written again by who wrote it, and what others wrote stays', async () => {
  await using server = await startNatsServer();
  using ground = openGround();
  const open = (name: string) => openNatsBus({ url: server.url, name, ...ground, telemetry: openGround().telemetry });
  await using bus = await open('one');
  await using peer = await open('two');
  const mine = await bus.openBucket(spec);
  const theirs = await peer.openBucket(spec);
  const first = await mine.update('changed', 's1', 0);
  const gone = await mine.update('gone', 'g1', 0);
  const shared = await mine.update('shared', 'm1', 0);
  await server.terminate();
  const messages = join(server.store, 'jetstream', '$G', 'streams', 'KV_beamline_jobs', 'msgs');
  const before = join(server.store, 'before');
  cpSync(messages, before, { recursive: true });
  await server.restart();
  const again = <T>(work: () => Promise<T>): Promise<T> =>
    until('the server', () => work().catch(() => undefined)) as Promise<T>;
  await again(() => mine.update('changed', 's2', first));
  await mine.update('created', 'c1', 0);
  await again(() => theirs.update('shared', 't2', shared));
  await mine.erase('gone');
  assert.ok(gone > 0);
  // As a server of 2.9 may come back that was killed: without the newest entries, and with what was erased.
  await server.terminate();
  rmSync(messages, { recursive: true });
  cpSync(before, messages, { recursive: true });
  await server.restart();
  const shows = async (key: string, value: string): Promise<true> =>
    until(`${key} again`, async () => (await theirs.get(key).catch(() => undefined))?.value === value || undefined);
  await shows('changed', 's2');
  await shows('created', 'c1');
  await shows('shared', 't2');
  assert.equal((await theirs.get('gone'))?.value, 'g1', "an old entry is nobody's newest word");
});

test('what others may have begun is taken from a server that was started anew once they could write it again', async () => {
  await using server = await startNatsServer();
  using ground = openGround();
  const clock = new ManualClock();
  using timers = new Timers(clock);
  const link = new NatsLink({ url: server.url, name: 'one', timers, telemetry: ground.telemetry });
  const told: string[] = [];
  await link.open();
  await link.repaired();
  await server.restart();
  await until('another connection', () => {
    clock.advance(100);
    timers.tick();
    return link.state.now === 'connected';
  });
  void link.repaired().then(() => told.push('repaired'));
  clock.advance(2_000);
  timers.tick();
  await setImmediate();
  assert.deepEqual(told, []);
  clock.advance(1_000);
  timers.tick();
  await until('it', () => told.length === 1);
  await link.close();
});
