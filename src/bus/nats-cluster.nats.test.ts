// The bus over a real cluster of three servers: copies, reads of what was just written, and the loss of a leader.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { type NatsCluster, startNatsCluster } from '../../test/nats-cluster.ts';
import { until } from '../../test/until.ts';
import { at } from '../contracts/contract.ts';
import { execResult } from '../contracts/result.ts';
import type { StreamSpec } from '../contracts/streams.ts';
import { systemClock } from '../core/clock.ts';
import { Timers } from '../core/timers.ts';
import type { Bus } from './bus.ts';
import { correlation, openGround } from './conformance-fixture.ts';
import { openNatsBus } from './nats.ts';

const stream: StreamSpec = {
  name: 'CAF_RESULT',
  subject: execResult.template,
  retention: 'workqueue',
  ageMsMax: 0,
  bytesMax: 1_048_576,
};
const bucket = { name: 'jobs', bytesMax: 1_048_576 };

let cluster: NatsCluster;
before(async () => {
  cluster = await startNatsCluster();
});
after(() => cluster[Symbol.asyncDispose]());

interface Opened extends AsyncDisposable {
  readonly bus: Bus;
}

async function open(replicas?: number, url = cluster.url): Promise<Opened> {
  const ground = openGround();
  const bus = await openNatsBus({ url, name: 'bus', ...ground, ...(replicas === undefined ? {} : { replicas }) });
  return {
    bus,
    async [Symbol.asyncDispose]() {
      await bus.drain();
      ground[Symbol.dispose]();
    },
  };
}

/** As the servers tell it, as soon as they have a leader for that. */
async function copies(name: string): Promise<number> {
  await using nc = await connect({ servers: cluster.nodes.map(({ url }) => url) });
  const asked = async (): Promise<number> =>
    (await (await jetstreamManager(nc)).streams.info(name)).config.num_replicas;
  return await until('the cluster to answer', () => asked().catch(() => undefined), 20_000);
}

test('in a cluster what had one copy gets three, unless somebody set their number', async () => {
  await using one = await open(1);
  await one.bus.ensureStream(stream);
  await one.bus.openBucket(bucket);
  assert.deepEqual([await copies('CAF_RESULT'), await copies('KV_beamline_jobs')], [1, 1]);
  await using safe = await open();
  await safe.bus.ensureStream(stream);
  const kept = await safe.bus.openBucket(bucket);
  assert.deepEqual([await copies('CAF_RESULT'), await copies('KV_beamline_jobs')], [3, 3]);
  await until('the bucket to take', () => kept.put('a', '1').catch(() => undefined), 20_000);
  const fresh = await safe.bus.openBucket({ ...bucket, name: 'fresh' });
  await fresh.put('a', '1');
  assert.equal(await copies('KV_beamline_fresh'), 3);
});

test('what was written is read by whoever asks any server', async () => {
  const opened = new AsyncDisposableStack();
  await using _ = opened;
  const buses = await Promise.all(cluster.nodes.map(async ({ url }) => opened.use(await open(undefined, url)).bus));
  const buckets = await Promise.all(buses.map((bus) => bus.openBucket({ ...bucket, name: 'reads' })));
  await cluster.settled('KV_beamline_reads');
  for (let n = 0; n < 60; n++) {
    // eslint-disable-next-line no-await-in-loop -- each is read at once
    await buckets[n % 3]?.put('key', String(n));
    // eslint-disable-next-line no-await-in-loop -- as above
    const read = await Promise.all(buckets.map((one) => one.get('key')));
    assert.deepEqual(
      read.map((entry) => entry?.value),
      Array(3).fill(String(n)),
    );
  }
});

test('erased entries are gone, and no other one is after all servers were killed at once', async () => {
  await using opened = await open();
  const erased = await opened.bus.openBucket({ ...bucket, name: 'erased' });
  await cluster.settled('KV_beamline_erased');
  for (let n = 0; n < 30; n++) {
    // eslint-disable-next-line no-await-in-loop -- in order
    await Promise.all([erased.put(`${n}.kept`, 'x'), erased.put(`${n}.gone`, 'x')]);
    // eslint-disable-next-line no-await-in-loop -- as above
    await erased.erase(`${n}.gone`);
  }
  const kept = Array.from({ length: 30 }, (_, n) => `${n}.kept`);
  const keys = async () => (await erased.entries()).map(({ key }) => key);
  assert.deepEqual(await keys(), kept);
  await Promise.all(cluster.nodes.map((node) => node.kill()));
  await Promise.all(cluster.nodes.map((node) => node.restart()));
  const found = new Set(await until('the bucket to be read', () => keys().catch(() => undefined), 40_000));
  assert.deepEqual([...found], kept);
});

test('marks of erased entries are taken away by who lists, once they are old', async () => {
  // A process that came two minutes later.
  const late = { ...systemClock, epochMs: () => systemClock.epochMs() + 120_000, nowMs: () => systemClock.nowMs() };
  using ground = openGround();
  await using opened = await open();
  const name = 'marks';
  const young = await opened.bus.openBucket({ ...bucket, name });
  await Promise.all([young.put('a', '1'), young.put('b', '1')]);
  await young.erase('a');
  const messages = async (): Promise<number> => {
    await using nc = await connect({ servers: cluster.nodes.map(({ url }) => url) });
    return (await (await jetstreamManager(nc)).streams.info(`KV_beamline_${name}`)).state.messages;
  };
  assert.equal((await young.entries()).length, 1);
  assert.equal(await messages(), 2);
  using timers = new Timers(late);
  await using bus = await openNatsBus({ url: cluster.url, name: 'late', ...ground, timers });
  const old = await bus.openBucket({ ...bucket, name });
  await old.put('c', '1');
  await old.erase('c');
  await until('the marks to be gone', async () => (await old.entries()).length === 1 && (await messages()) === 1);
});

test('marks of erased entries are taken away by who made them, once they are old, though nobody lists', async () => {
  let aheadMs = 0;
  const nowMs = (): number => systemClock.nowMs() + aheadMs;
  const clock = { ...systemClock, nowMs, epochMs: () => systemClock.epochMs() + aheadMs };
  using ground = openGround();
  using timers = new Timers(clock);
  await using bus = await openNatsBus({ url: cluster.url, name: 'erasing', ...ground, timers });
  const erasing = await bus.openBucket({ ...bucket, name: 'own' });
  await cluster.settled('KV_beamline_own');
  await Promise.all([erasing.put('a', '1'), erasing.put('b', '1')]);
  await erasing.erase('a');
  const messages = async (): Promise<number> => {
    await using nc = await connect({ servers: cluster.nodes.map(({ url }) => url) });
    return (await (await jetstreamManager(nc)).streams.info('KV_beamline_own')).state.messages;
  };
  assert.equal(await messages(), 2);
  aheadMs = 61_000;
  await until('the mark to be gone', async () => (await messages()) === 1);
});

test('a message is confirmed and stored once although the leader of its stream is killed, and copies stay', async () => {
  await using opened = await open();
  const { bus } = opened;
  await bus.ensureStream(stream);
  await cluster.settled('CAF_RESULT');
  const result = { assignment_id: 'a', tenant_id: 'acme', status: 'success' } as const;
  const append = (messageId: string) =>
    bus.append(at(execResult), result, { messageId, timeoutMs: 20_000, correlation });
  await append('before');
  const leader = await cluster.leaderOf('CAF_RESULT');
  await leader.kill();
  const during = await append('during');
  assert.equal((await append('during')).seq, during.seq);
  // Seen by who comes now, a cluster of three has two.
  await using late = await open();
  await late.bus.ensureStream(stream);
  assert.equal(await copies('CAF_RESULT'), 3);
  await leader.restart();
  await cluster.settled('CAF_RESULT');
  assert.equal((await bus.read(stream, { fromSeq: 1, limit: 10 })).length, 2);
});
